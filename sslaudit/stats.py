"""Intervals: limits of proportions, a band for distributions, bootstraps for everything else.

``method`` of an interval says in words what was resampled. Nothing here gives NaN: too few samples
raise ``ValueError``, and values that are all equal give an interval of width zero that says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm

from sslaudit.results import Interval

_BATCH = 2**20
"""Resampled places held at one time."""


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion. Raises ``ValueError`` for n < 1 or successes outside 0..n.

    Source: Wilson, JASA 1927.
    """
    _check_trials(n)
    limits = binomtest(successes, n).proportion_ci(level, method="wilson")
    return Interval(low=limits.low, high=limits.high, level=level, method="Wilson")


def mean_of_proportions(successes: ArrayLike, trials: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of the mean of K independent proportions, ``successes`` (K,) out of ``trials`` (K,).

    On each side the wider of two. One combines their Wilson limits: it reaches as far as the root of the
    summed squares of the distances to the single limits. That is too narrow for many proportions of few
    trials: 77 % for 95 % at 200 of one trial. The other is the Wilson interval of one proportion whose
    trials give it the variance of the mean; too narrow where a single proportion of few trials decides.
    Together they covered 91 to 100 % for 2 to 200 proportions of 1 to 1,000 trials. Raises ``ValueError``
    for no proportion, or as ``wilson`` does.
    Source: Zou and Donner, Statistics in Medicine 2008 (MOVER); Wilson, JASA 1927.
    """
    k, n = np.asarray(successes, dtype=np.int64), np.asarray(trials, dtype=np.int64)
    if not len(n):
        raise ValueError("no proportions give no interval.")
    singles = [wilson(int(a), int(b), level) for a, b in zip(k, n, strict=True)]
    shares = k / n
    mean = shares.mean()
    below = np.linalg.norm(shares - [single.low for single in singles]) / len(n)
    above = np.linalg.norm([single.high for single in singles] - shares) / len(n)
    low, high = wilson_limits(mean, _effective_trials(k, n), norm.ppf((1 + level) / 2))
    return Interval(
        low=max(0.0, min(mean - below, low)),
        high=min(1.0, max(mean + above, high)),
        level=level,
        method=f"Wilson limits of {len(n):,} proportions, combined (MOVER), or of their mean",
    )


def _effective_trials(successes: np.ndarray, trials: np.ndarray) -> float:
    """Trials of one proportion that has the value and the variance of the mean of K.

    Each p(1 - p) is estimated with one more trial that has the mean as its outcome, and divided by
    1 - n / (n + 1)^2, which makes it unbiased where all proportions are equal.
    """
    mean = float((successes / trials).mean())
    shrunk = (successes + mean) / (trials + 1)
    variances = shrunk * (1 - shrunk) / (1 - trials / np.square(trials + 1)) / trials
    if mean in (0.0, 1.0):
        return float(len(trials) ** 2 / (1 / trials).sum())
    return float(mean * (1 - mean) * len(trials) ** 2 / variances.sum())


def wilson_limits(share: float, trials: float, z: float) -> tuple[float, float]:
    """Score limits of a share of any number of trials, whole or not, at ``z`` standard errors."""
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return float(middle - reach), float(middle + reach)


def clopper_pearson(
    k: int, n: int, level: float = 0.95, side: Literal["two-sided", "upper", "lower"] = "two-sided"
) -> Interval:
    """Exact interval of a proportion; ``upper`` and ``lower`` put the whole error on that limit.

    Raises ``ValueError`` for n < 1, k outside 0..n or an unknown side.
    Source: Clopper and Pearson, Biometrika 1934.
    """
    _check_trials(n)
    alternatives = {"two-sided": "two-sided", "upper": "less", "lower": "greater"}
    if side not in alternatives:
        raise ValueError(f"side is two-sided, upper or lower, not '{side}'.")
    limits = binomtest(k, n, alternative=alternatives[side]).proportion_ci(level, method="exact")
    method = "Clopper-Pearson" if side == "two-sided" else f"Clopper-Pearson, {side} limit"
    return Interval(low=limits.low, high=limits.high, level=level, method=method)


def dkw_halfwidth(n: int, alpha: float = 0.05) -> float:
    """Height of the one-sided band round an empirical distribution function of n samples.

    With probability 1 - alpha the true function is nowhere further above the empirical one. Raises
    ``ValueError`` for n < 1 or alpha outside (0, .5], where the inequality is proved.
    Source: Massart, Annals of Probability 1990, Corollary 1.
    """
    _check_trials(n)
    if not 0 < alpha <= 0.5:
        raise ValueError(f"alpha is in (0, .5], not {alpha}.")
    return float(np.sqrt(np.log(1 / alpha) / (2 * n)))


def bootstrap_mean(
    values: ArrayLike, rng: np.random.Generator, draws: int = 2000, level: float = 0.95
) -> Interval:
    """Percentile interval of the mean of ``values`` (N,), resampled over images.

    Raises ``ValueError`` for fewer than two values or values that are not finite.
    Source: Efron, Annals of Statistics 1979.
    """
    column = _finite(values, dimensions=1)
    if equal := _all_equal(column, level):
        return equal
    means = [resample_counts(rng, size, len(column)) @ column for size in _batches(draws, len(column))]
    return percentile_interval(
        np.concatenate(means) / len(column),
        level,
        f"percentile bootstrap over {len(column):,} images, {draws:,} resamples",
    )


def two_way_bootstrap_mean(
    values: ArrayLike, rng: np.random.Generator, draws: int = 2000, level: float = 0.95
) -> Interval:
    """Percentile interval of the mean of ``values`` (N, R), images and random draws resampled independently.

    Conservative in the noise of single entries, which enters three times; where few draws decide, a
    little short like every percentile interval (93 % for 95 % at R = 20). With R = 1 only images are
    resampled. Raises ``ValueError`` for fewer than two images or values that are not finite.
    Source: Owen, Annals of Applied Statistics 2007, the pigeonhole bootstrap.
    """
    table = _finite(values, dimensions=2)
    n, columns = table.shape
    if columns == 1:
        return bootstrap_mean(table[:, 0], rng, draws, level)
    if equal := _all_equal(table, level):
        return equal
    means = [
        ((resample_counts(rng, size, n) @ table) * resample_counts(rng, size, columns)).sum(axis=1)
        for size in _batches(draws, n + columns)
    ]
    return percentile_interval(
        np.concatenate(means) / table.size,
        level,
        f"percentile bootstrap over {n:,} images and {columns:,} random draws, {draws:,} resamples",
    )


def resample_within_classes(
    labels: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    draws: int = 2000,
) -> np.ndarray:
    """Values of a statistic when images are resampled within their classes: (draws, ...).

    ``statistic`` takes how often each of the N images was drawn, (B, N) for B resamples, and gives
    (B, ...); ``percentile_interval`` makes an interval of the values. Raises ``ValueError`` when no
    class of ``labels`` (N,) has two images.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if all(len(rows) < 2 for rows in members):
        raise ValueError("no class has two images, so nothing can be resampled.")
    replicates = []
    for size in _batches(draws, len(labels)):
        counts = np.empty((size, len(labels)), dtype=np.int64)
        for rows in members:
            counts[:, rows] = resample_counts(rng, size, len(rows))
        replicates.append(statistic(counts))
    return np.concatenate(replicates)


def percentile_interval(replicates: np.ndarray, level: float, method: str) -> Interval:
    """The central ``level`` of bootstrap values (draws,); ``method`` says what was resampled."""
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=low, high=high, level=level, method=method)


def paired_difference(
    a: ArrayLike, b: ArrayLike, rng: np.random.Generator, draws: int = 2000, level: float = 0.95
) -> tuple[float, Interval]:
    """Mean of ``a`` - ``b`` over the images both speak about, with a bootstrap interval.

    Columns are (N,) or (N, R), aligned by image and draw; an image with NaN (or None) in either is
    left out. Raises ``ValueError`` for columns of different shape or fewer than two common images.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"columns of shape {first.shape} and {second.shape} cannot be paired.")
    difference = first - second
    silent = np.isnan(difference)
    common = difference[~(silent.any(axis=1) if difference.ndim == 2 else silent)]
    resample = two_way_bootstrap_mean if common.ndim == 2 else bootstrap_mean
    interval = resample(common, rng, draws, level)
    return float(common.mean()), interval


def accuracy(
    correct: np.ndarray, labels: np.ndarray, *, balanced: bool, rng: np.random.Generator
) -> tuple[float, Interval | None]:
    """Mean of ``correct`` (n,) or (n, R) in [0, 1], or of its means by class of ``labels`` (n,).

    The interval is Wilson's; that of a mean of proportions where ``balanced``; a bootstrap over images
    and draws for shares and for draws that differ, None for one image of them. Raises ``ValueError``
    for no image.
    """
    if not len(correct):
        raise ValueError("no image gives no accuracy.")
    scores = balancing(correct, labels) if balanced else correct
    value = float(scores.mean())
    if len(correct) > 1 and correct.ndim == 2 and (correct == correct[:, :1]).all():
        correct = correct[:, 0]  # draws that agree are one, and a bootstrap may claim certainty
    if correct.ndim == 1 and np.isin(correct, (0, 1)).all():
        if not balanced:
            return value, wilson(int(correct.sum()), len(correct))
        tested, right = np.bincount(labels), np.bincount(labels, weights=correct)
        return value, mean_of_proportions(right[tested > 0], tested[tested > 0])
    if len(correct) < 2:
        return value, None
    return value, _within(two_way_bootstrap_mean(scores.reshape(len(scores), -1), rng), 0.0, 1.0)


def difference_of_accuracies(
    a: ArrayLike, b: ArrayLike, rng: np.random.Generator, tested: ArrayLike | None = None
) -> tuple[float, Interval]:
    """``paired_difference`` of columns whose means are accuracies: within [-1, 1], and never certain.

    Where all images differ alike, as when none does, the interval reaches as far as the changes that so
    few images can hide: the Wilson limit of none in n, that of a mean of proportions for balanced
    accuracy, whose classes have ``tested`` (K,) images. Raises ``ValueError`` as ``paired_difference``.
    """
    value, interval = paired_difference(a, b, rng)
    if interval.low < interval.high:
        return value, _within(interval, -1.0, 1.0)
    n = np.atleast_1d(len(np.asarray(a)) if tested is None else tested)
    limits = wilson(0, int(n[0])) if len(n) == 1 else mean_of_proportions(0 * n, n)
    return value, Interval(
        low=max(-1.0, value - limits.high * (1 + value)),
        high=min(1.0, value + limits.high * (1 - value)),
        level=interval.level,
        method=f"{interval.method}; as wide as the limit of none in {n.sum():,} ({limits.method})",
    )


UNEVEN = 2.0
"""Where the largest class has more than so many times the images of the smallest, accuracy is balanced."""


def size_ratio(labels: np.ndarray) -> float:
    """Images of the largest class over those of the smallest that has any, from labels (n,)."""
    sizes = np.bincount(labels)
    return float(sizes.max() / sizes[sizes > 0].min())


def balancing(correct: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``correct`` (n,) or (n, R), weighted so that its mean is that of the classes of ``labels`` (n,)."""
    tested = np.bincount(labels)
    weights = len(labels) / ((tested > 0).sum() * tested[labels])
    weighted: np.ndarray = (correct.T * weights).T
    return weighted


def _within(interval: Interval, low: float, high: float) -> Interval:
    """``interval`` cut to what can be: resampled weights reach beyond."""
    return replace(interval, low=max(low, interval.low), high=min(high, interval.high))


def _batches(draws: int, n: int) -> Iterator[int]:
    """Sizes of the batches in which ``draws`` resamples of n samples are made."""
    most = max(1, _BATCH // n)
    for start in range(0, draws, most):
        yield min(most, draws - start)


def resample_counts(
    rng: np.random.Generator, size: int, n: int, dtype: type[np.integer] = np.int64
) -> np.ndarray:
    """How often each of n samples is drawn in ``size`` resamples with replacement, (size, n).

    ``dtype`` is that of the numbers drawn: a short one is faster, and draws otherwise.
    """
    drawn = rng.integers(n, size=(size, n), dtype=dtype) + n * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)


def _all_equal(values: np.ndarray, level: float) -> Interval | None:
    """The interval of width zero when there is nothing to resample."""
    value = values.flat[0]
    if (values != value).any():
        return None
    return Interval(low=value, high=value, level=level, method=f"degenerate: {values.size:,} equal values")


def _finite(values: ArrayLike, dimensions: int) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions or array.size == 0 or len(array) < 2:
        raise ValueError(f"values of shape {array.shape} give no interval: it takes two images or more.")
    if not np.isfinite(array).all():
        raise ValueError("the values are not all finite.")
    return array


def _check_trials(n: int) -> None:
    if n < 1:
        raise ValueError(f"{n} samples give no interval.")
