"""From what a source says of its images to a data set: which of them are used, and on which side.

The rules are those of folders: ``train`` with ``val`` or ``test`` are splits, ``val`` is reported on
when there is no ``test``, and a class that train lacks is left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from sslaudit.data.dataset import Dataset
from sslaudit.data.examine import Examined, notes_of
from sslaudit.data.skips import Skips, counted
from sslaudit.errors import DataError, EmptyData

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def assemble(
    *,
    ref: str,
    read: Callable[[int], np.ndarray],
    names: Sequence[str],
    examined: Mapping[int, Examined],
    skips: Skips,
    classes: Sequence[str | None] | None = None,
    splits: Sequence[str] | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
    notes: Sequence[str] = (),
    unlabelled: str = "without a label",
    rule: str = "given by the data",
    alone: str = "Name train alone to hold out 30 % of it.",
) -> Dataset:
    """The data set of the images in ``examined``, with one of ``names``, ``classes``, ``splits`` each.

    Images without a class are left out when others have one. Splits are used when they hold
    ``train`` and one to report on. Raises ``EmptyData``, or ``DataError`` with the advice ``alone``
    when splits leave nothing to report on.
    """
    found = [i for i in range(len(names)) if i in examined]
    if classes is not None and not any(classes[i] for i in found):
        classes = None
    kinds = _kinds(splits, found)
    reason = _reason(kinds, classes, found, unlabelled)
    kept = []
    for i in found:
        if why := reason(i):
            skips.add(why, names[i])
        else:
            kept.append(i)
    if kinds and not {"train"} < {kinds[i] for i in kept}:
        left = counted(skips.summary())
        raise DataError(f"'{ref}' has splits, but no class of train has images to report on.{left} {alone}")
    if not kept:
        raise EmptyData(f"'{ref}' holds no image that can be used.{counted(skips.summary())}")
    data = Dataset.build(
        ref=ref,
        read=lambda i: read(kept[i]),
        digests=[examined[i].digest for i in kept],
        class_names=None if classes is None else [name for i in kept if (name := classes[i])],
        ids=[names[i] for i in kept],
        splits=["train" if kinds[i] == "train" else "test" for i in kept] if kinds else None,
        skipped=skips.summary(),
        columns={name: [values[i] for i in kept] for name, values in (columns or {}).items()},
        thumbs=np.stack([examined[i].thumb for i in kept]),
        notes=(*notes, *notes_of({i: examined[i] for i in kept}, names)),
    )
    return replace(data, split_rule=rule) if kinds else data


def _kinds(splits: Sequence[str] | None, found: Sequence[int]) -> list[str]:
    """``train``, ``val``, ``test`` or nothing for each image; empty without train and another."""
    kinds = [SPLITS.get(split.strip().lower(), "") for split in splits or ()]
    present = {kinds[i] for i in found} if kinds else set()
    return kinds if "train" in present and present & {"val", "test"} else []


def _reason(
    kinds: Sequence[str], classes: Sequence[str | None] | None, found: Sequence[int], unlabelled: str
) -> Callable[[int], str]:
    """What says why an image is left out: no class, no use, or a class that train lacks."""
    known = {classes[i] for i in found if kinds and kinds[i] == "train"} - {None} if classes else set()
    usable = {kinds[i] for i in found if classes is None or classes[i] in known} if kinds else set()
    reported = "test" if "test" in (usable - {"train"} or kinds) else "val"

    def why(i: int) -> str:
        if kinds and not kinds[i]:
            return "outside train, val and test"
        if classes is not None and not classes[i]:
            return unlabelled
        if kinds and kinds[i] not in ("train", reported):
            return f"in {kinds[i]}, while {reported} is reported on"
        if kinds and classes is not None and classes[i] not in known:
            return f"class '{classes[i]}' is not in train"
        return ""

    return why
