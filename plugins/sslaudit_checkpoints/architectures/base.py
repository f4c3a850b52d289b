"""What an architecture is, and how a family of architectures reads the tensors of a file.

A *dialect* is one way in which projects name the tensors of one family. It is found by an anchor, a
name deep inside the backbone; what stands in front of the anchor is the prefix. Its ``read`` infers
the architecture from names and shapes alone and brings the names into those of the architecture's
own ``state_dict``. Whether all tensors then fit is not decided here (see ``match``).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sslaudit.encoder import Preprocess

State = Mapping[str, Tensor]
"""Tensors by name, wrappers and prefix removed."""


class Unfit(Exception):
    """The family is recognised, and this member of it cannot be built; the message says why.

    One to a few lines for the user, without the name of the file: what was found and what to do.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Hints:
    """What is known beside the tensors."""

    project: str = ""
    """The project whose layout the file has, as in ``projects``: ``mocov3``; empty when unknown."""
    heads: int | None = None
    """Attention heads, when the user says (``heads=``)."""
    size: tuple[int, int] | None = None
    """Input height and width in pixels, when the user says (``size=``)."""
    same_padding: bool = False
    """Whether layers of stride 2 pad as in TensorFlow (``padding=same``): no tensor shows it."""
    max_pool: bool | None = None
    """Whether a max-pool follows the stem, where the file's own settings say."""
    arch: str | None = None
    """The architecture that the user states (``arch=``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One backbone: how to make it, and what goes without saying about it."""

    name: str
    """``resnet50``, ``vit_small, patch 16``."""
    build: Callable[[], nn.Module]
    """A backbone (B, 3, H, W) -> (B, D) with fresh weights from torch's global generator."""
    preprocess: Preprocess
    """What holds when neither the file nor its project says; its source is ``assumed``."""
    depth: str = ""
    """Number of blocks, by stage where there are stages: ``2-2-2-2``."""
    published: bool = True
    """Whether a net of this depth is known; otherwise blocks may be missing from the file."""
    assumptions: tuple[str, ...] = ()
    """What the tensors do not say and was assumed, a sentence each."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What a reader may ask: stem, pooling, grid, heads."""

    def skeleton(self) -> nn.Module:
        """The backbone without memory for its weights, for names and shapes."""
        with torch.device("meta"):
            return self.build()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A file's tensors, read as one architecture."""

    architecture: Architecture
    state: dict[str, Tensor]
    """By the architecture's own names; a tensor without a place keeps its name."""
    renamed: tuple[str, ...] = ()
    """The rules that brought the names there, a sentence each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """One way of naming the tensors of one family."""

    name: str
    """In words: ``torchvision ResNet``, ``EfficientNet-PyTorch``."""
    anchor: re.Pattern[str]
    """Matches at the end of one name of every backbone of the family and of nothing else."""
    read: Callable[[State, Hints], Reading]
    """Infers the architecture. Raises ``Unfit``."""

    def prefixes(self, names: Mapping[str, object]) -> list[str]:
        """What stands in front of the anchor, for each backbone of this dialect among ``names``."""
        found = {name[: match.start()] for name in names if (match := self.anchor.search(name))}
        return sorted(prefix for prefix in found if not prefix or prefix.endswith("."))
