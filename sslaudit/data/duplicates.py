"""Near-duplicates across the split: test images that a training image gives away.

Thumbnails find candidates: for each test image the training image with the largest correlation
over 16 x 16 cells. The pair is then read whole and compared in colour over 32 x 32 cells. The
measure ignores a common shift and, within bounds, a factor of brightness, and a change of size.

On 20 photographs saved anew as JPEG of quality 60 to 95, at half and at quarter size, and a tenth
brighter, both correlations stay above .994; different photographs reach .75. Different handwritten
digits reach .996 as thumbnails, so small images must be equal in every pixel. What is cropped,
turned or mirrored is not found.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sslaudit.data.dataset import Dataset

TEST_LIMIT = 20_000
"""With more test images, so many of them are looked at."""
PAIR_LIMIT = 1_000
"""With more candidates, so many of them are read."""

_CANDIDATE = 0.99
_SAME = 0.99
"""Least correlation of the cells of a candidate, and of near-duplicates."""
_CELLS = 32
_SMALL = 32
"""Images with a shorter side must be equal in every pixel: too little tells them apart."""
_FLAT = 2.0
"""Standard deviation in gray levels below which a thumbnail shows nothing."""
_TRAIN_BLOCK, _TEST_BLOCK = 8192, 1024
"""Thumbnails that are compared at once."""
_SHAPE, _GAIN, _SHIFT = 0.05, 0.2, 32.0
"""Largest differences: log of the aspect ratio, log of the contrast, mean in gray levels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NearDuplicates:
    """Test images that are nearly or exactly a training image."""

    count: int
    """How many test images, byte for byte ones among them."""
    identical: int
    """How many have exactly the content of a training image."""
    examples: tuple[tuple[str, str], ...]
    """Up to three of them with the training image: names."""
    checked: int
    """How many test images were looked at."""
    sentence: str


def near_duplicates(data: Dataset) -> NearDuplicates:
    """Compare every test image with every training image. Without thumbnails: only exact copies."""
    by_digest = {data.digests[i]: i for i in reversed(data.train.tolist())}
    order = sorted(data.test.tolist(), key=lambda i: _hash(data.digests[i]))
    tested = order[:TEST_LIMIT]
    pairs = [(i, by_digest[data.digests[i]]) for i in tested if data.digests[i] in by_digest]
    identical = len(pairs)
    candidates: list[tuple[int, int]] = []
    if data.thumbs is not None:
        rest = np.array([i for i in tested if data.digests[i] not in by_digest], dtype=np.int64)
        candidates = _candidates(data.thumbs, rest, data.train)
        looked_at = candidates[:PAIR_LIMIT]
        with ThreadPoolExecutor() as pool:
            same = pool.map(lambda pair: _alike(data, *pair), looked_at)
            pairs += [pair for pair, alike in zip(looked_at, same, strict=True) if alike]
    whole = len(tested) == len(order) and len(candidates) <= PAIR_LIMIT
    examples = tuple((data.ids[i], data.ids[j]) for i, j in sorted(pairs)[:3])
    return NearDuplicates(
        count=len(pairs),
        identical=identical,
        examples=examples,
        checked=len(tested),
        sentence=_sentence(
            len(pairs), identical, examples, len(tested), whole=whole, exact=data.thumbs is None
        ),
    )


def _candidates(thumbs: np.ndarray, test: np.ndarray, train: np.ndarray) -> list[tuple[int, int]]:
    """Each test image with its most similar training image, where they may be one picture."""
    test, rows = _telling(thumbs, test)
    best = np.full(len(test), -1.0, dtype=np.float32)
    match = np.zeros(len(test), dtype=np.int64)
    for first in range(0, len(train), _TRAIN_BLOCK):
        some, columns = _telling(thumbs, train[first : first + _TRAIN_BLOCK])
        for start in range(0, len(test), _TEST_BLOCK) if len(some) else ():
            block = slice(start, start + _TEST_BLOCK)
            product = rows[block] @ columns.T
            place = product.argmax(axis=1)
            value = product[np.arange(len(product)), place]
            better = value > best[block]
            best[block][better], match[block][better] = value[better], some[place[better]]
    return [(int(test[k]), int(match[k])) for k in np.flatnonzero(best >= _CANDIDATE)]


def _telling(thumbs: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those of ``images`` whose thumbnail shows something, and these thumbnails, standardised."""
    rows, spread = _standardised(thumbs[images])
    return images[spread >= _FLAT], rows[spread >= _FLAT]


def _alike(data: Dataset, i: int, j: int) -> bool:
    """Whether two images are one picture, from all their pixels."""
    one, other = data.read(i), data.read(j)
    if min(*one.shape[:2], *other.shape[:2]) < _SMALL:
        return bool(np.array_equal(one, other))
    shapes = [image.shape[1] / image.shape[0] for image in (one, other)]
    if abs(np.log(shapes[0] / shapes[1])) > _SHAPE:
        return False
    cells = np.stack([_cells(one), _cells(other)])
    means, stds = cells.mean(axis=1), cells.std(axis=1)
    if abs(means[0] - means[1]) > _SHIFT or abs(np.log(stds[0] / stds[1])) > _GAIN:
        return False
    (a, b), _ = _standardised(cells)
    return float(a @ b) >= _SAME


def _cells(image: np.ndarray) -> np.ndarray:
    """(32 * 32 * 3,) float64 colours of an image made small."""
    small = Image.fromarray(np.ascontiguousarray(image)).resize((_CELLS, _CELLS), Image.Resampling.BILINEAR)
    return np.asarray(small).astype(np.float64).ravel()


def _standardised(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) float32 of mean 0 and norm 1, and the standard deviation of each row before."""
    flat = rows.reshape(len(rows), int(np.prod(rows.shape[1:]))).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.maximum(norms, 1e-6), norms[:, 0] / np.sqrt(flat.shape[1])


def _hash(digest: str) -> bytes:
    return hashlib.sha256(f"near/{digest}".encode()).digest()


def _sentence(
    count: int,
    identical: int,
    examples: Sequence[tuple[str, str]],
    checked: int,
    *,
    whole: bool,
    exact: bool,
) -> str:
    of = f"{checked:,} test image{'' if checked == 1 else 's'}{'' if whole else ' looked at'}"
    unseen = " Near-duplicates were not looked for: the data has no thumbnails." if exact else ""
    if not count:
        what = "copy" if exact else "near-duplicate"
        return f"No {what} of a training image among {of}.{unseen}"
    names = "; ".join(f"{test} and {train}" for test, train in examples)
    least = "" if whole else "At least "
    exactly = f", {identical:,} of them exactly" if identical and not exact else ""
    equal = "equal" if exact else "nearly equal"
    verb = "is" if count == 1 else "are"
    more = "; and others" if count > len(examples) else ""
    return f"{least}{count:,} of {of} {verb} {equal} to a training image{exactly}: {names}{more}.{unseen}"
