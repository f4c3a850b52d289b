"""How far means over the same images differ: standard errors, simultaneous limits, McNemar's test."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, norm, t

from sslaudit import stats
from sslaudit.comparison.columns import Columns

LEVEL = 0.95
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Differences:
    """All pairs of K means over the same images."""

    means: np.ndarray
    """(K,)."""
    errors: np.ndarray
    """(K, K) standard errors of the differences."""
    freedom: np.ndarray
    """(K, K) degrees of freedom of the errors: few where few random draws decide, else infinite."""
    trials: float
    """Images that would make every mean as uncertain where classes count alike."""
    single: bool
    """Whether there is one number for each image, and no random draw beside."""
    p: np.ndarray | None
    """(K, K) of McNemar's exact test; None for what is not right or wrong."""

    @classmethod
    def of(cls, columns: Columns) -> "Differences":
        """Errors are unbiased: N - 1 in the denominator, within classes where the means are balanced.

        Of R random draws the spread of their means is added to that of images, which counts the noise of
        single entries twice, so that is wide rather than narrow (Owen, Annals of Applied Statistics 2007).
        The spread of R draws is known by R - 1 degrees of freedom (Satterthwaite, Biometrics Bulletin 1946).
        """
        values = columns.values
        over_images = _squares(_covariance_over_images(values.mean(axis=2), columns.classes))
        over_draws, draws = np.zeros_like(over_images), values.shape[2]
        if draws > 1:
            over_draws = _squares(np.atleast_2d(np.cov(values.mean(axis=1))) / draws)
        squares = over_images + over_draws
        share = np.divide(over_draws, squares, out=np.zeros_like(squares), where=squares > 0)
        return cls(
            means=values.mean(axis=(1, 2)),
            errors=np.sqrt(squares),
            freedom=np.divide(draws - 1, share**2, out=np.full_like(share, np.inf), where=share**2 > 0),
            trials=_trials(columns),
            single=draws == 1,
            p=mcnemar(values[:, :, 0]) if draws == 1 else None,
        )

    def reach(self, a: int, b: int, z: float, least: float = 0.0) -> float:
        """How far from mean ``a`` minus mean ``b`` is as likely as ``z`` standard errors of a normal.

        The error is ``least`` at the least, and t-distributed where few random draws decide.
        """
        if self.freedom[a, b] < np.inf:
            z = float(t.isf(norm.sf(z), self.freedom[a, b]))
        return z * float(np.hypot(self.errors[a, b], least))

    def limits(self, a: int, b: int, z: float) -> tuple[float, float]:
        """Of mean ``a`` minus mean ``b``, both accuracies, ``z`` standard errors away.

        No pair is certain because few images differ. The error holds one image more that differs, as in
        the interval of Agresti and Min, Statistics in Medicine 2005. And the limits reach at least as far as
        Wilson's for images that all differ in one direction: z^2 / (n + z^2) where no image differs. Nor is
        a pair certain that the exact test leaves open at 5 %.
        """
        difference = float(self.means[a] - self.means[b])
        reach = self.reach(a, b, z, 1 / self.trials)
        low, high = difference - reach, difference + reach
        if self.single:
            near, far = stats.wilson_limits(min(1.0, abs(difference)), self.trials, z)
            near, far = (near, far) if difference else (-far, far)
            low = min(low, near if difference >= 0 else -far)
            high = max(high, far if difference >= 0 else -near)
        if self.p is not None and self.p[a, b] > 1 - LEVEL:
            low, high = min(low, 0.0), max(high, 0.0)
        return max(-1.0, low), min(1.0, high)


def critical_value(columns: Columns, trials: float, rng: np.random.Generator, draws: int = DRAWS) -> float:
    """How many standard errors all pairs of K accuracies stay within at once, in 95 % of resamples.

    One bootstrap over images, the same draws for all: within classes where the accuracies are balanced, and
    over random draws too where there are several. Each resampled mean gets normal noise that makes a
    difference as uncertain as one image does: a pair of which few images differ has no error of its own to
    be divided by. At least the normal quantile.
    Source: Romano and Wolf, Econometrica 2005 (max-t); Silverman and Young, Biometrika 1987 (smoothed).
    """
    values = columns.values
    k, n, width = values.shape
    strata = np.zeros(n, dtype=np.int64) if columns.classes is None else _strata(columns.classes)
    table = values.transpose(1, 0, 2).reshape(n, k * width)

    def resampled(counts: np.ndarray) -> np.ndarray:
        means = (counts @ table).reshape(len(counts), k, width) / n
        drawn = stats.resample_counts(rng, len(counts), width) / width
        over_draws: np.ndarray = np.einsum("bkr,br->bk", means, drawn)
        return over_draws

    means = stats.resample_within_classes(strata, resampled, rng, draws)
    means += rng.normal(scale=1 / (np.sqrt(2) * trials), size=means.shape)
    means -= means.mean(axis=0)
    largest = np.zeros(draws)
    for a in range(k - 1):
        apart = means[:, a, None] - means[:, a + 1 :]
        np.maximum(largest, np.abs(apart / apart.std(axis=0)).max(axis=1), out=largest)
    return max(float(norm.ppf((1 + LEVEL) / 2)), float(np.quantile(largest, LEVEL)))


def mcnemar(table: np.ndarray) -> np.ndarray | None:
    """Exact two-sided p of McNemar's test that 0/1 rows (K, N) have the same mean, of each pair: (K, K).

    Images that both get right or both get wrong say nothing; of the others each is right as often under the
    hypothesis. None where a row is not of 0 and 1. Source: McNemar, Psychometrika 1947.
    """
    if not ((table == 0) | (table == 1)).all():
        return None
    ahead = np.rint(table @ (1 - table).T)
    p: np.ndarray = np.minimum(1.0, 2 * binom.cdf(np.minimum(ahead, ahead.T), ahead + ahead.T, 0.5))
    return p


def _covariance_over_images(table: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Of the means of a table (K, N): (K, K)."""
    n = table.shape[1]
    strata = np.zeros(n, dtype=np.int64) if classes is None else _strata(classes)
    sizes = np.bincount(strata)
    sums = np.stack([np.bincount(strata, weights=row) for row in table])
    apart = table - (sums / np.maximum(sizes, 1))[:, strata]
    apart *= np.sqrt(sizes / np.maximum(sizes - 1, 1))[strata]
    covariance: np.ndarray = apart @ apart.T / n**2
    return covariance


def _squares(covariance: np.ndarray) -> np.ndarray:
    """Variances of the differences of means whose covariance is (K, K)."""
    own = np.diagonal(covariance)
    squares: np.ndarray = np.maximum(own[:, None] + own[None, :] - 2 * covariance, 0)
    return squares


def _strata(classes: np.ndarray) -> np.ndarray:
    """Classes as 0, 1, ..., those of one image put together: within one image nothing varies."""
    strata = np.unique(classes, return_inverse=True)[1]
    sizes = np.bincount(strata)
    alone = sizes[strata] == 1
    if alone.any() and not alone.all():
        smallest = int(np.argmin(np.where(sizes > 1, sizes, len(classes) + 1)))
        strata[alone] = strata[alone][0] if alone.sum() > 1 else smallest
    elif alone.all():
        strata[:] = 0
    merged: np.ndarray = np.unique(strata, return_inverse=True)[1]
    return merged


def _trials(columns: Columns) -> float:
    if columns.classes is None:
        return float(columns.images)
    sizes = np.unique(columns.classes, return_counts=True)[1]
    return float(len(sizes) ** 2 / (1 / sizes).sum())
