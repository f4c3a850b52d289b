"""How images become inputs, from the best source there is: header, file, project, method, else assumed."""

from collections.abc import Mapping
from dataclasses import replace

from sslaudit.encoder import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from sslaudit_checkpoints.architectures.base import Architecture
from sslaudit_checkpoints.conventions import CONVENTIONS, METHOD_CONVENTIONS, Convention
from sslaudit_checkpoints.options import Options
from sslaudit_checkpoints.project import Project
from sslaudit_checkpoints.tensors import Stored

_CIFAR = (32, 32)


def preprocess_of(
    architecture: Architecture, project: Project | None, options: Options, flat: Mapping[str, Stored]
) -> tuple[Preprocess, tuple[str, ...]]:
    """The preprocessing, and what had to be assumed about it in sentences."""
    preprocess = architecture.preprocess
    if preprocess.source.startswith("assumed"):
        known = _stored(flat, preprocess) or _agreed(architecture, project, options)
        preprocess = known or preprocess
    if options.size is not None and options.size != preprocess.size:
        preprocess = replace(preprocess, size=options.size, source=f"{preprocess.source}, size given")
    if not preprocess.source.startswith("assumed"):
        return preprocess, ()
    imagenet = (preprocess.mean, preprocess.std) == (IMAGENET_MEAN, IMAGENET_STD)
    what = "ImageNet mean and std" if imagenet else f"mean {preprocess.mean[0]:g}, std {preprocess.std[0]:g}"
    return preprocess, (f"preprocessing: {what}; neither the file nor a known project says",)


def _stored(flat: Mapping[str, Stored], preprocess: Preprocess) -> Preprocess | None:
    """The mean and std that OpenMMLab's projects keep with the weights, in units of 0 to 255."""
    ends = ("data_preprocessor.mean", "data_preprocessor.std")
    found = [one.tensor for end in ends for name, one in flat.items() if name.endswith(end)]
    if len(found) != 2 or any(t.numel() != 3 for t in found) or not (found[1] > 0).all():
        return None
    mean, std = (tuple(float(v) / 255 for v in t.flatten()) for t in found)
    return replace(preprocess, mean=mean, std=std, source="the file (data_preprocessor)")


def _agreed(architecture: Architecture, project: Project | None, options: Options) -> Preprocess | None:
    size, crop = architecture.preprocess.size, architecture.preprocess.crop
    if size == (224, 224):
        crop = 0.875  # 224 of 256, as all conventions without a crop of their own
    convention: Convention | None = None
    if project is not None:
        cifar = size == _CIFAR and project.cifar_convention
        convention = CONVENTIONS[cifar or project.convention]
    elif options.method and size != _CIFAR:
        convention = METHOD_CONVENTIONS[options.method]
    return convention and convention.preprocess(size, crop)
