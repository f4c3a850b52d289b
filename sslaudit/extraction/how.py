"""What is extracted, and how: the identity of features."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import torch

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, Preprocess
from sslaudit.plan import Space
from sslaudit.recipes import VERSION as OPERATIONS
from sslaudit.recipes import Recipe
from sslaudit.store import key_of

Precision = Literal["fp32", "bf16", "fp16"]
ViewsMode = Literal["per-image", "bank"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Extraction:
    """How features are computed; together with encoder and data it is their identity."""

    recipe: Recipe
    views: int
    """V, the identity view included."""
    seed: int
    views_mode: ViewsMode = "per-image"
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
        return {
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

    def about(self, encoder: Encoder, data: Dataset) -> dict[str, str | int]:
        """What a person reads about these features in ``sslaudit cache ls``; no part of the key."""
        return {
            "encoder": encoder.ref,
            "data": data.ref,
            "images": len(data),
            "recipe": self.recipe.key() if self.draws else "identity view",
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
