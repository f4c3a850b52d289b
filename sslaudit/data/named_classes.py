"""What a map-style data set says of its items from outside: names of classes, and targets.

Both are also found in the data sets inside a ``Subset`` or ``ConcatDataset`` of torch.
"""

from collections.abc import Mapping
from typing import Any

from sslaudit.data.labels import distinct
from sslaudit.errors import DataError


def titles_of(data: Any, owner: str) -> dict[int, str] | None:
    """Class names by number, from ``classes`` or ``class_to_idx``; None without either.

    Names of one number are joined with a slash. Raises ``DataError`` naming ``owner`` for what are
    no names, and for joined data sets whose names differ.
    """
    if (classes := getattr(data, "classes", None)) is not None:
        if isinstance(classes, str | bytes | Mapping) or not hasattr(classes, "__iter__"):
            raise DataError(f"classes of {owner} is of type {type(classes).__name__}, not a list of names.")
        return dict(enumerate(distinct(list(classes))))
    if index := getattr(data, "class_to_idx", None):
        return _inverted(index, owner)
    if isinstance(parts := getattr(data, "datasets", None), list | tuple) and parts:
        titles = [titles_of(part, owner) for part in parts]
        if any(other != titles[0] for other in titles):
            raise DataError(
                f"{owner} joins data sets whose class names differ, so that one number is several classes. "
                "Give items whose labels are names."
            )
        return titles[0]
    inside = getattr(data, "dataset", None)
    return None if inside is None else titles_of(inside, owner)


def targets_of(data: Any) -> list[Any] | None:
    """The ``targets`` of the items, in their order; None when there are none."""
    if (targets := getattr(data, "targets", None)) is not None:
        return list(targets)
    if isinstance(parts := getattr(data, "datasets", None), list | tuple) and parts:
        found = [targets_of(part) for part in parts]
        return None if None in found else [target for part in found for target in part or ()]
    inside, indices = getattr(data, "dataset", None), getattr(data, "indices", None)
    if inside is None or indices is None or (targets := targets_of(inside)) is None:
        return None
    return [targets[i] for i in indices]


def _inverted(index: Any, owner: str) -> dict[int, str]:
    if not isinstance(index, Mapping):
        raise DataError(
            f"class_to_idx of {owner} is of type {type(index).__name__}, not a dict of names to numbers."
        )
    by_number: dict[int, list[str]] = {}
    for name, number in index.items():
        by_number.setdefault(int(number), []).append(str(name))
    return dict(zip(by_number, distinct(["/".join(names) for names in by_number.values()]), strict=True))
