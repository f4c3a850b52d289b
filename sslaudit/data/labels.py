"""From the labels that data carry to one class name for each image."""

from collections.abc import Mapping, Sequence

import numpy as np

from sslaudit.errors import DataError

_EXACT = 2**53
"""Floats up to here hold whole numbers exactly. Source: IEEE 754, binary64."""


def named(
    labels: np.ndarray, names: Sequence[str] | Mapping[int, str] | None, owner: str
) -> list[str | None]:
    """One class name for each of (N,) or (N, 1) labels, or (N, K) one-hot rows; None for no label.

    Whole numbers index ``names`` when there are any; -1 and an empty text mean no label. Raises
    ``DataError`` naming ``owner`` for several labels an image, for numbers that are no classes (NaN,
    infinite, below -1, not whole), and for a label without a name.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        labels = _one_hot(labels, owner)
    if labels.ndim != 1:
        raise DataError(f"{owner} have the shape {labels.shape}; labels are one for each image: (N,).")
    if labels.dtype.kind in "US":
        return [_text(label) or None for label in labels.tolist()]
    if labels.dtype.kind == "f":
        _check_floats(labels, owner)
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "biu":
        raise DataError(f"{owner} are of type {labels.dtype}; labels are whole numbers or texts.")
    by_number = names if names is None or isinstance(names, Mapping) else dict(enumerate(names))
    return [_name(int(label), by_number, owner) for label in labels.tolist()]


def distinct(names: Sequence[object]) -> tuple[str, ...]:
    """Class names as texts, with their number where two classes have one name.

    ImageNet has two cranes; a name of several words joined in a tuple is one name.
    """
    texts = [", ".join(map(str, name)) if isinstance(name, list | tuple) else _text(name) for name in names]
    return tuple(
        f"{text} ({i})" if not text or texts.count(text) > 1 else text for i, text in enumerate(texts)
    )


def _check_floats(labels: np.ndarray, owner: str) -> None:
    for wrong, kind in ((np.isnan(labels), "NaN"), (np.isinf(labels), "infinite")):
        if wrong.any():
            raise DataError(f"{owner} hold {int(wrong.sum())} that are {kind}. Write -1 for no label.")
    if labels.size and np.abs(labels).max() > _EXACT:
        raise DataError(f"{owner} hold {labels[np.abs(labels).argmax()]:g}, which is no number of a class.")


def _one_hot(labels: np.ndarray, owner: str) -> np.ndarray:
    if labels.dtype.kind in "biuf" and labels.size:
        ones, zeros = labels == 1, labels == 0
        if bool((ones | zeros).all()):
            if bool((ones.sum(axis=1) == 1).all()):
                return np.nonzero(ones)[1]
            raise DataError(
                f"{owner} are multi-label: {labels.shape[1]} columns of 0 and 1, with several or no 1 in "
                f"{int((ones.sum(axis=1) != 1).sum())} of {len(labels)} rows. An image has one class here; "
                "audit one column at a time, as labels of its own."
            )
    raise DataError(
        f"{owner} are multi-label: shape {labels.shape}. An image has one class here: one label each, (N,)."
    )


def _name(label: int, names: Mapping[int, str] | None, owner: str) -> str | None:
    if label == -1:
        return None
    if label < -1:
        raise DataError(f"{owner} hold {label}. Classes are counted from 0, and only -1 means no label.")
    if names is None:
        return str(label)
    if label not in names:
        span = f" ({min(names)} to {max(names)})" if names else ""
        raise DataError(f"{owner} hold {label}, and there are {len(names)} class names{span}.")
    return names[label]


def _text(value: object) -> str:
    return (value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)).strip()
