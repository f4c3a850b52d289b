"""A map-style data set from Python: any object with ``__len__`` and ``__getitem__``.

An item is ``(image, label)``, a mapping with both, or an image alone; an image is a PIL image, an
array (H, W, C), or a tensor (C, H, W). No process is started: items are read one at a time, so the
object need not be safe in threads and a script needs no ``__main__`` guard.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from sslaudit.data.assemble import assemble
from sslaudit.data.dataset import Dataset
from sslaudit.data.examine import Examined, examine_pixels
from sslaudit.data.items import pixels_of, taken_apart
from sslaudit.data.labels import named
from sslaudit.data.named_classes import targets_of, titles_of
from sslaudit.data.skips import Skips
from sslaudit.errors import DataError, UsageError
from sslaudit.refs import DataRef

READ_TWICE = 64
"""So many items, spread over the data, are read a second time."""


class MapStyle(Protocol):
    """What ``torch.utils.data`` calls a map-style data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Side:
    """One data set of the user's, read one item at a time."""

    items: MapStyle
    shown: str
    """What messages call it."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, i: int) -> tuple[np.ndarray, Any]:
        """Pixels and raw label of item i. Raises ``DataError`` naming it."""
        with self.lock:
            try:
                image, label = taken_apart(self.items[i])
                return pixels_of(image), label
            except DataError as error:
                raise DataError(f"item {i} of {self.shown}: {error}") from error
            except Exception as error:  # whatever the user's code raises
                raise DataError(f"item {i} of {self.shown} cannot be read: {_reason(error)}") from error

    def count(self) -> int:
        """How many items there are. Raises ``UsageError`` when the object does not say."""
        try:
            return len(self.items)
        except Exception as error:  # whatever the user's code raises, and Python for a length below 0
            raise UsageError(f"len() of {self.shown} fails: {_reason(error)}") from error

    def class_names(self, labels: Sequence[Any]) -> list[str | None]:
        """One class name for each item, from its label, or from ``targets`` when items are bare."""
        try:
            return self._class_names(labels)
        except DataError:
            raise
        except Exception as error:  # labels and names are whatever the user's code gives
            raise DataError(f"the labels of {self.shown} cannot be read: {_reason(error)}") from error

    def _class_names(self, labels: Sequence[Any]) -> list[str | None]:
        owner = f"the labels of {self.shown}"
        if all(label is None for label in labels):
            targets = targets_of(self.items)
            if targets is None or not labels:
                return [None] * len(labels)
            labels = targets
            if len(labels) != self.count():
                raise DataError(f"{self.shown} has {self.count()} items and {len(labels)} targets.")
        if any(isinstance(label, str) for label in labels):
            return [None if label is None else str(label).strip() or None for label in labels]
        values = [np.asarray(-1 if label is None else _plain(label)) for label in labels]
        if len({value.shape for value in values}) > 1:
            raise DataError(f"{owner} have several shapes; an image has one class here, a number or a text.")
        return named(np.stack(values), titles_of(self.items, self.shown), owner)


def open_object(data: object, ref: str = "") -> Dataset:
    """The data set that ``data`` is, or whose train and test it holds.

    Splits are a mapping ``{"train": ..., "test": ...}`` or a pair ``(train, test)``. Raises
    ``UsageError`` for what is no map-style data set, and ``DataError`` for items that are no images
    or differ each time they are read.
    """
    splits = _splits(data)
    if all(type(side).__module__ == "datasets.arrow_dataset" for side in splits.values()):
        from datasets import DatasetDict

        from sslaudit.data.hf_sets import open_loaded

        return open_loaded(DatasetDict(splits), DataRef("python", ref or type(data).__name__))
    sides = {split: _Side(_checked(side), _shown(side, split)) for split, side in splits.items()}
    items: list[tuple[_Side, int]] = []
    names: list[str] = []
    classes: list[str | None] = []
    parts: list[str] = []
    examined: dict[int, Examined] = {}
    for split, side in sides.items():
        labels = []
        count = side.count()
        again = set(np.linspace(0, count - 1, min(count, READ_TWICE), dtype=int).tolist())
        for i in range(count):
            pixels, label = side.read(i)
            if i in again:
                _same(pixels, side, i)
            examined[len(names)] = examine_pixels(pixels)
            labels.append(label)
            names.append(f"{split}/{i}" if split else str(i))
            items.append((side, i))
        classes += side.class_names(labels)
        parts += [split] * count

    def read(i: int) -> np.ndarray:
        side, item = items[i]
        return side.read(item)[0]

    return assemble(
        ref=ref or f"python:{type(data).__name__}",
        read=read,
        names=names,
        examined=examined,
        skips=Skips(),
        classes=classes,
        splits=parts if any(parts) else None,
    )


def _splits(data: object) -> dict[str, object]:
    if isinstance(data, Mapping):
        if "train" in data and {"test", "val"} & set(data):
            return {str(split): side for split, side in data.items()}
        raise UsageError(
            f"a mapping of data sets needs the keys train and test; it has {', '.join(map(str, data))}."
        )
    if isinstance(data, tuple) and len(data) == 2:
        if any(isinstance(side, np.ndarray | torch.Tensor) for side in data):
            raise UsageError(
                "a pair is (train, test), two data sets. For images and labels: list(zip(X, y))."
            )
        return {"train": data[0], "test": data[1]}
    return {"": data}


def _checked(data: object) -> MapStyle:
    kind = type(data).__name__
    if isinstance(data, DataLoader):
        raise UsageError(
            "a DataLoader gives batches in an order of its own; give its data set: loader.dataset."
        )
    if isinstance(data, IterableDataset):
        raise UsageError(
            f"{kind} is an IterableDataset, without items by number. Give a map-style data set, or for tar "
            "shards webdataset:PATTERN."
        )
    if isinstance(data, list) and data and isinstance(data[0], str | os.PathLike):
        raise UsageError(
            "data are one reference, a path, a Dataset or a map-style data set; not a list of them."
        )
    if isinstance(data, str | bytes) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise UsageError(
            f"data are a reference, a path, a Dataset, or have __len__ and __getitem__; not {kind}."
        )
    return data


def _shown(side: object, split: str) -> str:
    return f"{type(side).__name__} ({split})" if split else type(side).__name__


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _plain(label: Any) -> Any:
    """A tensor or array, wherever it lies, as numbers of Python."""
    return label.tolist() if hasattr(label, "tolist") else label


def _same(pixels: np.ndarray, side: _Side, i: int) -> None:
    if not np.array_equal(pixels, side.read(i)[0]):
        raise DataError(
            f"item {i} of {side.shown} differs when it is read twice: its transform draws at random. "
            "Give the images without augmentation; the recipe makes the views."
        )
