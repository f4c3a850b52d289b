"""A card under shift: what probes fitted on one data set reach on the images of another."""

from dataclasses import dataclass, field

from sslaudit.numbers import number
from sslaudit.results import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftReading:
    """One probe, fitted as on the card and tested on the shifted images."""

    term: str
    """As planned, with the name of the estimate where the metric gives several."""
    summary: str
    space: str
    """Where the features live that it read."""
    minor: bool = False
    """Whether a terminal leaves its row to ``sslaudit report CARD --all``."""
    balanced: bool = False
    """Whether both values are balanced accuracy, the mean recall of the classes."""
    value: float | None = None
    """Accuracy on the shifted images."""
    interval: Interval | None = None
    clean_value: float | None = None
    """Accuracy on test images of the card: the originals, else those of the classes that are tested."""
    drop: float | None = None
    """``clean_value`` minus ``value``."""
    drop_interval: Interval | None = None
    reason: str = ""
    """Why there is no value, or no drop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftRecord:
    """The probes of a card on the images of another data set."""

    ref: str
    """As the user wrote it."""
    digest: str
    """sha256 over contents, class names and splits of the images tested."""
    images: int
    """Images tested."""
    classes: int
    """Classes of the card's data that they have."""
    paired: bool
    """Whether each is another form of one test image of the card."""
    sentence: str
    """Which images were tested."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Images that were not tested, by reason."""
    leaks: str = ""
    """Shifted images that are training images of the card, in a sentence; empty for none."""
    notes: tuple[str, ...] = ()
    readings: tuple[ShiftReading, ...] = ()


def shift_lines(record: ShiftRecord) -> list[tuple[str, str]]:
    """Lines of the first screen: the first reading, and what makes it doubtful."""
    first = [reading for reading in record.readings if not reading.minor][:1]
    lines = [("SHIFT", _sentence(record, reading)) for reading in first]
    lines = lines or [("SHIFT", f"nothing was tested on {record.ref}: {' '.join(record.notes)}")]
    return [*lines, ("WARNING", record.leaks)] if record.leaks else lines


def shift_rows(record: ShiftRecord, *, minor: bool = True) -> list[tuple[str, str, str, str]]:
    """Readings as label, term, value with its interval, and drop with its interval."""
    return [
        (
            reading.summary,
            reading.term,
            "-" if reading.value is None else _spanned(number(reading.value), reading.interval),
            reading.reason if reading.drop is None else _spanned(number(reading.drop), reading.drop_interval),
        )
        for reading in record.readings
        if minor or not reading.minor
    ]


def shift_notes(record: ShiftRecord) -> list[tuple[str, str]]:
    """Which images were tested, which were not, and what else there is to say; nothing where none was."""
    if not record.readings:
        return []
    left = "; ".join(f"{count:,} left out: {reason}" for reason, count in record.left_out.items())
    said = [record.sentence, *([f"{left}."] if left else []), *record.notes]
    return [("shift", sentence) for sentence in said]


def _sentence(record: ShiftRecord, reading: ShiftReading) -> str:
    space = " on projection z" if reading.space == "projection" else ""
    what = f"{reading.summary}{space}{', balanced,' if reading.balanced else ''}"
    if reading.value is None:
        return f"{what} on {record.ref}: {reading.reason}"
    value = f"{what} {100 * reading.value:.1f} %{in_percent(reading.interval)} on {record.ref}"
    if reading.drop is None:
        return f"{value}; {reading.reason}"
    way = "below" if reading.drop >= 0 else "above"
    low_high = in_percent(reading.drop_interval, -1 if reading.drop < 0 else 1)
    how = "paired by image" if record.paired else "not paired"
    return f"{value}, {100 * abs(reading.drop):.1f} points {way} the test images{low_high}, {how}"


def in_percent(interval: Interval | None, sign: int = 1) -> str:
    """`` [14.1, 20.3]``; with ``sign`` -1 that of the negative."""
    if interval is None:
        return ""
    low, high = sorted(100 * sign * end for end in (interval.low, interval.high))
    return f" [{low:.1f}, {high:.1f}]"


def _spanned(value: str, interval: Interval | None) -> str:
    return value if interval is None else f"{value} [{number(interval.low)}, {number(interval.high)}]"
