"""The encoder as the host sees it: one callable with everything that must stand beside its numbers."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from sslaudit.errors import EncoderError, UsageError

Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

LARGEST_SIZE = 4096
"""Pixels of a side that an image may be resized to."""

_LARGEST = 1.5  # of pixels in [0, 1]: more can only be meant for pixels in 0 to 255
_SMALLEST_STD = 1e-4  # 0.1 / 255, of a processor that does not rescale, is above it


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """How an image becomes the input of an encoder.

    The identity view resizes the shorter side to ``size / crop`` and cuts the centre; every view
    is then scaled to [0, 1] and normalised channel by channel.
    """

    size: tuple[int, int]
    """Height and width in pixels."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"
    crop: float = 1.0
    """Share of the resized shorter side that the centre crop keeps."""
    source: str = "assumed"
    """Where it came from: ``timm``, ``checkpoint header``, ``given``, ``assumed``."""

    def __post_init__(self) -> None:
        if not 1 <= min(self.size) <= max(self.size) <= LARGEST_SIZE:
            size = f"{self.size[0]} x {self.size[1]}"
            raise UsageError(f"preprocessing: size {size} is not between 1 and {LARGEST_SIZE} pixels.")
        self._check_normalisation()
        if not 0 < self.crop <= 1:
            raise UsageError(f"preprocessing: crop {self.crop} is not in (0, 1].")

    def _check_normalisation(self) -> None:
        numbers = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(math.isfinite, numbers)):
            raise UsageError("preprocessing: mean and std need three numbers each.")
        said = f"mean {_listed(self.mean)} and std {_listed(self.std)}"
        if max(map(abs, numbers)) > _LARGEST:
            raise UsageError(
                f"preprocessing: {said} are for pixels of 0 to 255; "
                "sslaudit takes them in units of 0 to 1; divide by 255."
            )
        if min(self.std) < _SMALLEST_STD:
            raise UsageError(f"preprocessing: {said}: a std below {_SMALLEST_STD:g} cannot be meant.")

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) to normalised float32 of the same shape and layout, on the same device."""
        mean = torch.tensor(self.mean, device=images.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(3, 1, 1)
        return images.float().div_(255.0).sub_(mean).div_(std)


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """What the user says about preprocessing: it wins over what the encoder brings. None says nothing."""

    size: tuple[int, int] | int | None = None
    """Height and width in pixels; one number for a square."""
    mean: tuple[float, float, float] | float | None = None
    """Of the three channels in units of 0 to 1; one number for all, as for ``std``."""
    std: tuple[float, float, float] | float | None = None
    interpolation: Interpolation | None = None
    crop: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.size, int):
            object.__setattr__(self, "size", (self.size, self.size))
        for name in ("mean", "std"):
            if isinstance(value := getattr(self, name), int | float):
                object.__setattr__(self, name, (value,) * 3)
        self.apply(Preprocess(size=(1, 1)))  # refuses now what no encoder could use

    def apply(self, preprocess: Preprocess) -> Preprocess:
        """``preprocess`` with what is given, its source saying so: ``timm, mean and std given``."""
        given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        if not given:
            return preprocess
        said = f"{', '.join(given[:-1])} and {given[-1]} given" if len(given) > 1 else f"{given[0]} given"
        source = f"{preprocess.source}, {said}"
        if preprocess.source.startswith("assumed") and {"mean", "std"} & set(given):
            source = f"{said}, else {preprocess.source}"  # the normalisation is no longer assumed
        return replace(preprocess, source=source, **{name: getattr(self, name) for name in given})


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadAudit:
    """How the weights came into the architecture."""

    matched: int
    """Backbone tensors taken from the file."""
    expected: int
    """Backbone tensors of the architecture."""
    file: str = ""
    """What the file is, ``PyTorch checkpoint, 44.7 MB``; empty when there is none."""
    branch: str = ""
    """The part of the file that was taken, ``teacher``; empty for the whole file."""
    others: tuple[str, ...] = ()
    """Other complete backbones in the file, each with the option that takes it: ``student (key=student)``."""
    prefix: str = ""
    """The prefix that was removed from every name, with its dot."""
    renamed: tuple[str, ...] = ()
    """Other rules that were applied to the names, each a sentence."""
    missing: tuple[str, ...] = ()
    """Backbone tensors that stayed at fresh values: a PARTIAL load, only with ``allow-partial``."""
    ignored: tuple[str, ...] = ()
    """Groups of tensors in the file that are no part of the backbone, each with its count."""
    assumptions: tuple[str, ...] = ()
    """What the file does not say and was assumed."""

    @property
    def complete(self) -> bool:
        """Whether every backbone tensor came from the file."""
        return self.matched == self.expected and not self.missing

    def sentence(self) -> str:
        """``all 120 backbone tensors loaded``, or how many did not and the first that stayed fresh."""
        if not self.expected:
            return "a program with weights of its own" if self.file else "an encoder without weights"
        if self.complete:
            return f"all {self.expected} backbone tensors loaded"
        more = f" and {len(self.missing) - 3} more" if len(self.missing) > 3 else ""
        fresh = f"; fresh: {', '.join(self.missing[:3])}{more}" if self.missing else ""
        return f"only {self.matched} of {self.expected} backbone tensors loaded{fresh}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """A frozen backbone, ready to embed.

    ``embed`` takes (B, 3, H, W) float32, already normalised by ``preprocess``, and returns (B, D).
    """

    ref: str
    name: str
    """The architecture in words, ``ResNet-18``."""
    embed: Callable[[Tensor], Tensor]
    dim: int
    preprocess: Preprocess
    digest: str
    parameters: int
    project: Callable[[Tensor], Tensor] | None = None
    """(B, D) embeddings to (B, P) projections, when the checkpoint holds its projector."""
    project_digest: str = ""
    """The digest of the projector, which ``digest`` leaves out."""
    modality: Literal["image", "text"] = "image"
    differentiable: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)
    """Pooling, stem, licence, source, method, recipe: what a reader may ask."""
    load: LoadAudit
    module: nn.Module | None = None
    """The network itself, when there is one: checks look at its buffers."""


def _listed(channels: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in channels)


def module_digest(
    module: nn.Module, *identity: str, done: Callable[[str, Tensor], None] = lambda name, tensor: None
) -> str:
    """sha256 over names, dtypes, shapes and bytes of all tensors, and over ``identity``.

    ``identity`` says what else decides the output: the architecture, the pooling. ``done`` is
    called with each name and tensor when it has been read.
    """
    digest = hashlib.sha256("\0".join(identity).encode("utf-8", "backslashreplace"))
    for name, tensor in module.state_dict().items():
        value = tensor.detach().cpu().contiguous()
        digest.update(f"\0{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data if value.numel() else b"")
        done(name, tensor)
    return digest.hexdigest()


def count_parameters(module: nn.Module) -> int:
    """Number of scalar parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def embedding_dim(module: Callable[[Tensor], Tensor], preprocess: Preprocess, device: str) -> int:
    """D, found by embedding one gray image. Raises ``EncoderError`` when the output is not (B, D)."""
    gray = torch.full((1, 3, *preprocess.size), 128, dtype=torch.uint8, device=device)
    with torch.inference_mode():
        out = module(preprocess.normalise(gray))
    if not isinstance(out, Tensor) or out.ndim != 2:
        shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise EncoderError(f"the encoder returns {shape} for one image; it must return (1, D).")
    return int(out.shape[1])


def from_module(module: nn.Module, *, preprocess: Preprocess, device: str = "cpu", name: str = "") -> Encoder:
    """An ``Encoder`` round a module of yours that maps (B, 3, H, W) to (B, D).

    The module is put into eval mode and moved to ``device``. Raises ``EncoderError`` when its
    output is not (B, D).
    """
    kind = type(module)
    module = module.eval().to(device)
    tensors = len(module.state_dict())
    name = name or kind.__name__
    return Encoder(
        ref=f"module:{name}",
        name=name,
        embed=module,
        dim=embedding_dim(module, preprocess, device),
        preprocess=preprocess,
        digest=module_digest(module, f"{kind.__module__}.{kind.__qualname__}", repr(module)),
        parameters=count_parameters(module),
        facts={"source": "a module given in Python"},
        load=LoadAudit(matched=tensors, expected=tensors),
        module=module,
    )


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows divided by their l2 norm, float64: the sphere r = 1 of the theory.

    Takes (..., D). Raises ``EncoderError`` for a zero row, which has no direction.
    """
    features = np.asarray(features, dtype=np.float64)
    norm = np.linalg.norm(features, axis=-1, keepdims=True)
    if zeros := int((norm == 0).sum()):
        raise EncoderError(f"{zeros} embeddings are exactly zero and have no direction.")
    unit: np.ndarray = features / norm
    return unit
