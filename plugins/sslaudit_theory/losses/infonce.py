"""The InfoNCE loss of the theory, split into an alignment part and a regularisation part.

One negative, temperature 1. x1 and x2 are views of one image drawn with replacement, x- is a view of
an image drawn independently of it, which may be the same image:

    L = E log(1 + exp(s- - s+)) = L1 + L2,    s+ = f(x1).f(x2),    s- = f(x1).f(x-),
    L1 = -E s+ = L_align / 2 - E||f||^2,      L2 = E log(exp(s+) + exp(s-)).

L_align is its V form here. Any other convention for the pairs in one of the three breaks the identity.
On a sphere of radius r, E||f||^2 is r^2. Published consequence for unit length:
Err <= (1 - sigma) + eta(eps) sqrt(2 + 2 L1).

What a network was trained with is another loss: NT-Xent, with a temperature below 1, many negatives
and no image against itself. ``nt_xent`` gives it apart; the two are never mixed.

Source: Huang et al., ICLR 2023, InfoNCE and its decomposition.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sslaudit.results import Interval
from sslaudit.stats import percentile_interval, resample_within_classes
from sslaudit_theory.arrays import finite_views
from sslaudit_theory.positives.pairs import alignment

_PRODUCTS = 2**22
"""Products of two views made at one time."""

_CACHED = 2**16
"""Of these, how many are worked on at one time, so that they stay in the cache."""

_LARGEST_EXPONENT = 600.0
"""exp of it is still a float64, with room to spare."""


@dataclass(frozen=True, slots=True)
class InfoNCE:
    """The loss and its parts: ``loss`` = ``alignment_part`` + ``regularisation``."""

    loss: float
    """L."""
    alignment_part: float
    """L1 = ``alignment`` / 2 - E||f||^2."""
    regularisation: float
    """L2."""
    alignment: float
    """L_align, V form."""
    pairs: np.ndarray
    """(N, N): entry i, j is the loss of anchors and positives of image i against views of image j."""

    @property
    def distinct(self) -> float | None:
        """The loss over negatives of other images only: unbiased for new images. None for one image."""
        n = len(self.pairs)
        if n < 2:
            return None
        return float((self.pairs.sum() - np.trace(self.pairs)) / (n * (n - 1)))


def infonce_split(views: ArrayLike) -> InfoNCE:
    """The InfoNCE loss of (N, V, D) and its two parts, float64.

    Exact over all N^2 V^3 triples, at the cost of N^2 V^2 exponentials. The parts add up to the loss
    within 1e-12 of the largest squared length. Raises ``ValueError`` for views that are not finite.
    Source: Huang et al., ICLR 2023, InfoNCE and its decomposition.
    """
    views = finite_views(views)
    pairs = _pair_losses(views)
    loss = float(pairs.mean())
    spread = alignment(views, "V")
    return InfoNCE(
        loss=loss,
        alignment_part=spread / 2 - float(np.square(views).sum(axis=2).mean()),
        regularisation=loss + float(positive_products(views).mean()),
        alignment=spread,
        pairs=pairs,
    )


def positive_products(views: ArrayLike) -> np.ndarray:
    """E f(x1).f(x2) over pairs of views of each image, with replacement: (N, V, D) to (N,).

    Raises ``ValueError`` for other shapes, and for views that are not finite.
    Source: Huang et al., ICLR 2023, s+ of InfoNCE.
    """
    products: np.ndarray = np.square(finite_views(views).mean(axis=1)).sum(axis=1)
    return products


def infonce_interval(
    split: InfoNCE, rng: np.random.Generator, draws: int = 2000, level: float = 0.95
) -> Interval:
    """Interval of the loss, images resampled as anchors and as negatives at once.

    A resample draws an image twice more often than the images themselves do; that excess is known and
    taken off. The lower limit allows for the negatives of the same image, which raise the loss.
    Raises ``ValueError`` for fewer than two images.
    Source: Efron, Annals of Statistics 1979; the corrections are own derivations, checked numerically.
    """
    pairs = split.pairs
    n = len(pairs)
    if n < 2:
        raise ValueError("one image gives no interval: it takes two or more.")

    def loss(counts: np.ndarray) -> np.ndarray:
        resampled: np.ndarray = ((counts @ pairs) * counts).sum(axis=1) / n**2
        return resampled

    same_image = float(np.trace(pairs)) / n
    replicates = resample_within_classes(np.zeros(n), loss, rng, draws) - (same_image - split.loss) / n
    method = f"percentile bootstrap over {n:,} images, {draws:,} resamples"
    limits = percentile_interval(replicates, level, method)
    upward = max(0.0, (same_image - split.loss) / (n - 1))
    low = min(split.loss, max(0.0, limits.low - upward))
    return Interval(low=low, high=max(split.loss, limits.high), level=level, method=method)


def nt_xent(views: ArrayLike, temperature: float = 0.5) -> float:
    """NT-Xent of two views of each image of (N, V, D): 2N - 2 negatives for each positive.

    Views 1 and 2 are compared, as in training both views are augmented; of two views, 0 and 1. Rows are
    brought to unit length. Its size depends on N, so compare it at one N only. Raises ``ValueError``
    for a temperature that is not positive, fewer than two views or views that are not finite.
    Source: Chen et al., ICML 2020, Eq. 1.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature is above 0, not {temperature}.")
    views = finite_views(views)
    if views.shape[1] < 2:
        raise ValueError("NT-Xent compares two views of each image.")
    import torch

    from sslaudit.train.losses import nt_xent as training_loss

    first = 0 if views.shape[1] == 2 else 1
    a, b = torch.from_numpy(views[:, first].copy()), torch.from_numpy(views[:, first + 1].copy())
    return float(training_loss(a, b, temperature=temperature))


def _pair_losses(views: np.ndarray) -> np.ndarray:
    """(N, N) means of log(1 + exp(s- - s+)) over anchors and positives of i and negatives of j."""
    n, v, dim = views.shape
    flat = views.reshape(n * v, dim)
    positives = (views @ views.transpose(0, 2, 1)).reshape(n * v, v)
    span = 2 * float(np.square(flat).sum(axis=1).max())
    at_once = int(_LARGEST_EXPONENT / np.logaddexp(0, span))
    sums = np.empty((n * v, n))  # over the negatives of each image and the positives of each anchor
    rows, few = max(1, _PRODUCTS // (n * v)), max(1, _CACHED // (n * v))
    for start in range(0, n * v, rows):
        against = flat[start : start + rows] @ flat.T
        for low in range(0, len(against), few):
            here = slice(start + low, start + min(low + few, len(against)))
            some = against[low : low + few]
            total = (
                _softplus_sums(some, positives[here], at_once)
                if at_once
                else _far_sums(some, positives[here])
            )
            sums[here] = total.reshape(-1, n, v).sum(axis=2)
    pairs: np.ndarray = sums.reshape(n, v, n).sum(axis=1) / v**3
    return pairs


def _softplus_sums(against: np.ndarray, own: np.ndarray, at_once: int) -> np.ndarray:
    """Sum over b of log(1 + exp(against - own_b)): (m, M) and (m, V) to (m, M).

    As logarithms of polynomials in exp(against) with up to ``at_once`` factors, which a float64 holds:
    one exponential and one logarithm for many positives. All terms are positive, so nothing cancels.
    """
    middle = own.mean(axis=1, keepdims=True)
    growth = np.exp(against - middle)
    total: np.ndarray = np.zeros_like(growth)
    for start in range(0, own.shape[1], at_once):
        weights = np.exp(middle - own[:, start : start + at_once])
        degree = weights.shape[1]
        coefficients = np.zeros((len(own), degree + 1))
        coefficients[:, 0] = 1
        for b in range(degree):
            coefficients[:, 1:] += coefficients[:, :-1] * weights[:, b, None]
        product = growth * coefficients[:, degree:]
        for power in range(degree - 1, 0, -1):
            product += coefficients[:, power, None]
            product *= growth
        product += 1
        total += np.log(product, out=product)
    return total


def _far_sums(against: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The same for features so long that exp of a product may overflow."""
    total: np.ndarray = np.zeros_like(against)
    for b in range(own.shape[1]):
        total += np.logaddexp(0, against - own[:, b, None])
    return total
