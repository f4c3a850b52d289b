"""Do the features tell images apart, and in more than one direction?

The rules, for the identity views of images with different pixels. Embeddings are *one* when their distance
is rounding: 1e-5 of their length in float32.

* ``finite`` fails where any view of any image has NaN or Inf.
* ``non-constant`` fails, which is a complete collapse, where 90 % of the images or more have one embedding,
  or half of them one of zeros. It warns above 10 %, and where embeddings vary by less than 1 % of their
  length: then all cosines are near 1, and L_align is small for that alone. No more images than the largest
  class has may be one, as a saturated classifier makes them.
* ``direction`` fails where fewer have an embedding of zeros, which no sphere takes.
* ``rank`` fails where all variance but 0.5 % lies in one direction (participation ratio below 1.01), neither
  for the sake of the farthest 1 % of the images nor of one dimension that is larger than the others
  (standardised, the ratio is below 1.5). It warns below a ratio of 2 where 10 are possible: a dimensional
  collapse that is short of rank 1. Two tight groups on one line are what an encoder of two classes may look
  like: they pass for two classes, and warn where classes are not known. Fewer than 10 images warn at most,
  and one dimension alone has no other to fill.

The participation ratio is (sum of eigenvalues)^2 / sum of their squares of the covariance.
"""

import numpy as np
from sklearn.utils.extmath import randomized_svd

from sslaudit.data import Dataset
from sslaudit.results import Check, Status
from sslaudit.store import Features

_ROUNDING = {"fp32": 1e-5, "bf16": 1e-2, "fp16": 2e-3}
"""Distance of two embeddings, relative to their length, that is rounding."""
_COLLAPSED, _SHARED, _ZEROS = 0.9, 0.1, 0.5
_NARROW = 0.01
_RANK_1, _RANK_1_STANDARDISED, _LOW = 1.01, 1.5, 2.0
_TWO = 2
_DIRECTIONS = 10
"""Directions that must be possible before few of them are a warning."""
_IMAGES = 10
"""Fewer are too few for a failure by rank."""
_GROUPED, _SMALLEST_GROUP = 0.9, 0.05
"""Share of the variance along a line that is between two groups, and share of images in the smaller."""
_PIVOTS = 64
_ROWS, _NUMBERS = 4096, 2**26
"""Rows at most that the covariance is taken of, and numbers in them."""
_LISTED = 5


def check_features(
    features: Features, data: Dataset | None = None, *, precision: str = "fp32"
) -> list[Check]:
    """The embeddings are finite, vary, and fill more than one direction, by the rules above.

    ``data`` names the images and their classes, ``precision`` is that of the extraction.
    """
    if bad := _not_finite(features):
        low = "" if precision == "fp32" else f"; in {precision}, so try --precision fp32"
        message = f"{len(bad):,} of {len(features):,} images have NaN or Inf: {_listed(bad, data)}{low}"
        return [Check(name="finite", status="fail", message=message)]
    finite = Check(name="finite", status="pass", message="no NaN or Inf")
    distinct = _distinct(len(features), data)
    if distinct.sum() < 2:  # whether embeddings differ cannot be seen
        return [finite]
    varies = _check_constant(features, distinct, _largest_class(data), _ROUNDING[precision])
    if varies[-1].status == "fail" or len(features) < 3:
        return [finite, *varies]
    classes = len(data.classes) if data is not None else 0
    return [finite, *varies, _check_rank(sampled(features)[1], _ROUNDING[precision], classes)]


def _not_finite(features: Features) -> list[int]:
    """Images with a view that is not finite."""
    return [
        rows.start + int(i)
        for rows, block in features.chunks()
        for i in np.flatnonzero(~np.isfinite(block).all(axis=(1, 2)))
    ]


def _listed(rows: list[int], data: Dataset | None) -> str:
    """``rows 7, 33 and 150``, with what the images are called."""
    named = [f"{i} ({data.ids[i]})" if data is not None else str(i) for i in rows[:_LISTED]]
    more = f" and {len(rows) - _LISTED:,} more" if len(rows) > _LISTED else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {', '.join(named)}{more}"


def _distinct(images: int, data: Dataset | None) -> np.ndarray:
    """(N,) bool: the first image of each content; copies have one embedding by right."""
    first = np.ones(images, dtype=bool)
    if data is not None:
        first[:] = False
        first[np.unique(np.array(data.digests), return_index=True)[1]] = True
    return first


def _largest_class(data: Dataset | None) -> float:
    """Its share of the images; 0 where there are not several."""
    if data is None or data.labels is None or len(data.classes) < _TWO:
        return 0.0
    return float(np.bincount(data.labels).max() / len(data.labels))


def _check_constant(
    features: Features, distinct: np.ndarray, one_class: float, rounding: float
) -> list[Check]:
    """``non-constant``, and ``direction`` where it fails. A share of ``one_class`` may be one by right."""
    images = int(distinct.sum())
    spaced = np.linspace(0, images - 1, min(images, _PIVOTS)).astype(int)
    pivots = _identity(features, np.flatnonzero(distinct)[spaced])
    lengths = np.square(pivots).sum(axis=1)
    near, zeros = np.zeros(len(pivots), dtype=int), 0
    total, square, length = np.zeros(pivots.shape[1]), 0.0, 0.0
    for rows, block in features.chunks():
        each = block[:, 0][distinct[rows]].astype(np.float64)
        own = np.square(each).sum(axis=1)
        near += (own[:, None] + lengths - 2 * each @ pivots.T <= rounding**2 * lengths).sum(axis=0)
        zeros += int((own == 0).sum())
        offset = each - pivots[0]
        total, square, length = (
            total + offset.sum(axis=0),
            square + np.square(offset).sum(),
            length + own.sum(),
        )
    largest = int(near.max())
    of = f"of {images:,} images have"
    several = largest > one_class * images
    if largest == images or (several and largest >= _COLLAPSED * images):
        message = "all images have one embedding" if largest == images else f"{largest:,} {of} one embedding"
        return [Check(name="non-constant", status="fail", message=message)]
    none = f"{zeros:,} {of} an embedding of zeros, which has no direction"
    if zeros >= _ZEROS * images:
        return [Check(name="non-constant", status="fail", message=none)]
    variance = square / images - float(np.square(total / images).sum())
    spread = float(np.sqrt(max(0.0, variance) * images / length))
    varies = Check(name="non-constant", status="pass", message="embeddings differ between images")
    if several and largest > max(1, _SHARED * images):
        varies = Check(name="non-constant", status="warn", message=f"{largest:,} {of} one embedding")
    elif spread < _NARROW:
        message = (
            f"embeddings vary by {100 * spread:.1g} % of their length, about a mean in common: all cosines "
            "are near 1, and alignment is small for that alone"
        )
        varies = Check(name="non-constant", status="warn", message=message)
    return [varies, Check(name="direction", status="fail", message=none)] if zeros else [varies]


def _check_rank(rows: np.ndarray, rounding: float, classes: int) -> Check:
    """``rank`` by embeddings (n, D) float64 of data with so many classes; 0 where that is not known."""
    centred = rows - rows.mean(axis=0)
    ratio, most = _participation(centred), min(len(rows) - 1, rows.shape[1])
    message = f"participation ratio {ratio:.1f}, at most {most:,}"
    line = most > 1 and ratio < _RANK_1 and _on_a_line(rows, rounding)
    if not line and (ratio >= _LOW or most < _DIRECTIONS):
        return Check(name="rank", status="pass", message=message)
    left, strength, _ = randomized_svd(centred, n_components=1, random_state=0)
    share = float(strength[0] ** 2 / np.square(centred).sum())
    grouped = _two_groups(left[:, 0])
    if grouped and classes == _TWO:
        return Check(name="rank", status="pass", message=f"{message}: two groups, for two classes")
    collapsed = line and len(rows) >= _IMAGES and (classes > _TWO or not grouped)
    status: Status = "fail" if collapsed else "warn"
    said = (
        "two tight groups on one line" if grouped else f"{100 * share:.1f} % of the variance in one direction"
    )
    return Check(name="rank", status=status, message=f"{message}: {said}")


def _on_a_line(rows: np.ndarray, rounding: float) -> bool:
    """Whether all but rounding and the farthest 1 % of the rows vary along one direction, however scaled."""
    away = np.linalg.norm(rows - rows.mean(axis=0), axis=1)
    core = rows[np.argsort(away, kind="stable")[: len(rows) - max(1, len(rows) // 100)]]
    centred = core - core.mean(axis=0)
    if _participation(centred) >= _RANK_1:
        return False
    deviation = centred.std(axis=0)
    alive = deviation > rounding * np.abs(core).max(axis=0)
    return _participation(centred[:, alive] / deviation[alive]) < _RANK_1_STANDARDISED


def _two_groups(along: np.ndarray) -> bool:
    """Whether two groups, neither tiny, hold nearly all the variance of (n,) positions on a line."""
    ordered = np.sort(along - along.mean())
    n, below = len(ordered), np.arange(1, len(ordered))
    between = np.square(np.cumsum(ordered)[:-1]) * n / (below * (n - below))
    best = int(between.argmax())
    smaller = min(below[best], n - below[best])
    return bool(between[best] >= _GROUPED * np.square(ordered).sum() and smaller >= _SMALLEST_GROUP * n)


def _participation(centred: np.ndarray) -> float:
    """(sum of eigenvalues)^2 / sum of their squares, of the covariance; 1 where nothing varies."""
    if not (scale := np.abs(centred).max(initial=0.0)):
        return 1.0
    scaled = centred / scale
    gram = scaled.T @ scaled if scaled.shape[1] <= len(scaled) else scaled @ scaled.T
    return float(np.trace(gram) ** 2 / np.square(gram).sum())


def sampled(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced images (n,), as many as memory is cheap for, and their embeddings (n, D) float64."""
    images, _, dim = features.shape
    most = min(images, _ROWS, max(_PIVOTS, _NUMBERS // dim))
    spaced = np.linspace(0, images - 1, most).astype(int)
    return spaced, _identity(features, spaced)


def _identity(features: Features, wanted: np.ndarray) -> np.ndarray:
    """The identity views of some images, by ascending indices: (n, D) float64."""
    found = [
        block[wanted[(wanted >= rows.start) & (wanted < rows.stop)] - rows.start, 0]
        for rows, block in features.chunks()
    ]
    return np.concatenate(found).astype(np.float64)
