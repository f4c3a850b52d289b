"""From what a source says of its images to a data set: which of them are used, and on which side.

The rules are those of folders: ``train`` with ``val`` or ``test`` are splits, ``val`` is reported on
when there is no ``test``, and a class that train lacks is left out.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from sslaudit.data.dataset import Dataset
from sslaudit.data.examine import Examined, notes_of
from sslaudit.data.skips import Skips, counted
from sslaudit.errors import DataError, EmptyData

_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing", "holdout"),
}
_KIND = {name: kind for kind, names in _SPLITS.items() for name in names}


def split_of(name: str) -> str:
    """``train``, ``val`` or ``test`` for a name such as ``Train``, ``test_set``, ``val2017``; else empty."""
    stem = re.sub(r"([ _-]?(set|split|data|images))?([ _-]?20\d\d)?$", "", name.strip().lower())
    return _KIND.get(stem.replace("hold-out", "holdout").replace("hold_out", "holdout"), "")


def parted(kinds: Collection[str]) -> bool:
    """Whether there are a train split and one to report on."""
    return "train" in kinds and ("val" in kinds or "test" in kinds)


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
    when splits leave nothing to report on or are not understood.
    """
    found = [i for i in range(len(names)) if i in examined]
    if classes is not None and not any(classes[i] for i in found):
        classes = None
    kinds, remark = _kinds(splits or (), found, f"'{ref}'", alone)
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
        notes=(*notes, *remark, *notes_of({i: examined[i] for i in kept}, names)),
    )
    return replace(data, split_rule=rule) if kinds else data


def _kinds(
    splits: Sequence[str], found: Sequence[int], owner: str, alone: str
) -> tuple[list[str], Sequence[str]]:
    """``train``, ``val``, ``test`` or nothing for each image, and a remark; none without train and another.

    Raises ``DataError`` when some of several splits are not understood and it matters.
    """
    kinds = [split_of(split) for split in splits]
    present = {kinds[i] for i in found} if kinds else set()
    if parted(present):
        return kinds, ()
    names = sorted({splits[i] for i in found if splits[i]}) if splits else []
    if len(names) > 1 and (unknown := [name for name in names if not split_of(name)]):
        shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise DataError(
            f"{owner} has splits that are not understood: {shown}. Write train, val or test. {alone}"
        )
    if any(map(split_of, names)) and "train" not in present:
        return [], (f"It has {' and '.join(names)} but no train, and was split again into train and test.",)
    return [], ()


def _reason(
    kinds: Sequence[str], classes: Sequence[str | None] | None, found: Sequence[int], unlabelled: str
) -> Callable[[int], str]:
    """What says why an image is left out: no class, no use, or a class that train lacks."""
    known = {classes[i] for i in found if kinds and kinds[i] == "train"} - {None} if classes else set()
    usable = {kinds[i] for i in found if classes is None or classes[i] in known} if kinds else set()
    by_case = {name.casefold(): name for name in known if name}
    reported = "test" if "test" in (usable - {"train"} or kinds) else "val"

    def why(i: int) -> str:
        if kinds and not kinds[i]:
            return "outside train, val and test"
        if classes is not None and not classes[i]:
            return unlabelled
        if kinds and kinds[i] not in ("train", reported):
            return f"in {kinds[i]}, while {reported} is reported on"
        if kinds and classes is not None and classes[i] not in known:
            near = by_case.get((classes[i] or "").casefold())
            return f"class '{classes[i]}' is not in train" + (f", which has '{near}'" if near else "")
        return ""

    return why
