"""Anchors of a card: what the same probes reach on raw pixels and on an untrained copy of the encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

from sslaudit.results import Check, Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorReading:
    """One number of a metric on an anchor, and the encoder minus the anchor, paired by image."""

    term: str
    """As the row of the card names it: ``knn(k=5)``, ``few-shot.probe-1``."""
    value: float
    interval: Interval | None
    difference: float | None
    """The encoder's value minus this one; None where they cannot be paired."""
    difference_interval: Interval | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorRecord:
    """One anchor."""

    name: str
    """``untrained copy`` or ``raw pixels``."""
    what: str
    """What its features are, in words; why there is no such anchor where ``readings`` is empty."""
    digest: str
    dim: int
    readings: tuple[AnchorReading, ...]

    def reading(self, term: str) -> AnchorReading | None:
        """The reading of one metric, where there is one."""
        return next((reading for reading in self.readings if reading.term == term), None)


UNTRAINED, PIXELS = "untrained copy", "raw pixels"


def check_control(term: str, anchors: Sequence[AnchorRecord]) -> Check | None:
    """Whether the encoder is above its anchors in one metric: the paired interval excludes 0.

    None where no anchor was measured by it. A warning, not a failure: the number stands.
    """
    found = [(anchor.name, reading) for anchor in anchors if (reading := anchor.reading(term))]
    if not found:
        return None
    below = [f"not above {name}: {against(reading)}" for name, reading in found if not is_above(reading)]
    above = f"{term} is above {' and '.join(name for name, _ in found)}"
    return Check(name="control", status="warn" if below else "pass", message="; ".join(below) or above)


def is_above(reading: AnchorReading) -> bool:
    """Whether the paired interval of the encoder minus the anchor lies above 0."""
    return reading.difference_interval is not None and reading.difference_interval.low > 0


def against(reading: AnchorReading) -> str:
    """The encoder minus the anchor, ``+0.9 points [-0.4, +2.4]``."""
    interval = reading.difference_interval
    if reading.difference is None or interval is None:
        return "too few images to tell"
    low, value, high = (100 * share for share in (interval.low, reading.difference, interval.high))
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"
