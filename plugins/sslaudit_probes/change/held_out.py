"""Test images whose accuracy is measured more than once: plain, corrupted and attacked."""

from dataclasses import dataclass

import numpy as np

from sslaudit.results import Interval
from sslaudit.stats import (
    bootstrap_mean,
    mean_of_proportions,
    percentile_interval,
    resample_within_classes,
    wilson,
)

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Test images, and how accuracy on them is counted."""

    images: np.ndarray
    """(m,) indices into the data."""
    truth: np.ndarray
    """(m,) their classes."""
    balanced: bool
    """Whether accuracy is the mean recall of the classes."""

    @property
    def weights(self) -> np.ndarray:
        """(m,) of mean 1: the mean of weights times correct is the accuracy."""
        sizes = np.bincount(self.truth)
        if not self.balanced:
            return np.ones(len(self.truth))
        weights: np.ndarray = len(self.truth) / ((sizes > 0).sum() * sizes[self.truth])
        return weights

    def first(self, images: int) -> "HeldOut":
        """The first of these images."""
        return HeldOut(self.images[:images], self.truth[:images], self.balanced)

    def accuracy(self, correct: np.ndarray) -> tuple[float, Interval]:
        """Of ``correct`` (m,), true or false, with the interval of proportions."""
        value = float((self.weights * correct).mean())
        if not self.balanced:
            return value, wilson(int(correct.sum()), len(correct))
        tested = np.bincount(self.truth)
        right = np.bincount(self.truth, weights=correct).astype(int)
        return value, mean_of_proportions(right[tested > 0], tested[tested > 0])

    def mean(self, values: np.ndarray, rng: np.random.Generator) -> tuple[float, Interval | None]:
        """Of ``values`` (m,), with a bootstrap interval over images: within classes where balanced.

        None where there is nothing to resample: one image, or one of each class.
        """
        weighted = self.weights * values
        if len(values) < 2 or (self.balanced and np.bincount(self.truth).max() < 2):
            return float(weighted.mean()), None
        if not self.balanced:
            return float(weighted.mean()), bootstrap_mean(weighted, rng, level=_LEVEL)
        means = resample_within_classes(self.truth, lambda counts: counts @ weighted / len(weighted), rng)
        method = f"percentile bootstrap over {len(values):,} images within classes, {len(means):,} resamples"
        return float(weighted.mean()), percentile_interval(means, _LEVEL, method)
