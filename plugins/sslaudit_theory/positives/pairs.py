"""Alignment: how far apart the views of one image are embedded.

A(x) is the finite set of the V views drawn of x, so mean and supremum over A(x) are exact, images
are independent, and R_eps is an ordinary proportion. All of it is for the V drawn views, not for the
continuous augmentation: the supremum over more views is never smaller, so R_eps of the drawn views
is a lower bound on R_eps of everything that could be drawn.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from sslaudit.stats import dkw_halfwidth
from sslaudit_theory.arrays import view_array


def view_distances(views: ArrayLike) -> np.ndarray:
    """Squared distance between all views of one image: (N, V, D) to (N, V, V) float64.

    Raises ``ValueError`` for other shapes, no views, and for numbers that are not finite.
    Source: Huang et al., ICLR 2023, the distances of A(x).
    """
    offset = _from_first(views)
    with np.errstate(all="ignore"):  # what is not finite is refused
        products = offset @ offset.transpose(0, 2, 1)
    if not np.isfinite(products).all():
        raise ValueError("the features are not all finite.")
    square = np.diagonal(products, axis1=1, axis2=2)
    distances: np.ndarray = square[:, :, None] + square[:, None, :] - 2 * products
    np.maximum(distances, 0, out=distances)
    return distances


def alignment_per_sample(views: ArrayLike, form: Literal["U", "V"] = "U") -> np.ndarray:
    """Mean squared distance between two views of one image: (N, V, D) to (N,).

    Form U averages over pairs of different views, form V over all V^2 pairs, so U = V/(V-1) times V
    form = 2 V/(V-1) (mean ||f||^2 - ||mean f||^2). Raises ``ValueError`` for form U of a single view,
    another form, and as ``view_distances`` does.
    Source: Huang et al., ICLR 2023, L_align.
    """
    if form not in ("U", "V"):
        raise ValueError(f"L_align has the forms U and V, not {form!r}.")
    offset = _from_first(views)
    count = offset.shape[1]
    if form == "U":
        _check_pair(count)
    with np.errstate(all="ignore"):  # what is not finite is refused
        offset -= offset.mean(axis=1, keepdims=True)
        spread: np.ndarray = 2 * np.square(offset).sum(axis=2).mean(axis=1)
    if not np.isfinite(spread).all():
        raise ValueError("the features are not all finite.")
    return spread * count / (count - 1) if form == "U" else spread


def alignment(views: ArrayLike, form: Literal["U", "V"] = "U") -> float:
    """L_align: ``alignment_per_sample`` averaged over the N images of (N, V, D).

    Source: Huang et al., ICLR 2023, L_align.
    """
    return float(alignment_per_sample(views, form).mean())


def sup_alignment(views: ArrayLike) -> np.ndarray:
    """Largest distance between two views of one image: (N, V, D) to (N,).

    Source: Huang et al., ICLR 2023, S_eps.
    """
    largest: np.ndarray = np.sqrt(view_distances(views).max(axis=(1, 2)))
    return largest


def alignment_by_views(distances: ArrayLike) -> np.ndarray:
    """L_align, form U, of the first m views, m = 2..V: (N, V-1) from ``view_distances`` (N, V, V).

    Raises ``ValueError`` for a single view.
    Source: Huang et al., ICLR 2023, L_align.
    """
    distances = _between_views(distances)
    count = distances.shape[1]
    to_earlier = np.tril(distances, -1).sum(axis=2).cumsum(axis=1)[:, 1:]
    m = np.arange(2, count + 1)
    spread: np.ndarray = to_earlier * 2 / (m * (m - 1))
    return spread


def sup_by_views(distances: ArrayLike) -> np.ndarray:
    """Largest distance among the first m views, m = 2..V: (N, V-1) from ``view_distances`` (N, V, V).

    Never falls with m. Raises ``ValueError`` for a single view.
    Source: Huang et al., ICLR 2023, S_eps.
    """
    distances = _between_views(distances)
    to_earlier = np.tril(distances, -1).max(axis=2)
    return np.sqrt(np.maximum.accumulate(to_earlier, axis=1)[:, 1:])


def view_spread(distances: ArrayLike) -> np.ndarray:
    """Mean squared distance of each view to the others of its image: (N, V) from (N, V, V).

    The mean over the views is ``alignment_per_sample`` in form U, so a view above it drives L_align.
    Raises ``ValueError`` for a single view.
    Source: Huang et al., ICLR 2023, L_align, view by view.
    """
    distances = _between_views(distances)
    spread: np.ndarray = distances.sum(axis=2) / (distances.shape[1] - 1)
    return spread


def r_eps(sup: ArrayLike, eps: ArrayLike) -> np.ndarray:
    """Share of images whose largest view distance ``sup`` (N,) is above ``eps``, in the shape of ``eps``.

    Strictly above: a tie counts as aligned. Raises ``ValueError`` for no images or numbers that are
    not finite.
    Source: Huang et al., ICLR 2023, R_eps.
    """
    above, n = _above(sup, eps)
    share: np.ndarray = above / n
    return share


def r_eps_by_views(sup: ArrayLike, eps: ArrayLike) -> np.ndarray:
    """R_eps of the first m views, m = 2..V, from ``sup_by_views`` (N, V-1): (V-1, ...) as ``eps`` (...).

    Source: Huang et al., ICLR 2023, R_eps.
    """
    return np.stack([r_eps(column, eps) for column in np.asarray(sup).T])


@dataclass(frozen=True, slots=True)
class REpsCurve:
    """R_eps of N images with upper limits, one entry for each eps."""

    eps: np.ndarray
    share: np.ndarray
    """R_eps as measured."""
    upper: np.ndarray
    """Clopper-Pearson upper limit at each eps: for one eps that was fixed before looking."""
    band: np.ndarray
    """Upper limit at all eps at once, so also at an eps chosen on these images."""


def r_eps_curve(sup: ArrayLike, eps: ArrayLike, alpha: float = 0.05) -> REpsCurve:
    """R_eps from ``sup`` (N,) at each of ``eps`` (E,), with one-sided limits at level 1 - alpha.

    Raises ``ValueError`` for no images, numbers that are not finite or alpha outside (0, .5].
    Source: Clopper and Pearson, Biometrika 1934; Massart, Annals of Probability 1990, Corollary 1.
    """
    above, n = _above(sup, eps)
    halfwidth = dkw_halfwidth(n, alpha)
    below = np.maximum(n - above, 1)  # 0 is outside the beta distribution; its limit is 1
    upper = np.where(above == n, 1.0, beta.ppf(1 - alpha, above + 1, below))
    return REpsCurve(
        eps=np.asarray(eps, dtype=np.float64),
        share=above / n,
        upper=upper,
        band=np.minimum(1, above / n + halfwidth),
    )


def _above(sup: ArrayLike, eps: ArrayLike) -> tuple[np.ndarray, int]:
    """How many of N images are above each eps, and N."""
    sup = np.asarray(sup)
    if sup.ndim != 1 or not len(sup):
        raise ValueError(f"largest distances have shape (N,) with N of 1 or more, not {sup.shape}.")
    if not (np.isfinite(sup).all() and np.isfinite(eps).all()):
        raise ValueError("distances and eps must be finite.")
    return np.asarray(len(sup) - np.searchsorted(np.sort(sup), eps, side="right")), len(sup)


def _from_first(views: ArrayLike) -> np.ndarray:
    """Views (N, V, D) less view 0, float64: equal views are exactly 0, and large ones lose no digits."""
    array = view_array(views)
    with np.errstate(all="ignore"):  # what is not finite is refused later
        offset: np.ndarray = np.asarray(array, dtype=np.float64) - array[:, :1]
    return offset


def _between_views(distances: ArrayLike) -> np.ndarray:
    array = np.asarray(distances)
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise ValueError(f"distances between views have shape (N, V, V), not {array.shape}.")
    _check_pair(array.shape[1])
    return array


def _check_pair(views: int) -> None:
    if views < 2:
        raise ValueError("alignment between different views needs two views.")
