"""What a person chooses for a run; all of it stands in the header of the checkpoint."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from sslaudit.errors import UsageError
from sslaudit.specs import LARGEST_SEED

Optimiser = Literal["adamw", "sgd", "lars"]
Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """Of one training run from scratch.

    Raises ``UsageError`` for a value that cannot be used, or with which nothing would be trained.
    """

    backbone: str = "conv3"
    """A name of ``sslaudit.train.backbones``, or ``timm:NAME``, ``torchvision:NAME``."""
    size: int = 32
    """Input size in pixels."""
    recipe: str | None = None
    """The recipe of the views; the method's own when left out."""
    epochs: int = 100
    batch_size: int = 256
    """Images in a step, over all processes."""
    optimiser: Optimiser = "adamw"
    lr: float = 1e-3
    """Peak learning rate, taken as it is: not scaled by the batch."""
    momentum: float = 0.9
    """Of SGD and LARS."""
    weight_decay: float = 1e-4
    """Not on biases and norms."""
    warm_up: float = 0.1
    """Share of the steps in which the learning rate rises; then it falls by half a cosine."""
    clip: float | None = None
    """The norm that gradients are clipped to; None for none."""
    precision: Literal["auto"] | Precision = "auto"
    """Of the forward pass; losses are computed in float32."""
    seed: int = 0
    """Of weights, batches and views."""

    def __post_init__(self) -> None:
        for value, flag, known in (
            (self.optimiser, "--optimiser", get_args(Optimiser)),
            (self.precision, "--precision", ("auto", *get_args(Precision))),
        ):
            if value not in known:
                raise UsageError(f"{flag} {value} is none of {', '.join(known)}.")
        for right, text in (
            (self.epochs >= 1, f"--epochs {self.epochs}: an encoder that was not trained is not written."),
            (self.batch_size >= 2, f"--batch-size {self.batch_size}: a step needs at least 2 images."),
            (self.size >= 1, f"--size {self.size} must be above 0."),
            (0 < self.lr < math.inf, f"--lr {self.lr} must be above 0."),
            (0 <= self.momentum < 1, f"--momentum {self.momentum} must be from 0 up to below 1."),
            (0 <= self.weight_decay < math.inf, f"--weight-decay {self.weight_decay} must be 0 or above."),
            (0 <= self.warm_up <= 1, f"--warm-up {self.warm_up} is a share, from 0 to 1."),
            (self.clip is None or 0 < self.clip < math.inf, f"--clip {self.clip} must be above 0."),
            (0 <= self.seed <= LARGEST_SEED, f"--seed {self.seed} is not between 0 and {LARGEST_SEED}."),
        ):
            if not right:
                raise UsageError(text)
