"""Divergence: how far the class centres of an embedding stand from each other.

mu_k is the mean over the images of class k and their views. Its squared length measured from n images
is too long by trace(Cov)/n, which makes Delta_mu too small and a guarantee too easy; the product of two
different centres is unbiased, and only the largest of many pairs errs upwards, which is safe.
"""

import numpy as np
from numpy.typing import ArrayLike

from sslaudit.results import Interval
from sslaudit.stats import resample_counts
from sslaudit_theory.norms import normalised

_TIE = 1e-9
RESAMPLES = 1000

_HELD = 2**24
"""Numbers of a batch of resamples that are in memory at one time."""


def image_means(views: ArrayLike, norm: str = "sphere", centre: ArrayLike | None = None) -> np.ndarray:
    """Mean over the views of each image, after the norm of each view: (N, V, D) to (N, D).

    ``norm`` and ``centre`` as in ``normalised``, which also says what is refused; no images have no means.
    Source: Huang et al., ICLR 2023, the inner mean of mu_k.
    """
    views = np.asarray(views)
    if views.ndim != 3:
        raise ValueError(f"views have shape (N, V, D), not {views.shape}.")
    lengths = np.sqrt(np.einsum("nvd,nvd->nv", views, views, dtype=np.float64))
    if (
        norm == "sphere" and (np.isfinite(lengths) & (lengths > 0)).all()
    ):  # without the unit views themselves, which take twice the time
        means: np.ndarray = np.einsum("nvd,nv->nd", views, 1 / (lengths * views.shape[1]))
        return means
    return np.asarray(normalised(views, norm, centre).mean(axis=1))


def class_centres(features: ArrayLike, labels: ArrayLike, classes: int | None = None) -> np.ndarray:
    """mu_k, the mean of the features (N, D) or of their views (N, V, D) of each class: (K, D) float64.

    ``labels`` (N,) are 0..K-1, and ``classes`` is K; left out, the largest label says it. Raises
    ``ValueError`` for labels that do not fit, a class without images, and features that are not finite.
    Source: Huang et al., ICLR 2023, mu_k.
    """
    features, labels, classes = _of_classes(features, labels, classes)
    if empty := sorted(set(range(classes)) - set(np.unique(labels).tolist())):
        raise ValueError(f"classes {empty} have no images and so no centre.")
    centres = np.stack([features[labels == k].mean(axis=0, dtype=np.float64) for k in range(classes)])
    if not np.isfinite(centres).all():
        raise ValueError("the features are not all finite.")
    return centres


def centre_overlap(centres: ArrayLike, r: float = 1.0) -> np.ndarray:
    """mu_k . mu_l / r^2 of all pairs of centres (K, D): (K, K). Raises ``ValueError`` unless r > 0.

    Source: Huang et al., ICLR 2023, Theorem 1.
    """
    _check_radius(r)
    centres = np.asarray(centres, dtype=np.float64)
    overlap: np.ndarray = centres @ centres.T / r**2
    return overlap


def pair_name(first: str, second: str) -> str:
    """``cat-dog``; ``red-cat / dog`` where a name has a hyphen of its own."""
    return f"{first} / {second}" if "-" in first + second else f"{first}-{second}"


def worst_pairs(overlap: ArrayLike, count: int) -> list[tuple[int, int]]:
    """The ``count`` pairs of different classes with the largest overlaps in (K, K), largest first.

    Fewer where there are fewer; ties in the order of the indices.
    Source: Huang et al., ICLR 2023, max mu_l . mu_k of Theorem 1.
    """
    overlap = np.asarray(overlap)
    rows, columns = np.triu_indices(len(overlap), 1)
    order = np.argsort(-overlap[rows, columns], kind="stable")[:count]
    return list(zip(rows[order].tolist(), columns[order].tolist(), strict=True))


def worst_pair(overlap: ArrayLike) -> tuple[int, int]:
    """The two different classes with the largest overlap in (K, K); ties to the lowest indices.

    Raises ``ValueError`` for fewer than two classes.
    Source: Huang et al., ICLR 2023, max mu_l . mu_k of Theorem 1.
    """
    if not (pairs := worst_pairs(overlap, 1)):
        raise ValueError("a pair is of two classes.")
    return pairs[0]


def squared_lengths(
    features: ArrayLike, labels: ArrayLike, classes: int | None = None, *, unbiased: bool = True
) -> np.ndarray:
    """||mu_k||^2 of each class from features or views as in ``class_centres``: (K,).

    The squared length of a mean of n features is too long by trace(Cov)/n; ``unbiased`` takes the mean
    product over pairs of different images instead, which may fall below 0. Raises ``ValueError`` for a
    class with fewer images than that needs, and as ``class_centres`` does.
    Source: U-statistic; for unit rows it is (n ||m||^2 - 1)/(n - 1).
    """
    features, labels, classes = _of_classes(features, labels, classes)
    sizes = np.bincount(labels, minlength=classes)
    if unbiased and sizes.min() < 2:
        raise ValueError("an unbiased length needs two images of each class.")
    squares: np.ndarray = np.square(class_centres(features, labels, classes)).sum(axis=1)
    if unbiased:
        own = np.einsum("nd,nd->n", features, features, dtype=np.float64)
        own = np.bincount(labels, weights=own, minlength=classes) / sizes
        squares = (sizes * squares - own) / (sizes - 1)
    return squares


def delta_mu(
    features: ArrayLike,
    labels: ArrayLike,
    classes: int | None = None,
    *,
    r: float = 1.0,
    unbiased: bool = True,
) -> float:
    """1 - min_k ||mu_k||^2 / r^2: how far class centres lie inside the sphere of radius r.

    From ``squared_lengths``, which also says what is refused, and ``delta_of_lengths``.
    Source: Huang et al., ICLR 2023, Theorem 1.
    """
    return delta_of_lengths(squared_lengths(features, labels, classes, unbiased=unbiased), r)


def delta_of_lengths(lengths: ArrayLike, r: float = 1.0) -> float:
    """Delta_mu from the squared lengths (K,) of the centres.

    A length whose unbiased estimate leaves [0, r^2] counts as the nearer end, so the value is in
    [0, 1]. The smallest of several estimates errs downwards, and so Delta_mu upwards, which is safe.
    Raises ``ValueError`` for no lengths, lengths that are not finite, and r <= 0.
    Source: Huang et al., ICLR 2023, Theorem 1.
    """
    _check_radius(r)
    lengths = np.asarray(lengths, dtype=np.float64)
    if not lengths.size or not np.isfinite(lengths).all():
        raise ValueError("Delta_mu takes the squared lengths of one centre at least, all finite.")
    return float(np.clip(1 - lengths.min() / r**2, 0, 1))


def centre_radius(n: int, r: float, norm2: float, alpha: float) -> float:
    """How far the mean of n independent features of norm at most r is from mu, with probability 1 - alpha.

    (r / sqrt n)(sqrt(1 - ||mu||^2 / r^2) + sqrt(2 log(1/alpha))) with ``norm2`` = ||mu||^2. The
    measured length is too long; 0 is always safe. Raises ``ValueError`` for n < 1, r <= 0, norm2
    outside [0, r^2] or alpha outside (0, 1).
    Source: sslaudit, own derivation (bounded differences, McDiarmid 1989), checked numerically.
    """
    if n < 1 or not r > 0 or not 0 <= norm2 <= r**2 * (1 + 1e-9) or not 0 < alpha < 1:
        raise ValueError(
            f"a centre radius takes n >= 1, r > 0, norm2 in [0, r^2] and alpha in (0, 1), "
            f"not n={n}, r={r}, norm2={norm2}, alpha={alpha}."
        )
    return float(r / np.sqrt(n) * (np.sqrt(max(0.0, 1 - norm2 / r**2)) + np.sqrt(2 * np.log(1 / alpha))))


def overlap_error(e_k: float, e_l: float, r: float = 1.0) -> float:
    """How far mu_k . mu_l (not divided by r^2) may be off when the centres are off by e_k and e_l.

    r (e_k + e_l) + e_k e_l, for centres no longer than r. Raises ``ValueError`` for a negative error.
    Source: sslaudit, own derivation (Cauchy-Schwarz).
    """
    if not (e_k >= 0 and e_l >= 0 and r >= 0):
        raise ValueError(f"errors and r are not negative: {e_k}, {e_l}, {r}.")
    return r * (e_k + e_l) + e_k * e_l


def nearest_centres(features: ArrayLike, centres: ArrayLike) -> np.ndarray:
    """argmin_k ||f - mu_k|| of features (..., D) in the unit ball for centres (K, D): (...).

    Scores that differ by 1e-9 or less tie, far above rounding; ties go to the lowest class index.
    Raises ``ValueError`` for features and centres of different length.
    Source: Huang et al., ICLR 2023, G_f, in its linear form W_k = mu_k, b_k = -||mu_k||^2 / 2.
    """
    centres = np.asarray(centres)
    scores = np.asarray(features) @ centres.T - np.square(centres).sum(axis=1) / 2
    best: np.ndarray = (scores >= scores.max(axis=-1, keepdims=True) - _TIE).argmax(axis=-1)
    return best


def overlap_interval(
    features: ArrayLike,
    labels: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    r: float = 1.0,
) -> Interval:
    """Interval of the largest centre overlap of features (N, D) in a ball of radius r, labels 0..K-1.

    The upper limit is the percentile of the largest resampled overlap: the truly worst pair is one
    fixed pair, and the largest is never below it. Its lower percentile would lie too high, because
    every resample selects anew, so that limit allows for the largest error upwards over all pairs.
    Raises ``ValueError`` for fewer than two classes, a class without images, and when no class has two.
    Source: Efron, Annals of Statistics 1979; the limits are own derivations, checked numerically.
    """
    features, labels, classes = _of_classes(features, labels, None)
    if classes < 2:
        raise ValueError("an overlap needs two classes.")
    if np.bincount(labels).max() < 2:
        raise ValueError("no class has two images, so nothing can be resampled.")
    centres = class_centres(features, labels, classes) / r
    value = min(1.0, float(centre_overlap(centres)[np.triu_indices(classes, 1)].max()))
    groups = [(features[labels == k] / r - centre).astype(np.float32) for k, centre in enumerate(centres)]
    overlap, error = np.quantile(_resampled(groups, centres, rng), (1 + level) / 2, axis=0).tolist()
    return Interval(
        low=max(-1.0, value - max(0.0, error)),
        high=max(value, min(1.0, overlap)),
        level=level,
        method=f"bootstrap over images within {classes:,} classes, {RESAMPLES:,} resamples; "
        "lower limit simultaneous over all pairs",
    )


def _of_classes(
    features: ArrayLike, labels: ArrayLike, classes: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Features (N, D), of views their mean, the labels (N,) and how many classes there are."""
    array, own = np.asarray(features), np.asarray(labels)
    if array.ndim == 3:
        array = array.mean(axis=1, dtype=np.float64)
    if array.ndim != 2 or not array.size or own.shape != array.shape[:1]:
        raise ValueError(
            f"features are (N, D) or (N, V, D) with labels (N,), not {array.shape} with {own.shape}."
        )
    count = int(own.max()) + 1 if classes is None else classes
    if own.dtype.kind not in "iu" or own.min() < 0 or own.max() >= count:
        raise ValueError(f"labels are integers 0..{count - 1}.")
    return array, own, count


def _check_radius(r: float) -> None:
    if not 0 < r < np.inf:
        raise ValueError(f"r is positive and finite, not {r}.")


def _resampled(groups: list[np.ndarray], centres: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Largest overlap and largest error upwards of each resample within classes, (RESAMPLES, 2).

    ``groups`` hold the deviations (n_k, D) of the features from their centre, so that float32 keeps the
    digits of what resampling changes.
    """
    (classes, dim), diagonal = centres.shape, np.arange(len(centres))
    measured, middle = centre_overlap(centres).astype(np.float32), centres.astype(np.float32)
    most = max(*map(len, groups), classes * max(dim, classes))
    batch = max(1, min(RESAMPLES, _HELD // most))
    replicates = []
    for start in range(0, RESAMPLES, batch):
        size = min(batch, RESAMPLES - start)
        moved = np.empty((size, classes, dim), dtype=np.float32)
        for k, group in enumerate(groups):
            counts = resample_counts(rng, size, len(group), np.uint32)
            moved[:, k] = counts.astype(np.float32) @ group / np.float32(len(group))
        # (c + d)_k . (c + d)_l - c_k . c_l is half plus its transpose.
        half = moved @ (middle + moved / 2).transpose(0, 2, 1)
        error = half + half.transpose(0, 2, 1)
        error[:, diagonal, diagonal] = -np.inf
        replicates.append(np.stack([(measured + error).max(axis=(1, 2)), error.max(axis=(1, 2))], axis=1))
    return np.concatenate(replicates)
