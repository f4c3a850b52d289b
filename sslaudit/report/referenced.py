"""A reference on the card of another encoder: what a method reaches that was trained on the same data."""

from dataclasses import dataclass

from sslaudit.report.shifted import in_percent
from sslaudit.results import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceRecord:
    """One reference encoder, and the encoder of the card minus it, paired by image."""

    ref: str
    """``reference:simclr``, with the options that were given."""
    what: str
    """How it was trained, in words."""
    digest: str
    """That of the reference encoder."""
    term: str = ""
    """The leading accuracy of the card, as its row names it; empty where there is none."""
    summary: str = ""
    balanced: bool = False
    """Whether the values are balanced accuracy, the mean recall of the classes."""
    value: float | None = None
    """Of the reference."""
    interval: Interval | None = None
    difference: float | None = None
    """The value of the card's encoder minus that of the reference."""
    difference_interval: Interval | None = None
    reason: str = ""
    """Why there is no difference."""


def reference_line(record: ReferenceRecord) -> tuple[str, str]:
    """Its line on the first screen."""
    said = record.what
    if record.value is not None:
        low_high = in_percent(record.interval)
        balanced = ", balanced," if record.balanced else ""
        said += f": {record.summary}{balanced} {100 * record.value:.1f} %{low_high}"
    if record.difference is None or record.difference_interval is None:
        return "REFERENCE", f"{said}; not compared: {record.reason}"
    worse = record.difference < 0
    low_high = in_percent(record.difference_interval, -1 if worse else 1)
    unclear = record.difference_interval.low <= 0 <= record.difference_interval.high
    return "REFERENCE", (
        f"{said}; this encoder is {100 * abs(record.difference):.1f} points {'worse' if worse else 'better'}"
        f"{low_high}, paired by image{': too close to tell' if unclear else ''}"
    )
