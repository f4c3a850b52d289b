"""The cross-correlation loss of the theory, split into an alignment part and a regularisation part.

Features are standardised in each dimension over all images and views, E f_i = 0 and E f_i^2 = 1. With
C_ij = E f_i(x1) f_j(x2) over pairs of views of one image,

    L = sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2 = (1 - lambda) L1 + lambda L2,
    L1 = sum_i (1 - C_ii)^2,      L2 = ||C - I||_F^2.

Lemma 4.1: L_align = 2 sum_i (1 - C_ii) <= 2 sqrt(d L1), with equality on the left. Published consequence:
Err <= (1 - sigma) + sqrt(2) eta(eps) d^(1/4) L1^(1/4).

x1 and x2 are drawn with replacement unless said otherwise (form V). Then C is the covariance of the
image means fbar, and both identities hold exactly: Lemma 4.1 with the V form of L_align, and
C - sum_k p_k mu_k mu_k' = sum_k p_k Cov(fbar | C_k). Form U, pairs of different views, keeps the first only.

A trap: code for Barlow Twins commonly divides by an unbiased standard deviation, of each view by
itself, and then by N. Perfect features then have C_ii = (N - 1)/N and a loss above 0. Here the deviation is
that of all views together, divided by their number.

Source: Huang et al., ICLR 2023, the cross-correlation loss and Lemma 4.1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sslaudit_theory.arrays import view_array

_CONSTANT = 1e-12
"""Variance relative to the mean square below which a dimension carries nothing but rounding."""


@dataclass(frozen=True, slots=True)
class ViewMoments:
    """First and second moments of the views of all images."""

    images: int
    mean: np.ndarray
    """(D,) over all images and views."""
    variance: np.ndarray
    """(D,) over all images and views, divided by their number."""
    between: np.ndarray
    """(D, D): covariance of the image means, divided by the number of images."""

    @property
    def constant(self) -> np.ndarray:
        """(D,) bool: dimensions that do not vary beyond rounding."""
        flat: np.ndarray = self.variance <= _CONSTANT * (self.variance + np.square(self.mean))
        return flat

    def standardised(self, views: np.ndarray) -> np.ndarray:
        """Views (n, V, D) with mean 0 and variance 1 in each dimension that varies, the others left out."""
        varies = ~self.constant
        scaled: np.ndarray = views[..., varies].astype(np.float64)
        scaled -= self.mean[varies]
        scaled /= np.sqrt(self.variance[varies])
        return scaled

    def correlation(self) -> np.ndarray:
        """C in form V, of the dimensions that vary."""
        varies = ~self.constant
        deviation = np.sqrt(self.variance[varies])
        correlation: np.ndarray = self.between[np.ix_(varies, varies)] / np.outer(deviation, deviation)
        return correlation


@dataclass(frozen=True, slots=True)
class CrossCorrelation:
    """The loss and its parts: ``loss`` = (1 - ``lam``) ``alignment_part`` + ``lam`` ``regularisation``."""

    correlation: np.ndarray
    """C (d, d)."""
    lam: float
    loss: float
    alignment_part: float
    """L1."""
    regularisation: float
    """L2."""

    @property
    def alignment(self) -> float:
        """L_align = 2 sum_i (1 - C_ii), in the form of the pairs that C averages."""
        return max(0.0, float(2 * (1 - np.diagonal(self.correlation)).sum()))

    @property
    def alignment_bound(self) -> float:
        """2 sqrt(d L1), which L_align does not exceed: Lemma 4.1."""
        return float(2 * np.sqrt(len(self.correlation) * self.alignment_part))


def view_moments(blocks: Iterable[np.ndarray]) -> ViewMoments:
    """Moments of views (n, V, D) that come block by block, float64.

    Sums are taken about the mean of the first block, so that a large mean costs no digits. Raises
    ``ValueError`` for views that are not finite, or none.
    """
    images = count = 0
    for block in blocks:
        views = np.asarray(block, dtype=np.float64)
        if not np.isfinite(views).all():
            raise ValueError("the views are not all finite.")
        if not images:
            origin = views.mean(axis=(0, 1))
            total, squares = np.zeros_like(origin), np.zeros_like(origin)
            products = np.zeros((len(origin), len(origin)))
        views = views - origin
        means = views.mean(axis=1)
        total += means.sum(axis=0)
        squares += np.square(views).sum(axis=(0, 1))
        products += means.T @ means
        images, count = images + len(views), count + views.shape[0] * views.shape[1]
    if not images:
        raise ValueError("there are no views.")
    shift = total / images
    moments = ViewMoments(
        images=images,
        mean=origin + shift,
        variance=np.maximum(0, squares / count - np.square(shift)),
        between=products / images - np.outer(shift, shift),
    )
    if not np.isfinite(moments.variance).all():
        raise ValueError("the views are not all finite.")
    return moments


def standardise(views: ArrayLike) -> np.ndarray:
    """(N, V, D) with mean 0 and variance 1 in each dimension over all images and views, float64.

    Raises ``ValueError`` for a constant dimension, which has no scale, and for views not finite.
    Source: Huang et al., ICLR 2023, E f_i = 0 and E f_i^2 = 1.
    """
    views = view_array(views)
    moments = view_moments([views])
    if moments.constant.any():
        constant = np.flatnonzero(moments.constant).tolist()
        raise ValueError(f"dimensions {constant} are constant and cannot be standardised.")
    return moments.standardised(views)


def cross_correlation(views: ArrayLike, form: Literal["U", "V"] = "V") -> np.ndarray:
    """C of the standardised features of (N, V, D): (D, D) float64.

    Form V averages over all V^2 ordered pairs of views, form U over pairs of different views. Raises
    ``ValueError`` for form U of a single view, another form, and as ``standardise`` does.
    Source: Huang et al., ICLR 2023, the cross-correlation loss.
    """
    if form not in ("U", "V"):
        raise ValueError(f"C has the forms U and V, not {form!r}.")
    features = standardise(views)
    n, v, dim = features.shape
    means = features.mean(axis=1)
    correlation: np.ndarray = means.T @ means / n
    if form == "V":
        return correlation
    if v < 2:
        raise ValueError("a correlation between different views needs two views.")
    flat = features.reshape(n * v, dim)
    different: np.ndarray = (v * correlation - flat.T @ flat / (n * v)) / (v - 1)
    return different


def cross_correlation_loss(correlation: ArrayLike, lam: float = 0.005) -> CrossCorrelation:
    """The loss of C (d, d) and its two parts. Raises ``ValueError`` for ``lam`` outside [0, 1], and for a
    C that is not square or not finite.

    The parts add up to the loss within 1e-12 of it.
    Source: Huang et al., ICLR 2023, the cross-correlation loss; lambda = 0.005 as they trained.
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"lambda is in [0, 1], not {lam}.")
    correlation = np.asarray(correlation, dtype=np.float64)
    if correlation.ndim != 2 or len(set(correlation.shape)) != 1 or not np.isfinite(correlation).all():
        raise ValueError(f"C is (d, d) and finite, not of shape {correlation.shape}.")
    diagonal = float(np.square(1 - np.diagonal(correlation)).sum())
    beside = float(np.square(correlation - np.diag(np.diagonal(correlation))).sum())
    whole = float(np.square(correlation - np.eye(len(correlation))).sum())
    return CrossCorrelation(correlation, lam, diagonal + lam * beside, diagonal, whole)


def cross_correlation_split(
    views: ArrayLike, lam: float = 0.005, form: Literal["U", "V"] = "V"
) -> CrossCorrelation:
    """The cross-correlation loss of (N, V, D) and its two parts; features are standardised first.

    Raises ``ValueError`` as ``cross_correlation`` and ``cross_correlation_loss`` do.
    Source: Huang et al., ICLR 2023, the cross-correlation loss.
    """
    return cross_correlation_loss(cross_correlation(views, form), lam)


@dataclass(frozen=True, slots=True)
class Influence:
    """What each image does to the loss, to the first order in its weight."""

    linear: np.ndarray
    """(N,): change of the loss for one unit of weight; its mean over all images is 0."""
    square: np.ndarray
    """(N,): lambda-weighted square of the change of C; its mean over N is how much N images alone add."""


def loss_influence(features: np.ndarray, split: CrossCorrelation) -> Influence:
    """Influence of standardised images (n, V, d) on a loss in form V, the standardisation included.

    With q(x) the mean square over views, an image moves C_ij by fbar_i fbar_j - C_ij (q_i + q_j)/2.
    Source: own derivation, checked numerically.
    """
    c, lam = split.correlation, split.lam
    weighted = lam * c
    np.fill_diagonal(weighted, np.diagonal(c))
    twice = weighted * c
    count = features.shape[1]
    means, power = features.mean(axis=1), np.einsum("nvd,nvd->nd", features, features) / count
    squared = np.square(means)
    against = means @ weighted
    linear = ((against - means) * means).sum(axis=1) - power @ (twice.sum(axis=1) - np.diagonal(c))
    square = lam * np.square(squared.sum(axis=1)) + (1 - lam) * np.square(squared).sum(axis=1)
    square -= 2 * (against * means * power).sum(axis=1)
    square += (np.square(power) @ twice.sum(axis=1) + ((power @ twice) * power).sum(axis=1)) / 2
    return Influence(2 * linear, np.maximum(0, square))
