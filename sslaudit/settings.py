"""What the user may choose about a run."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from sslaudit.encoder import Override
from sslaudit.errors import UsageError
from sslaudit.extraction import ViewsMode
from sslaudit.named import AuditSuite
from sslaudit.plan import Space

BY_SUITE = (
    "metrics",
    "recipe",
    "views",
    "views_mode",
    "seed",
    "precision",
    "max_images",
    "per_class",
)
"""What a suite chooses."""

UNSUITED = ("space", "group")
"""What no suite speaks about, and would make other numbers of the same name."""


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
    suite: AuditSuite | None = None
    """A protocol that chooses for the user; see ``BY_SUITE``."""

    def __post_init__(self) -> None:
        if self.suite is not None:
            self._take(self.suite)
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

    def _take(self, suite: AuditSuite) -> None:
        """The choices of ``suite``. Raises ``UsageError`` where the user has chosen too."""
        defaults = {field.name: field.default for field in fields(self)}
        for name in (*BY_SUITE, *UNSUITED):
            chosen = getattr(suite, name, defaults[name])
            if getattr(self, name) not in (defaults[name], chosen):
                raise refuse_beside(suite, name)
            object.__setattr__(self, name, chosen)


def refuse_beside(suite: AuditSuite, name: str) -> UsageError:
    """The error where the choice ``name`` is given beside ``suite``."""
    option = "--" + name.replace("_", "-")
    return UsageError(f"{option} does not go with the suite '{suite.name}', which leaves nothing to choose.")
