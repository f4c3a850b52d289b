"""Which images of another data set can test what was fitted on the training images of this one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sslaudit.data.counterparts import counterparts
from sslaudit.data.dataset import Dataset, only, subset
from sslaudit.data.duplicates import near_duplicates
from sslaudit.errors import DataError

_NAMED = 3
"""Class names in a sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """The images of another data set on which the probes of a card are tested."""

    images: Dataset
    labels: np.ndarray
    """(n,) int64 of them, an index into the classes of the card's data."""
    originals: np.ndarray | None
    """(n,) the test image of the card's data that each is another form of; None where they are others."""
    sentence: str
    """Which images are tested, and why these."""
    left_out: Mapping[str, int]
    """Images that are not tested, by reason."""
    leaks: str
    """Images that are training images of the card, in a sentence; empty for none."""


def prepare_shift(
    other: Dataset, data: Dataset, *, max_images: int | None = None, per_class: int | None = None
) -> Shift:
    """Which images of ``other`` test the probes of ``data``; no encoder is needed to know.

    Where ``other`` is a changed copy of ``data`` (see ``counterparts``), these are the forms of test
    images of ``data``. Else they are its own test images, or all where it came without a split, and at
    most ``max_images`` and ``per_class`` of them. Forms of training images are never tested, whatever
    side ``other`` has them on. Raises ``DataError`` when nothing is left to test.
    """
    known, left_out = _of_known_classes(other, data)
    places = counterparts(known, data)
    trained, tested = np.isin(places, data.train), np.isin(places, data.test)
    left_out[f"forms of training images of {data.ref}"] = int(trained.sum())
    if trained.all():
        raise DataError(
            f"every image of '{other.ref}' is a form of a training image of '{data.ref}', on which the "
            "probes are fitted. Give forms of its test images, or other images of its classes."
        )
    copied = 2 * (trained | tested).sum() >= len(known) or 2 * tested.sum() >= len(data.test)
    originals = None
    if tested.any() and copied:
        forms = np.flatnonzero(tested)
        rows = np.sort(forms[np.unique(places[forms], return_index=True)[1]])
        chosen, originals = only(known, rows.tolist()), places[rows]
        left_out[f"no form of a test image of {data.ref}, or a second one of the same"] = int(
            (~trained).sum()
        ) - len(rows)
        what = f"forms of test images of {data.ref}, paired with them"
    else:
        held_out = np.isin(np.arange(len(known)), known.test) | (not other.splits_given)
        left_out["in train of its own split"] = int((~trained & ~held_out).sum())
        rows = np.flatnonzero(~trained & held_out)
        if not len(rows):
            counts = "; ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count)
            raise DataError(f"'{other.ref}' has no image to test the probes on: {counts}.")
        chosen = subset(_all_tested(only(known, rows.tolist())), max_images=max_images, per_class=per_class)
        left_out["more than were asked for"] = len(rows) - len(chosen)
        which = "its test images" if other.splits_given else "all of them"
        what = f"{which}, compared with test images of {data.ref} in the same classes"
    index = {name: k for k, name in enumerate(data.classes)}
    labels = np.array([index[name] for name in _class_names(chosen)], dtype=np.int64)
    return Shift(
        images=chosen,
        labels=labels,
        originals=originals,
        sentence=f"{len(chosen):,} images of {other.ref} are tested: {what}; {_present(labels, data)}.",
        left_out={reason: count for reason, count in left_out.items() if count},
        leaks=_leaks(chosen, data),
    )


def _of_known_classes(other: Dataset, data: Dataset) -> tuple[Dataset, dict[str, int]]:
    """The images of ``other`` in classes of ``data``, and how many are in others."""
    if data.labels is None:
        raise DataError(f"'{data.ref}' has no labels, so no probe is fitted on it, and none can be shifted.")
    if other.labels is None:
        raise DataError(
            f"'{other.ref}' has no labels, and probes are tested on labelled images. Sort its images into "
            f"folders named as the classes of '{data.ref}': {_listed(data.classes)}."
        )
    known = set(data.classes)
    unknown = sorted(set(other.classes) - known)
    if len(unknown) == len(other.classes):
        raise DataError(
            f"'{other.ref}' has no class of '{data.ref}': it has {_listed(other.classes)}, not "
            f"{_listed(data.classes)}. Name its classes as those."
        )
    rows = [i for i, name in enumerate(_class_names(other)) if name in known]
    left_out = {f"of classes that {data.ref} lacks: {_listed(unknown)}": len(other) - len(rows)}
    return (only(other, rows) if unknown else other), left_out


def _present(labels: np.ndarray, data: Dataset) -> str:
    absent = [name for k, name in enumerate(data.classes) if k not in labels]
    if not absent:
        return f"they have all {len(data.classes)} classes"
    have = f"they have {len(data.classes) - len(absent)} of {len(data.classes)} classes"
    return f"{have}, not {_listed(absent)}"


def _leaks(images: Dataset, data: Dataset) -> str:
    """How many of ``images`` are nearly or exactly training images of ``data``; empty for none."""
    known, n = data.train, len(data.train)
    thumbs = None
    if images.thumbs is not None and data.thumbs is not None:
        thumbs = np.concatenate([data.thumbs[known], images.thumbs])
    both = Dataset(
        ref=images.ref,
        read=lambda i: data.read(int(known[i])) if i < n else images.read(i - n),
        ids=(*(data.ids[i] for i in known), *images.ids),
        digests=(*(data.digests[i] for i in known), *images.digests),
        labels=None,
        classes=(),
        train=np.arange(n),
        test=np.arange(n, n + len(images)),
        split_rule="",
        digest="",
        thumbs=thumbs,
    )
    found = near_duplicates(both)
    if not found.count:
        return ""
    pairs = "; ".join(f"{theirs} and {ours}" for theirs, ours in found.examples)
    more = " and others" if found.count > len(found.examples) else ""
    return (
        f"{found.count:,} of {found.checked:,} images of {images.ref} are nearly or exactly training images "
        f"of {data.ref} ({pairs}{more}): the accuracy under shift is too high."
    )


def _all_tested(data: Dataset) -> Dataset:
    return replace(data, train=np.arange(0), test=np.arange(len(data)))


def _class_names(data: Dataset) -> list[str]:
    assert data.labels is not None
    return [data.classes[label] for label in data.labels]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
