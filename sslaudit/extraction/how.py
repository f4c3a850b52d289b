"""What is extracted, and how: the identity of features."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import torch
from torch import Tensor

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, Preprocess
from sslaudit.plan import Space
from sslaudit.recipes import VERSION as OPERATIONS
from sslaudit.recipes import Recipe
from sslaudit.store import key_of

Precision = Literal["fp32", "bf16", "fp16"]
ViewsMode = Literal["per-image", "bank"]


@dataclass(frozen=True, slots=True)
class Alteration:
    """A change of the pixels of identity views, before the encoder sees them."""

    key: str
    """What is done, in full: name, version, parameters, seed. A part of the identity of features."""
    apply: Callable[[Tensor, Sequence[str]], Tensor] = field(compare=False)
    """``apply(pixels, digests)``: (n, 3, H, W) uint8 and the digest of each image to (n, 3, H', W') uint8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extraction:
    """How features are computed; together with encoder and data it is their identity."""

    recipe: Recipe
    views: int
    """V, the identity view included."""
    seed: int
    views_mode: ViewsMode = "per-image"
    alteration: Alteration | None = None
    """What is done to the pixels of all views; None for nothing."""
    space: Space = "embedding"
    precision: Precision = "fp32"
    compiled: bool = False
    """Whether the encoder is compiled by ``torch.compile``."""
    batch_size: int
    """Views in one forward pass."""
    workers: int = 0
    """Threads that decode; not part of the identity."""
    device: str = "cpu"

    def key(self, encoder: Encoder, data: Dataset) -> str:
        """The content address of the features."""
        # The bytes depend on the kernels that batch size and kind of device choose.
        preprocess = {name: v for name, v in asdict(encoder.preprocess).items() if name != "source"}
        return key_of(
            {
                "encoder": encoder.digest,
                "projector": encoder.project_digest if self.space == "projection" else "",
                "preprocess": preprocess,
                "space": self.space,
                "precision": self.precision,
                "compiled": self.compiled,
                "batch_size": self.batch_size,
                "device": torch.device(self.device).type,
                "images": list(data.digests),
                **self._drawn(),
            }
        )

    def of_data(self, data: Dataset, geometry: Preprocess) -> dict[str, object]:
        """What decides the views as pixels, and the labels: equal for encoders of one input geometry."""
        return {
            "data": data.digest,
            "size": geometry.size,
            "interpolation": geometry.interpolation,
            "crop": geometry.crop,
            **self._drawn(),
        }

    def _drawn(self) -> dict[str, object]:
        altered = {} if self.alteration is None else {"alteration": self.alteration.key}
        return {
            **altered,
            "recipe": self.recipe.key() if self.draws else "",
            "operations": OPERATIONS,
            "views": self.views,
            "views_mode": self.views_mode if self.draws else "",
            "seed": self.seed if self.draws else 0,
        }

    @property
    def draws(self) -> bool:
        """Whether anything is drawn: one view is the identity view, whatever the recipe and the seed."""
        return self.views > 1 and not self.recipe.identity

    @property
    def _seen_through(self) -> str:
        if self.alteration is not None:
            return self.alteration.key
        return self.recipe.key() if self.draws else "identity view"

    def about(self, encoder: Encoder, data: Dataset) -> dict[str, str | int]:
        """What a person reads about these features in ``sslaudit cache ls``; no part of the key."""
        return {
            "encoder": encoder.ref,
            "data": data.ref,
            "images": len(data),
            "recipe": self._seen_through,
            "views": self.views,
            "seed": self.seed,
            "space": self.space,
            "precision": self.precision,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where an extraction stands; handed to the progress callback after every batch."""

    done: int
    total: int
    """Views that this process sees to."""
    cached: int
    """Views that were in the cache already."""


OnProgress = Callable[[Progress], None]
