"""Which metrics go with accuracy: rank correlations over the cards of several encoders.

Encoders are few, so p is by permutation and cannot be small: the order of n values without ties has p of
2 / n! at least. A correlation over encoders of one family says nothing about the next family.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kendalltau, permutation_test, rankdata, spearmanr

from sslaudit.comparison import check_comparable
from sslaudit.errors import CardError
from sslaudit.report.card import MetricRecord, ReportCard

_EXACT = 8
"""Up to so many values all orders are looked at: 8! are 40,320."""
_DRAWS = 9_999


@dataclass(frozen=True, kw_only=True, slots=True)
class RankCorrelation:
    """How far two columns have the same order."""

    value: float | None
    """In [-1, 1]; tied values have the mean of their ranks."""
    p: float | None = None
    """Two-sided, by permutation; None beside no value."""
    smallest_p: float | None = None
    """The smallest p that these values could have had in any order."""
    exact: bool = False
    """Whether p is over all orders, and not over drawn ones."""
    n: int
    reason: str = ""
    """Why there is no value."""


def spearman(a: ArrayLike, b: ArrayLike, rng: np.random.Generator | None = None) -> RankCorrelation:
    """Spearman's rank correlation of a (n,) and b (n,).

    p is over all n! orders up to n = 8, else over 9,999 drawn ones, from ``rng`` or seed 0. There is no
    value for fewer than 3 pairs or a constant column. Raises ``ValueError`` for columns of different
    length or that are not finite.
    Source: Spearman, American Journal of Psychology 1904; Pitman, JRSS Supplement 1937 (permutation).
    """
    x, y = _columns(a, b)
    if reason := _silent(x, y):
        return RankCorrelation(value=None, n=len(x), reason=reason)
    first, second = rankdata(x), rankdata(y)
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt((first @ first) * (second @ second))
    return _tested(
        float(spearmanr(x, y).statistic), first, lambda order, axis: order @ second / scale, len(x), rng
    )


def kendall(a: ArrayLike, b: ArrayLike, rng: np.random.Generator | None = None) -> RankCorrelation:
    """Kendall's tau-b of a (n,) and b (n,), which allows for ties; the rest as for ``spearman``.

    Source: Kendall, Biometrika 1945.
    """
    x, y = _columns(a, b)
    if reason := _silent(x, y):
        return RankCorrelation(value=None, n=len(x), reason=reason)
    left, right = np.triu_indices(len(x), 1)
    signs = np.sign(y[left] - y[right])
    scale = np.sqrt(np.count_nonzero(x[left] - x[right]) * np.count_nonzero(signs))

    def tau(order: np.ndarray, axis: int) -> np.ndarray:
        value: np.ndarray = np.sign(order[..., left] - order[..., right]) @ signs / scale
        return value

    return _tested(float(kendalltau(x, y).statistic), x, tau, len(x), rng)


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricCorrelation:
    """How one metric goes with accuracy."""

    term: str
    name: str
    space: str
    label: str
    direction: str
    spearman: RankCorrelation
    kendall: RankCorrelation

    @property
    def as_expected(self) -> bool | None:
        """Whether a better metric goes with higher accuracy; None where neither end is better."""
        if not self.spearman.value or self.direction == "none":
            return None
        return (self.spearman.value > 0) == (self.direction == "higher")


@dataclass(frozen=True, kw_only=True, slots=True)
class Correlations:
    """How every metric goes with the accuracy of one term."""

    accuracy: str
    """The term."""
    encoders: int
    rows: tuple[MetricCorrelation, ...]
    """The strongest first; those without a value last."""

    @property
    def note(self) -> str:
        """What to think of p, in a sentence or two."""
        n, found = self.encoders, sum(row.spearman.value is not None for row in self.rows)
        least = 2 / math.factorial(n)
        few = f"No p can be below {least:.2g}, because encoders are few. " if least > 1e-3 else ""
        return (
            f"Ranks of {n} encoders, p by permutation for one metric alone. {few}"
            f"Of {found} unrelated metrics about {found / 20:.1f} would have p below .05 by chance."
        )


def of_metrics(cards: Sequence[ReportCard], accuracy: str, *, seed: int = 0) -> Correlations:
    """Rank correlations of the value of every metric with that of ``accuracy``, a term or name on each card.

    A metric is compared over the encoders that have a value of it. Raises ``CardError`` for fewer than
    three cards, cards of other images or views, a card with a failed check, and one without ``accuracy``.
    """
    _check(cards)
    target = [_accuracy(card, accuracy) for card in cards]
    columns: dict[tuple[str, str, str], list[MetricRecord | None]] = {}
    for place, card in enumerate(cards):
        for record in card.metrics:
            key = (record.term, record.name, record.space)
            columns.setdefault(key, [None] * len(cards))[place] = record
    own = {(record.term, record.name, record.space) for record in target}
    rows = [
        _row(column, [record.value for record in target], seed)
        for key, column in columns.items()
        if key not in own
    ]
    rows.sort(key=_strength)
    return Correlations(accuracy=target[0].term, encoders=len(cards), rows=tuple(rows))


def _row(column: list[MetricRecord | None], accuracy: list[float | None], seed: int) -> MetricCorrelation:
    there = [record for record in column if record is not None]
    first = there[0]
    pairs = [
        (record.value, value)
        for record, value in zip(column, accuracy, strict=True)
        if record is not None and record.value is not None and value is not None
    ]
    if len({record.version for record in there}) > 1:
        silent = RankCorrelation(value=None, n=len(pairs), reason="the cards have different versions of it")
        by_rank, by_pairs = silent, silent
    else:
        values, target = [a for a, _ in pairs], [b for _, b in pairs]
        by_rank = spearman(values, target, np.random.default_rng(seed))
        by_pairs = kendall(values, target, np.random.default_rng(seed))
    return MetricCorrelation(
        term=first.term,
        name=first.name,
        space=first.space,
        label=first.summary,
        direction=first.direction,
        spearman=by_rank,
        kendall=by_pairs,
    )


def _strength(row: MetricCorrelation) -> tuple[float, float, str, str, str]:
    if row.spearman.value is None or row.kendall.value is None:
        return (1.0, 0.0, row.term, row.name, row.space)
    # Rounded, so that the last digit of equal correlations does not decide.
    return (
        -round(abs(row.spearman.value), 9),
        -round(abs(row.kendall.value), 9),
        row.term,
        row.name,
        row.space,
    )


def _check(cards: Sequence[ReportCard]) -> None:
    if len(cards) < 3:
        raise CardError(f"rank correlations take three encoders, not {len(cards)}.")
    check_comparable(cards)


def _accuracy(card: ReportCard, accuracy: str) -> MetricRecord:
    try:
        record = card.metric(accuracy)
    except KeyError:
        raise CardError(f"the card of {card.encoder.ref} has no metric '{accuracy}'.") from None
    if record.value is None:
        raise CardError(f"the card of {card.encoder.ref} has no value of '{accuracy}': {record.reason}.")
    return record


def _columns(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"columns are (n,) of one length, not {x.shape} and {y.shape}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the columns are not all finite.")
    return x, y


def _silent(x: np.ndarray, y: np.ndarray) -> str:
    if len(x) < 3:
        return f"{len(x)} pairs have no order to speak of: it takes three"
    if (x == x[0]).all() or (y == y[0]).all():
        return "the values are all equal"
    return ""


def _tested(
    value: float,
    order: np.ndarray,
    statistic: Callable[[np.ndarray, int], np.ndarray],
    n: int,
    rng: np.random.Generator | None,
) -> RankCorrelation:
    exact = n <= _EXACT
    test = permutation_test(
        (order,),
        statistic,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=math.factorial(n) if exact else _DRAWS,
        batch=max(1, 2**20 // n**2),
        rng=np.random.default_rng(0) if rng is None else rng,
    )
    null = np.round(test.null_distribution, 12)
    ends = [np.count_nonzero(null == end) / len(null) for end in (null.min(), null.max())]
    return RankCorrelation(
        value=value,
        p=float(test.pvalue),
        smallest_p=min(1.0, float(2 * min(ends)) if exact else 2 / (_DRAWS + 1)),
        exact=exact,
        n=n,
    )
