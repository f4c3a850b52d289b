"""The dimension of the set that embeddings lie on, from distances to nearest neighbours.

Traps:

* Equal rows have distance 0 and no ratio. They are removed and counted.
* Dropping the largest tenth of the ratios and averaging the rest gives a dimension that is too high by about
  a third: what is left is a censored sample. The dropped ones count with the largest ratio that is kept.
* Averages of 1 / dimension over images, inverted at the end, are unbiased for equal dimensions; averages of
  the dimension itself need k - 2 in place of k - 1.
* Ratios of neighbouring images depend on each other, so the closed-form interval of TwoNN is too narrow.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, skew

from sslaudit.results import Estimate, Interval
from sslaudit_probes.shape.jackknife import FEWEST, block_interval, blocks
from sslaudit_probes.shape.neighbours import different_rows, nearest_neighbours
from sslaudit_probes.shape.sample import Sample, draw

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

DISCARD = 0.1
"""Share of the largest ratios that TwoNN counts as censored."""
SPARE = 2
"""Neighbours looked up for each one used, so that some are left when a tenth of the images is taken away."""


def two_nn(ratios: ArrayLike, discard: float = DISCARD) -> float:
    """TwoNN: maximum likelihood of the dimension from r2 / r1 (N,), the ratios of the two nearest distances.

    log r2/r1 is exponential with rate d. With r = N less the ``discard`` share of the largest:
    d = r / (sum of the r smallest logs + (N - r) times the largest of these), which is N / sum log for
    ``discard`` = 0. Biased by r / (r - 1). Raises ``ValueError`` for ratios below 1 or all equal to 1, or
    a share outside [0, 1).
    Source: Facco et al., Scientific Reports 2017; Epstein and Sobel, JASA 1953, for the censored sample.
    """
    kept, time = _exposure(ratios, discard)
    return float(kept / time)


def two_nn_interval(ratios: ArrayLike, discard: float = DISCARD, level: float = 0.95) -> Interval:
    """The exact interval of ``two_nn`` for independent ratios: 2 d (r / two_nn) is chi-squared, 2r degrees.

    Ratios of one sample depend on each other: in Gaussian worlds it covered 86 to 95 % for 95 %, least in
    two dimensions. Raises ``ValueError`` as ``two_nn`` does.
    """
    kept, time = _exposure(ratios, discard)
    low, high = chi2.ppf([(1 - level) / 2, (1 + level) / 2], 2 * kept) / (2 * time)
    return Interval(low=low, high=high, level=level, method="gamma, for independent ratios")


def _exposure(ratios: ArrayLike, discard: float) -> tuple[int, float]:
    """Ratios that are kept, and the sum of logs with the others at the largest of these."""
    if not 0 <= discard < 1:
        raise ValueError(f"the share that is discarded is in [0, 1), not {discard}.")
    logs = np.log(np.sort(np.asarray(ratios, dtype=np.float64)))
    if not len(logs) or logs[0] < 0 or not np.isfinite(logs[-1]):
        raise ValueError("ratios of distances are finite and 1 or more.")
    kept = len(logs) - int(discard * len(logs))
    time = logs[:kept].sum() + (len(logs) - kept) * logs[kept - 1]
    if time <= 0:
        raise ValueError("all ratios that are kept are 1, so there is no dimension.")
    return kept, float(time)


def levina_bickel(distances: ArrayLike, *, unbiased: bool = False) -> np.ndarray:
    """The dimension at each image (N,), from distances to its k nearest (N, k), nearest first.

    (k - 1) / sum over j < k of log(T_k / T_j); with ``unbiased`` k - 2 in place of k - 1. Infinite where all
    k are equal. Raises ``ValueError`` for k < 2 (3 with ``unbiased``) or a distance of 0.
    Source: Levina and Bickel, NIPS 2004, Eq. 8.
    """
    logs = _log_ratios(distances, 3 if unbiased else 2)
    with np.errstate(divide="ignore"):
        dimension: np.ndarray = (logs.shape[1] - unbiased) / logs.sum(axis=1)
    return dimension


def mle_dimension(distances: ArrayLike) -> float:
    """One dimension for all images: the inverse of the mean of 1 / ``levina_bickel``.

    Raises ``ValueError`` as ``levina_bickel`` does, or where all distances of each image are equal.
    Source: MacKay and Ghahramani, comments on the estimator of Levina and Bickel, 2005.
    """
    mean = _log_ratios(distances, 2).mean()
    if mean <= 0:
        raise ValueError("all neighbours of each image are equally far, so there is no dimension.")
    return float(1 / mean)


def _log_ratios(distances: ArrayLike, fewest: int) -> np.ndarray:
    """log(T_k / T_j), j < k: (N, k - 1)."""
    far = np.asarray(distances, dtype=np.float64)
    if far.ndim != 2 or far.shape[1] < fewest or not len(far):
        raise ValueError(f"distances have shape (N, k), k of {fewest} or more, not {far.shape}.")
    if not (far > 0).all():
        raise ValueError("a distance of 0 has no logarithm; remove equal images first.")
    logs: np.ndarray = np.log(far[:, -1:] / far[:, :-1])
    return logs


def hubness(indices: ArrayLike) -> float:
    """Skewness of how often each of N images is among the k nearest of others, from indices (N, k).

    0 where all are equally often. Source: Radovanovic et al., JMLR 2010, Eq. 1.
    """
    array = np.asarray(indices)
    counts = np.bincount(array.ravel(), minlength=len(array))
    return float(skew(counts)) if counts.min() < counts.max() else 0.0


@dataclass(frozen=True, slots=True)
class _Lists:
    """Neighbours of n different images, nearest first, more than are used."""

    distances: np.ndarray
    indices: np.ndarray
    k: int

    def statistics(self) -> tuple[float, float, float]:
        """TwoNN, the estimate from k neighbours, hubness."""
        near = self.distances[:, : self.k]
        return two_nn(near[:, 1] / near[:, 0]), mle_dimension(near), hubness(self.indices[:, : self.k])

    def without(self, cut: slice) -> "_Lists | None":
        """The lists of the images outside a block, and of their k nearest there; None where lists end."""
        keep = np.ones(len(self.distances), dtype=bool)
        keep[cut] = False
        there = keep[self.indices[keep]]
        if there.sum(axis=1).min() < self.k:
            return None
        first = np.argsort(~there, axis=1, kind="stable")[:, : self.k]
        number = np.cumsum(keep) - 1
        return _Lists(
            distances=np.take_along_axis(self.distances[keep], first, axis=1),
            indices=number[np.take_along_axis(self.indices[keep], first, axis=1)],
            k=self.k,
        )


def compute(inputs: "MetricInputs") -> Estimate | dict[str, Estimate]:
    """The metric ``intrinsic-dimension``: the dimension of the set that the embeddings lie on.

    Formula: TwoNN, from mu = r2 / r1, distances to the two nearest images: r / (sum of the r smallest
      log mu + (n - r) times the largest of these), with r = 90 % of n; the rest counts as censored.
      ``mle`` is the inverse mean of log(T_k / T_j) over images and j < k; ``hubness`` the skewness of how
      often an image is among the k nearest of others.
    Shapes: the identity view of at most ``images`` images, (N, D); of equal ones the first.
    Range: above 0; of a set in D dimensions at most D, but for the noise of the estimate.
    Typical: measured on the 1,797 digits: pixels 8.9, an untrained ReLU network of 128 outputs 9.0;
      Gaussian noise in 128 dimensions 57.
    High: the embeddings vary in many ways near each point; noise does that, too. Hubness above 1 says that
      a few images are neighbours of many, as in high dimensions.
    Low: they lie near a curve or a surface, whatever D is and however curved it is.
    Bias: under in high dimensions, where neighbours are never near: measured on Gaussian features, n = 1,000,
      it gives 5.1 for 5 and 16.5 for 20; k neighbours reach further and err more. The interval is for other
      samples of this size; measured in Gaussian and clustered worlds, it covered 96 % or more, so it is
      wide; that of hubness 86 to 99 %, least in many dimensions. The gamma interval among the details takes
      ratios as independent and covered 86 to 95 %.
    Source: Facco et al., Scientific Reports 2017; Levina and Bickel, NIPS 2004; MacKay and Ghahramani 2005;
      Radovanovic et al., JMLR 2010.
    """
    sample = draw(inputs)
    if sample.constant:
        return Estimate.not_applicable("zero variance: all embeddings are equal")
    different = different_rows(sample.rows)
    n, dim = len(different), sample.rows.shape[1]
    if n < 4:
        return Estimate.not_applicable(f"{n} different embeddings; it takes four")
    k = min(int(inputs.options["k"]), n - 1)
    lists = _Lists(*nearest_neighbours(sample.rows[different], min(n - 1, SPARE * k)), k)
    try:
        values = lists.statistics()
    except ValueError as error:  # on a lattice
        return Estimate.not_applicable(str(error))
    without = _without(lists) if n >= FEWEST else None
    why = "" if without else f"too few different embeddings ({n:,}) to leave some out"
    intervals: list[Interval | None] = [None] * len(values)
    if without:
        columns = np.array(without).T
        intervals = [block_interval(value, column) for value, column in zip(values, columns, strict=True)]
    ratios = lists.distances[:, 1] / lists.distances[:, 0]
    gamma = two_nn_interval(ratios)
    said = _said(sample, n)
    near = lists.distances[:, :k]
    return {
        "": Estimate(
            value=values[0],
            interval=intervals[0],
            no_interval=why,
            bias="under",
            label="intrinsic dimension",
            note=f"TwoNN; the largest {100 * DISCARD:g} % of the ratios count as censored.{said}",
            details={
                "images": n,
                "equal_to_another": len(sample.rows) - n,
                "maximum": dim,
                "two_nn_all_ratios": two_nn(ratios, discard=0),
                "gamma_low": gamma.low,
                "gamma_high": gamma.high,
                "reading": f"of at most {dim:,}",
            },
        ),
        "mle": Estimate(
            value=values[1],
            interval=intervals[1],
            no_interval=why,
            bias="under",
            label="dimension by neighbours",
            paper=f"MLE, k = {k}",
            note=f"Maximum likelihood over {k} neighbours, inverse mean over images.",
            details={
                "k": k,
                "mean_k_minus_1": _mean(levina_bickel(near)),
                "mean_k_minus_2": _mean(levina_bickel(near, unbiased=True)),
                "reading": f"of at most {dim:,}",
            },
            minor=True,
        ),
        "hubness": Estimate(
            value=values[2],
            interval=intervals[2],
            no_interval=why,
            label="hubness",
            paper="skewness of N_k",
            unit="skewness",
            note=f"Skewness of how often an image is among the {k} nearest of others.",
            details={"k": k},
            minor=True,
        ),
    }


def _without(lists: _Lists) -> list[tuple[float, float, float]] | None:
    """The statistics with each block of images left out; None where that leaves too little."""
    found = []
    for cut in blocks(len(lists.distances)):
        left = lists.without(cut)
        if left is None:
            return None
        try:
            found.append(left.statistics())
        except ValueError:
            return None
    return found


def _mean(dimensions: np.ndarray) -> float | None:
    """None where an image has all its neighbours at one distance."""
    return float(dimensions.mean()) if np.isfinite(dimensions).all() else None


def _said(sample: Sample, n: int) -> str:
    equal = len(sample.rows) - n
    return sample.said + (f" Left out, equal to another image: {equal:,}." if equal else "")
