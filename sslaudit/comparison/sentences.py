"""A comparison in one or two sentences: which encoder is better, whether that is sure, what goes with it."""

from collections.abc import Sequence

from sslaudit.comparison.record import Compared, ComparedRow, Comparison
from sslaudit.numbers import number
from sslaudit.report.phrases import cut, inert, plural
from sslaudit.results import Interval

_NAME = 36

RANKS = (
    "Differences are paired by image, and their intervals hold at 95 % for all pairs at once. A rank is 1 + "
    "how many encoders are better for certain; 1-2 is a rank that the images leave open."
)
TESTED = "p is that of McNemar's exact test of each against the best."
NOT_PAIRED = (
    "* not paired: from the two intervals as if they were independent (MOVER), wide rather than narrow."
)


def sentences(encoders: Sequence[Compared], rows: Sequence[ComparedRow], what: str, images: int) -> list[str]:
    """About encoders, best first, that the accuracy ``what`` was measured of on so many images."""
    if len(encoders) < 2:
        return []
    return [_better(encoders, what, images), *_factors(encoders, rows)]


def points(difference: float, interval: Interval | None) -> str:
    """``-3.2 [-5.4, -1.1]``: a difference of accuracies in points of 100, the interval where there is one."""
    if interval is None:
        return f"{100 * difference:+.1f}"
    low, high = (
        f"{100 * end:+.1f}".replace("+0.0", "0.0").replace("-0.0", "0.0")
        for end in (interval.low, interval.high)
    )
    return f"{100 * difference:+.1f} [{low}, {high}]"


def signed(value: float, interval: Interval | None) -> str:
    """``-.120 [-.140, -.100]``."""
    text = f"{'+' if value > 0 else ''}{number(value)}"
    return text if interval is None else f"{text} [{number(interval.low)}, {number(interval.high)}]"


def ranks(encoder: Compared) -> str:
    """``1``, or ``1-2`` where the images leave it open."""
    first, last = encoder.rank, encoder.last_rank
    return str(first) if first == last else f"{first}-{last}"


def title(comparison: Comparison) -> tuple[str, str]:
    """On which data, and how it was seen."""
    classes = f", {plural(comparison.classes, 'class', 'classes')}" if comparison.classes else ""
    views = plural(comparison.views, "view", "views")
    return (
        f"{len(comparison.encoders):,} encoders on {cut(inert(comparison.data), 40)}: "
        f"{plural(comparison.images, 'image', 'images')} tested, paired by image{classes}",
        f"recipe {inert(comparison.recipe)}, {views}, seed {comparison.seed}, {comparison.precision}",
    )


def about_ranks(comparison: Comparison) -> str:
    """What intervals, ranks and p mean."""
    tested = any(encoder.p is not None for encoder in comparison.encoders)
    return f"{RANKS} {TESTED}" if tested else RANKS


def accuracy_of(comparison: Comparison) -> str:
    """``balanced kNN``."""
    space = " on projection z" if comparison.space == "projection" else ""
    return f"{'balanced ' if comparison.balanced else ''}{comparison.summary}{space}"


def shown_rows(comparison: Comparison, *, everything: bool) -> list[tuple[str, list[ComparedRow]]]:
    """Headings and their rows: accuracies and factors without the minor, or ``everything``."""
    groups = dict.fromkeys(["quality", "factor", *(row.group for row in comparison.rows)])
    names = {"quality": "how good", "factor": "factors"}
    found = []
    for group in groups if everything else names:
        for space in sorted({row.space for row in comparison.rows if row.group == group}):
            rows = [row for row in comparison.rows if (row.group, row.space) == (group, space)]
            where = ", projection z" if space == "projection" else ""
            found.append(
                (names.get(group, group) + where, [row for row in rows if everything or not row.minor])
            )
    return [(heading, rows) for heading, rows in found if rows]


def name_of(encoder: Compared, width: int = _NAME) -> str:
    """Its name on one line, cut in the middle."""
    return cut(inert(encoder.name), width)


def _better(encoders: Sequence[Compared], what: str, images: int) -> str:
    best, others = encoders[0], encoders[1:]
    if len(others) == 1:
        return _of_two(best, others[0], what, images)
    equal = [one for one in others if is_equal(one)]
    certain = [one for one in others if one.difference_interval and one.difference_interval.high < 0]
    tied = [one for one in others if one not in certain and one not in equal]
    twins = f"; {_names(equal)} {_are(equal)} equal to it" if equal else ""
    if not tied and certain:
        first = certain[0]
        apart = points(first.difference, first.difference_interval)
        return (
            f"{name_of(best)} is better than every other encoder by {what}, and that is real at 95 %: "
            f"the next, {name_of(first)}, {apart} points{twins}."
        )
    if not tied:
        return f"All {len(encoders):,} are equal: the same weights, right on the same images."
    rest = f"; {_names(certain)} {_are(certain)} worse for certain" if certain else ""
    return (
        f"{name_of(best)} has the highest {what}, but {_names(tied)} {_are(tied)} too close to tell on "
        f"{images:,} images{twins}{rest}."
    )


def is_equal(encoder: Compared) -> bool:
    """Whether it is the best once more: the same weights, right on the same images."""
    interval = encoder.difference_interval
    return interval is not None and interval.low == interval.high == 0


def _of_two(best: Compared, other: Compared, what: str, images: int) -> str:
    apart = points(-other.difference, other.difference_interval and _turned(other.difference_interval))
    if is_equal(other):
        return f"{name_of(best)} and {name_of(other)} are equal: the same weights, right on the same images."
    by_test = "" if other.p is None else f", McNemar's p {p_value(other.p)}"
    if other.difference < 0 and other.rank > best.rank:
        return (
            f"{name_of(best)} is better than {name_of(other)} by {what}, and that is real at 95 %: "
            f"{apart} points{by_test}."
        )
    return (
        f"Which of {name_of(best)} and {name_of(other)} is better by {what} cannot be told from "
        f"{images:,} images: {apart} points{by_test}."
    )


def p_value(p: float) -> str:
    """``.041``, ``< .001``."""
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0") if p < 1 else "1"


def _factors(encoders: Sequence[Compared], rows: Sequence[ComparedRow]) -> list[str]:
    factors = [row for row in rows if row.group == "factor" and not row.minor and row.space != "projection"]
    if not factors:
        return [
            "No factor says why: the cards have none in common. Evaluate with "
            "--metrics alignment,divergence,feature-concentration beside the accuracies."
        ]
    place = next((place for place, one in enumerate(encoders) if place and not is_equal(one)), 0)
    if not place:
        return []
    best, other = name_of(encoders[0]), name_of(encoders[place])
    differ = [row for row in factors if row.cells[place].said in ("better", "worse", "higher", "lower")]
    alike = [row.summary for row in factors if row not in differ]
    unsure = f"{joined(alike)} {_do(alike)} not differ for certain" if alike else ""
    if not differ:
        return [f"Between {best} and {other}, {unsure}."]
    has = joined([_more_or_less(row, place) for row in differ])
    return [
        f"{best} has {has} than {other}{f'; {unsure}' if unsure else ''}. That goes with the accuracies; "
        "it need not be their cause."
    ]


def _more_or_less(row: ComparedRow, place: int) -> str:
    cell = row.cells[place]
    which = "less" if cell.difference > 0 else "more"
    apart = cell.difference_interval and _turned(cell.difference_interval)
    return f"{which} {row.summary} ({signed(-cell.difference, apart)})"


def _turned(interval: Interval) -> Interval:
    """Of the difference the other way round."""
    return Interval(low=-interval.high, high=-interval.low, level=interval.level, method=interval.method)


def joined(names: Sequence[str]) -> str:
    """``a, b and c``; four names at most, and how many more there are."""
    shown = [*names[:4], *([f"{len(names) - 4} more"] if len(names) > 4 else [])]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _names(encoders: Sequence[Compared]) -> str:
    return joined([name_of(one) for one in encoders])


def _are(some: Sequence[object]) -> str:
    return "is" if len(some) == 1 else "are"


def _do(some: Sequence[object]) -> str:
    return "does" if len(some) == 1 else "do"
