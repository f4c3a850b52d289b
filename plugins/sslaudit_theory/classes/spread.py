"""Error bounds from second moments: the three factors again, where Theorem 1 is out of reach.

For each class, exactly,

    V_l = E ||f(x') - mu_l||^2 = align_l / 2 + tr Cov(fbar | C_l),

with align_l the mean squared distance of two views of an image (alignment), fbar(x) the mean of f over the
views of x (concentration, in feature space) and D_lk = ||mu_l - mu_k|| (divergence). These are not
Theorem 1. They bound the error of the nearest-centre classifier on a random view of a random image of the
class, from averages where the theorem takes suprema, so they say something on real encoders.
Centres and moments come from the same images, so the bounds are those of these images.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from sslaudit_theory.positives.pairs import alignment_per_sample

Factor = Literal["alignment", "concentration", "divergence"]

_CONSTANT = 1e-12
"""Squared lengths below this share of E ||f||^2 are rounding of single-precision features."""


class Views(Protocol):
    """Views that are read piece by piece, the same each time."""

    def chunks(self) -> Iterable[tuple[slice, np.ndarray]]:
        """Rows and their views (n, V, D)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decomposition:
    """Second moments of the views of K classes."""

    sizes: np.ndarray
    """(K,) images of each class."""
    centres: np.ndarray
    """(K, D) mu_k."""
    alignment: np.ndarray
    """(K,) align_l: mean squared distance of two views of an image, a view with itself included."""
    concentration: np.ndarray
    """(K,) tr Cov(fbar | C_l), over n."""
    distances: np.ndarray
    """(K, K) ||mu_l - mu_k||."""
    along: np.ndarray
    """(K, K) variance of the views of class l along mu_k - mu_l; 0 where the two coincide."""

    @property
    def variance(self) -> np.ndarray:
        """(K,) V_l = align_l / 2 + tr Cov(fbar | C_l)."""
        total: np.ndarray = self.alignment / 2 + self.concentration
        return total

    @property
    def nearest(self) -> np.ndarray:
        """(K,) min_k ||mu_l - mu_k||. Raises ``ValueError`` for one class."""
        if len(self.sizes) < 2:
            raise ValueError("the distance of centres needs two classes.")
        apart: np.ndarray = np.where(np.eye(len(self.sizes), dtype=bool), np.inf, self.distances).min(axis=1)
        return apart


def decomposition(views: ArrayLike | Views, labels: ArrayLike) -> Decomposition:
    """V_l = align_l / 2 + tr Cov(fbar | C_l) of each class, the centres, and the variances along them.

    ``views`` is (N, V, D) or gives it in ``chunks()``, which are read twice; ``labels`` (N,) are 0..K-1.
    Holds a chunk, its products with the K centres, and K x K numbers. Raises ``ValueError`` for a class
    without images, for labels that do not fit, and for features that are not finite.
    Source: sslaudit; the law of total variance.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels) or labels.min() < 0:
        raise ValueError("labels (N,) are 0..K-1, of one image at least.")
    sizes = np.bincount(labels)
    if not sizes.all():
        raise ValueError(f"classes {np.flatnonzero(sizes == 0).tolist()} have no images and so no centre.")
    K = len(sizes)

    # Measured from the first view, so that equal features have exactly no spread.
    origin: np.ndarray | None = None
    totals, alignment, seen = np.zeros((K, 1)), np.zeros(K), 0
    for rows, block in _chunks(views):
        block, own = _checked(block, labels[rows])
        if origin is None:
            origin = block[0, 0].copy()
            totals = np.zeros((K, len(origin)))
        totals += _by_class((block - origin).mean(axis=1), own, K)
        alignment += np.bincount(own, weights=alignment_per_sample(block, "V"), minlength=K)
        seen += len(block)
    if origin is None or seen != len(labels):
        raise ValueError(f"{len(labels)} labels for {seen} images.")
    centres = totals / sizes[:, None]
    towards = centres - centres.mean(axis=0)
    distances = cdist(centres, centres)

    concentration, along = np.zeros(K), np.zeros((K, K))
    for rows, block in _chunks(views):
        block, own = _checked(block, labels[rows])
        offset = block - origin - centres[own][:, None]
        squares = np.square(offset.mean(axis=1)).sum(axis=1)
        concentration += np.bincount(own, weights=squares, minlength=K)
        # One flat product: a stack of small ones is several times slower.
        products = (offset.reshape(-1, offset.shape[2]) @ towards.T).reshape(*offset.shape[:2], K)
        products -= np.take_along_axis(products, own[:, None, None], axis=2)
        along += _by_class(np.square(products).mean(axis=1), own, K)
    along /= sizes[:, None]
    return Decomposition(
        sizes=sizes,
        centres=centres + origin,
        alignment=alignment / sizes,
        concentration=concentration / sizes,
        distances=distances,
        along=np.divide(along, distances**2, out=np.zeros((K, K)), where=distances > 0),
    )


def cdnv_bound(parts: Decomposition) -> np.ndarray:
    """min(1, 4 V_l / min_k ||mu_l - mu_k||^2) of each class, (K,): bounds P[a view is misclassified | l].

    1 where another centre coincides. Raises ``ValueError`` for one class.
    Source: Chebyshev's inequality; the ratio is the class-distance normalised variance of Galanti, Gyorgy
    and Hutter, ICLR 2022. Not Theorem 1.
    """
    square = parts.nearest**2
    bound = np.divide(4 * parts.variance, square, out=np.ones(len(square)), where=square > 0)
    limited: np.ndarray = np.minimum(1.0, bound)
    return limited


def cantelli_pairs(parts: Decomposition) -> np.ndarray:
    """nu / (nu + D^2 / 4) for each ordered pair, (K, K): bounds P[a view is nearer to mu_k than to mu_l | l].

    nu is the variance of the views of class l along mu_k - mu_l and D the distance of the two centres; 1
    where they coincide, 0 on the diagonal.
    Source: Cantelli's inequality. Not Theorem 1.
    """
    room = parts.along + parts.distances**2 / 4
    pairs: np.ndarray = np.divide(parts.along, room, out=np.ones_like(room), where=parts.distances > 0)
    np.fill_diagonal(pairs, 0.0)
    return pairs


def cantelli_bound(parts: Decomposition) -> np.ndarray:
    """min(1, sum_k of ``cantelli_pairs``) of each class, (K,): bounds P[a view is misclassified | l].

    ``np.minimum`` of it and ``cdnv_bound`` is a bound too.
    Source: Cantelli's inequality and the union bound. Not Theorem 1.
    """
    bound: np.ndarray = np.minimum(1.0, cantelli_pairs(parts).sum(axis=1))
    return bound


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Which factor keeps the classes of an encoder from being told apart by their centres."""

    factor: Factor | None
    """The factor with the largest share; None when views never leave their centre and centres differ."""
    shares: dict[Factor, float]
    """Shares of the three factors; they add up to 1, or are all 0 beside None."""

    def __str__(self) -> str:
        return self.factor or "nothing"


def held_back_by(parts: Decomposition) -> HeldBack:
    """Which of alignment, concentration and divergence holds an encoder back, from its exact decomposition.

    With means over classes, and m^2 that of ||mu_k||^2, the mean square of the features splits into

        E ||f||^2 = align / 2 + tr Cov(fbar | C) + (1 - a) m^2 + a m^2.

    Here a = mean of min_k D_lk^2 / (m^2 2 K / (K - 1)) <= 1 is the share of the distance that centres of
    these lengths could keep, that of a regular simplex. The first three terms are lost to alignment,
    concentration and divergence (directions that centres have in common); the last holds classes apart.
    The error proxy is 4 V / D^2. The weight of a factor is by how many percent the proxy falls when one
    percent of its loss goes to the centres. Spread goes to their length, at the angles that they have:
    (align / 2) (1 / V + 1 / m^2), the same for concentration. What they have in common goes to the last
    term: (1 - a) / a. Shares are weights over their sum. So spread that pulls the centres to the middle
    counts as spread, and divergence is judged by angles alone. Where centres coincide it is divergence;
    where all centres are 0 it is the larger part of the spread. Raises ``ValueError`` for one class.
    Source: sslaudit.
    """
    K = len(parts.sizes)
    nearest = float(np.mean(parts.nearest**2))
    alignment, concentration = float(parts.alignment.mean()) / 2, float(parts.concentration.mean())
    spread = alignment + concentration
    length = float(np.square(parts.centres).sum(axis=1).mean())
    energy = length + spread
    rounding = _CONSTANT * energy
    kept = 1.0
    if length > rounding:
        kept = min(1.0, nearest / (length * 2 * K / (K - 1))) if nearest > rounding else 0.0
    if spread <= rounding:
        lost = kept == 0.0 or energy == 0.0
        none: dict[Factor, float] = {"alignment": 0.0, "concentration": 0.0, "divergence": float(lost)}
        return HeldBack("divergence" if lost else None, none)
    # The weights times V m^2 a, which stays finite where m or a is 0.
    weights: dict[Factor, float] = {
        "alignment": alignment * energy * kept,
        "concentration": concentration * energy * kept,
        "divergence": (1 - kept) * length * spread,
    }
    total = sum(weights.values())
    shares: dict[Factor, float] = {name: weight / total for name, weight in weights.items()}
    largest: Factor = max(shares.items(), key=lambda share: share[1])[0]
    return HeldBack(largest, shares)


def _chunks(views: ArrayLike | Views) -> Iterable[tuple[slice, np.ndarray]]:
    if hasattr(views, "chunks"):
        return views.chunks()
    array = np.asarray(views)
    return [(slice(0, len(array)), array)]


def _checked(block: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    block = np.asarray(block, dtype=np.float64)
    if block.ndim != 3 or not block.size or len(block) != len(own):
        raise ValueError("views are (N, V, D), with one label for each image.")
    if not np.isfinite(block).all():
        raise ValueError("features are finite numbers.")
    return block, own


def _by_class(values: np.ndarray, own: np.ndarray, K: int) -> np.ndarray:
    """Sums of the rows of ``values`` (n, ...) for each of K classes."""
    one_hot = csr_array((np.ones(len(own)), (own, np.arange(len(own)))), shape=(K, len(own)))
    sums: np.ndarray = one_hot @ values
    return sums
