"""Which images of one data set are other forms of images of another: corrupted, resized, stylised copies.

Names tell: the path from the folder of the class on, without the ending of image files, and the class.
But data sets number their images alike (``dog/pic_001.jpg`` of photographs and of sketches), so
thumbnails must not deny it: a changed copy is more like its original than like other images of the
class, turned, mirrored or inverted as it may be.
"""

import itertools

import numpy as np

from sslaudit.data.dataset import Dataset
from sslaudit.data.folder import IMAGE_SUFFIXES

_AGREE = 0.9
"""With a smaller share of equal classes among equal names, names are mere numbers."""
_LIKE = 0.75
"""Share of classmates that an original is to exceed; 1/2 for unrelated images."""
_MATES, _MOST = 16, 1000
"""Classmates that an original is compared with, and images looked at in a class."""


def counterparts(other: Dataset, data: Dataset) -> np.ndarray:
    """For each image of ``other`` the index in ``data`` of its original, -1 for none: (N,) int64.

    Both have labels. Without thumbnails, or without classmates, names decide.
    """
    by_id = {name: i for i, name in enumerate(data.ids)}
    by_name: dict[str, int] = {}
    for i, name in enumerate(_names(data)):
        by_name[name] = -1 if name in by_name else i
    places = np.array(
        [by_id.get(id_, by_name.get(name, -1)) for id_, name in zip(other.ids, _names(other), strict=True)],
        dtype=np.int64,
    )
    named = places >= 0
    agree = np.array(_classes(other), dtype=object) == np.array(_classes(data), dtype=object)[places]
    if not named.any() or agree[named].mean() < _AGREE:
        return np.full(len(other), -1, dtype=np.int64)
    places[~agree] = -1
    if (alike := _likeness(other, data, places)) is not None and alike < _LIKE:
        places[:] = -1
    return places


def _classes(data: Dataset) -> list[str]:
    assert data.labels is not None
    return [data.classes[label] for label in data.labels]


def _names(data: Dataset) -> list[str]:
    names = []
    for id_, class_ in zip(data.ids, _classes(data), strict=True):
        *folders, file = id_.split("/")
        stem, dot, ending = file.rpartition(".")
        below = folders[folders.index(class_) :] if class_ in folders else folders
        names.append("/".join([*below, stem if dot and f".{ending.lower()}" in IMAGE_SUFFIXES else file]))
    return names


def _likeness(other: Dataset, data: Dataset, places: np.ndarray) -> float | None:
    """Mean share of classmates of its original that an image is less like; None where nothing tells."""
    if other.thumbs is None or data.thumbs is None:
        return None
    found = np.flatnonzero(places >= 0)
    assert other.labels is not None
    shares = []
    for label in np.unique(other.labels[found]):
        rows = found[other.labels[found] == label][:_MOST]
        forms, originals = _forms(other.thumbs[rows]), _standardised(data.thumbs[places[rows]])
        own = _correlation(forms, originals)
        for shift in range(1, min(len(rows), _MATES + 1)):
            mate = _correlation(forms, np.roll(originals, shift, axis=0))
            shares.append((own > mate) + 0.5 * (own == mate))
    return float(np.concatenate(shares).mean()) if shares else None


def _forms(thumbs: np.ndarray) -> np.ndarray:
    """(8, n, cells): thumbnails turned and mirrored, standardised."""
    turned = [np.rot90(thumbs, k, axes=(1, 2)) for k in range(4)]
    return np.stack([_standardised(t) for t in itertools.chain(turned, (t[:, :, ::-1] for t in turned))])


def _standardised(thumbs: np.ndarray) -> np.ndarray:
    """(n, cells) float32 of mean 0 and norm 1; zeros where there is one level only."""
    rows = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows


def _correlation(forms: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """(n,): the largest absolute correlation of any form of each image with its partner."""
    best: np.ndarray = np.abs(np.einsum("fnc,nc->fn", forms, originals)).max(axis=0)
    return best
