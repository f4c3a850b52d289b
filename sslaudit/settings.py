"""What the user may choose about a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sslaudit.encoder import Override
from sslaudit.errors import UsageError
from sslaudit.extraction import ViewsMode
from sslaudit.plan import Space


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the user may choose about a run."""

    metrics: str | Sequence[str] | None = None
    space: Space = "embedding"
    recipe: str = "auto"
    views: int = 8
    views_mode: ViewsMode = "per-image"
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    compiled: bool = False
    batch_size: int | None = None
    workers: int | None = None
    """Threads that decode; None for what the device likes."""
    max_images: int | None = None
    per_class: int | None = None
    group: str | None = None
    """A column of the data, or an expression searched in each id: images of one group stay together."""
    cache: str | Path | bool | None = None
    """A folder; None for the default one; False for none."""
    override: Override | None = None
    anchors: bool = True
    """Whether raw pixels and an untrained copy are measured beside the encoder."""

    shift: object | None = None
    """Other data on which the probes are tested too; None for none."""

    def __post_init__(self) -> None:
        if self.space not in ("embedding", "projection"):
            raise UsageError(f"--space {self.space} is neither embedding nor projection.")
        for option, number in (("--views", self.views), ("--batch-size", self.batch_size)):
            if number is not None and number < 1:
                raise UsageError(f"{option} {number} is below 1.")
        if self.workers is not None and self.workers < 0:
            raise UsageError(f"--workers {self.workers} is below 0.")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} is below 0.")
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise UsageError(f"--precision {self.precision} is none of auto, fp32, bf16, fp16.")
