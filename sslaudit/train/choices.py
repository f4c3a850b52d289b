"""What a person chooses for a run; all of it stands in the header of the checkpoint."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """Of one training run from scratch."""

    backbone: str = "conv3"
    """A name of ``sslaudit.train.backbones``, or ``timm:NAME``, ``torchvision:NAME``."""
    size: int = 32
    """Input size in pixels."""
    recipe: str | None = None
    """The recipe of the views; the method's own when left out."""
    epochs: int = 100
    batch_size: int = 256
    """Images in a step, over all processes."""
    optimiser: Literal["adamw", "sgd", "lars"] = "adamw"
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
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of the forward pass; losses are computed in float32."""
    seed: int = 0
    """Of weights, batches and views."""
