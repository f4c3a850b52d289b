"""Architectures that the user states with ``arch=``."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import torchvision
from torch import nn

from sslaudit.encoder import Preprocess
from sslaudit.errors import EncoderError, RefError
from sslaudit.registry import nearest
from sslaudit_checkpoints.architectures.base import Architecture, Dialect, Hints, Reading, State
from sslaudit_checkpoints.architectures.resnet import NAMES, architecture, named

_LIBRARIES = ("timm:", "torchvision:")


def of_library(arch: str) -> Architecture | None:
    """The architecture of ``timm:NAME`` or ``torchvision:NAME``; None for a name without library.

    Raises ``EncoderNotFound`` or ``RefError`` for a name that the library lacks.
    """
    if arch.startswith("timm:"):
        return _timm(arch.removeprefix("timm:"))
    if arch.startswith("torchvision:"):
        return _torchvision(arch.removeprefix("torchvision:"))
    return None


def skeleton_of(arch: str) -> Architecture | None:
    """The architecture of any stated name, when it can be built without a file to look at."""
    plan = named(arch)
    return architecture(plan) if plan is not None else of_library(arch)


def in_file(content: Mapping[str, object]) -> str | None:
    """The architecture that the file names: ``arch``, or the same inside its arguments."""
    found = (values.get(name) for values in _settings(content) for name in ("arch", "backbone", "model"))
    return next((said.lower() for said in found if isinstance(said, str)), None)


def number_in_file(content: Mapping[str, object], name: str) -> int | None:
    """A whole number among the arguments in the file, ``num_heads``."""
    found = (values.get(name) for values in _settings(content))
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool)), None)


def flag_in_file(content: Mapping[str, object], name: str) -> bool | None:
    """A yes or no among the arguments in the file, ``maxpool1``."""
    found = (values.get(name) for values in _settings(content))
    return next((flag for flag in found if isinstance(flag, bool)), None)


def is_timm(name: str) -> bool:
    """Whether timm has a model of that name."""
    import timm

    return bool(timm.is_model(name.split(".")[0]))


def _settings(content: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    for place in (content, *(content.get(name) for name in ("args", "opt", "config", "hyper_parameters"))):
        if isinstance(place, Mapping):
            yield place


def check(arch: str) -> None:
    """Raise ``RefError`` when ``arch`` names nothing."""
    if not arch.startswith(_LIBRARIES) and named(arch) is None:
        raise RefError(
            f"arch={arch} is no ResNet of torchvision; write arch=timm:NAME or arch=torchvision:NAME "
            f"for others.{nearest(arch, NAMES)}"
        )


def dialects(stated: Architecture, known: tuple[Dialect, ...]) -> tuple[Dialect, ...]:
    """Ways to read a file as ``stated``: its own names, and the renaming of every known dialect."""
    deep = next((name for name in stated.skeleton().state_dict() if name.count(".") > 2), None)
    anchor = deep or next(iter(stated.skeleton().state_dict()))
    own = Dialect(
        name=stated.name,
        anchor=re.compile(rf"(?<![^.]){re.escape(anchor)}$"),
        read=lambda state, hints: Reading(architecture=stated, state=dict(state)),
    )
    return (own, *(replace(dialect, read=partial(_renamed, dialect.read, stated)) for dialect in known))


def _renamed(
    read: Callable[[State, Hints], Reading], stated: Architecture, state: State, hints: Hints
) -> Reading:
    return replace(read(state, hints), architecture=stated)


def _timm(name: str) -> Architecture:
    from sslaudit_timm.model import build, check_name, preprocessing

    check_name(name)

    def make() -> nn.Module:
        model, _ = build(name, f"arch=timm:{name}", name.split(".")[0], pretrained=False)
        return model

    return Architecture(
        name=f"timm:{name}",
        build=make,
        preprocess=replace(preprocessing(make()), source="assumed: timm's record of the architecture"),
    )


def _torchvision(name: str) -> Architecture:
    if name not in torchvision.models.list_models(torchvision.models):
        hint = nearest(name, torchvision.models.list_models(torchvision.models))
        raise RefError(f"arch=torchvision:{name}: torchvision has no model '{name}'.{hint}")
    return Architecture(
        name=f"torchvision:{name}",
        build=partial(_headless, name),
        preprocess=Preprocess(size=(224, 224), crop=0.875, source="assumed"),
    )


def _headless(name: str) -> nn.Module:
    """The model with its last linear layer replaced by nothing."""
    model: nn.Module = torchvision.models.get_model(name, weights=None)
    for part in ("fc", "classifier", "head", "heads"):
        head = getattr(model, part, None)
        if isinstance(head, nn.Linear):
            setattr(model, part, nn.Identity())
            return model
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            head[-1] = nn.Identity()
            return model
    raise EncoderError(f"arch=torchvision:{name}: its classifier is not a linear layer at the end.")
