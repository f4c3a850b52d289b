"""What a comparison found, as data: ``sslaudit compare --format json`` writes it."""

from dataclasses import dataclass
from typing import Any, Literal

from sslaudit.figures import Curve
from sslaudit.report import strict_json
from sslaudit.results import Interval

SCHEMA_VERSION = 1

Said = Literal["better", "worse", "higher", "lower", "too close to tell", "equal", "no interval"]
"""How the number of one encoder stands to that of the best, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One encoder of a comparison."""

    name: str
    """Its reference, or where two have the same, the path of its card."""
    ref: str
    digest: str
    epoch: int | None
    """After which it was saved, where its file says so."""
    rank: int
    """1 + how many encoders are better for certain."""
    last_rank: int
    """How many encoders there are, less those that are worse for certain."""
    value: float
    """Of the accuracy that decides."""
    interval: Interval | None
    difference: float
    """To the best."""
    difference_interval: Interval | None
    """Holds for all pairs at once; None for the best."""
    p: float | None
    """Of McNemar's exact test against the best."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One number of one encoder, beside the same number of the best."""

    value: float
    interval: Interval | None
    difference: float
    """To the best."""
    difference_interval: Interval | None
    """Of this pair alone; None for the best, and where a value has no interval."""
    at: str
    """Where the number was taken, ``delta .521``; empty where that is no question."""
    said: Said


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedRow:
    """One number of all encoders."""

    term: str
    summary: str
    paper: str
    group: str
    space: str
    direction: str
    unit: str
    minor: bool
    paired: bool
    """By image; else differences come from both intervals, as if they were independent."""
    cells: tuple[Cell, ...]
    """In the order of the encoders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Encoders on the same images: which is better, whether that is sure, and which factor differs."""

    schema_version: int = SCHEMA_VERSION
    data: str
    """As the user wrote it for the first card."""
    data_digest: str
    classes: int
    images: int
    """Tested, and paired."""
    recipe: str
    views: int
    seed: int
    precision: str
    term: str
    """The accuracy that decides."""
    summary: str
    space: str
    balanced: bool
    encoders: tuple[Compared, ...]
    """Best first."""
    rows: tuple[ComparedRow, ...]
    """All other numbers that every card has; those of the data alone are none of them."""
    sentences: tuple[str, ...]
    left_out: tuple[str, ...]
    """What is not compared, and why."""
    curves: tuple[Curve, ...] = ()
    """Over epochs, where cards are of one run."""
    curves_note: str = ""
    """What one run is told by, or what is missing to tell it."""


def to_json(comparison: Comparison) -> str:
    """Strict JSON."""
    return strict_json.dumps(comparison)


def json_schema() -> dict[str, Any]:
    """The JSON schema of ``sslaudit compare --format json``."""
    return strict_json.schema(Comparison, "sslaudit comparison")
