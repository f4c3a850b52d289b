"""A data set as the host sees it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sslaudit.data.splits import by_content, conflicting_labels, torn_groups
from sslaudit.errors import EmptyData, UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """Files of a data set that are no part of it, and why."""

    reason: str
    count: int
    examples: tuple[str, ...] = ()
    """Up to three of them, as paths below the data set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """N images in a fixed order. Made by ``Dataset.build``."""

    ref: str
    read: Callable[[int], np.ndarray]
    """``read(i)`` decodes image i to (H, W, 3) uint8."""
    ids: tuple[str, ...]
    """A name for each image: its path below the data set, or its index."""
    digests: tuple[str, ...]
    """sha256 of each image's content."""
    labels: np.ndarray | None
    """(N,) int64, an index into ``classes``; None without labels."""
    classes: tuple[str, ...]
    train: np.ndarray
    """Indices that probes and trainers may fit on."""
    test: np.ndarray
    """Indices that are reported on."""
    split_rule: str
    """How train and test came about, in words."""
    digest: str
    """sha256 over contents, class names and splits, in order."""
    skipped: tuple[Skipped, ...] = ()
    splits_given: bool = False
    """Whether train and test came with the data."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further facts of each image by name of the column."""
    groups: tuple[str, ...] | None = None
    """What each image belongs to, such as a patient: one group stands on one side of a split."""
    thumbs: np.ndarray | None = None
    """(N, 16, 16) uint8 gray thumbnails; None when nobody made them."""
    notes: tuple[str, ...] = ()
    """Warnings about the data, each a sentence."""

    def __len__(self) -> int:
        return len(self.digests)

    @classmethod
    def build(
        cls,
        *,
        ref: str,
        read: Callable[[int], np.ndarray],
        digests: Sequence[str],
        class_names: Sequence[str] | None,
        ids: Sequence[str] | None = None,
        splits: Sequence[str] | None = None,
        skipped: Sequence[Skipped] = (),
        columns: Mapping[str, Sequence[str]] | None = None,
        groups: Sequence[str] | None = None,
        thumbs: np.ndarray | None = None,
        notes: Sequence[str] = (),
    ) -> "Dataset":
        """A data set from one class name (and split name, ``train`` or ``test``) for each image.

        Without ``splits`` a content-hashed split holds out 30 % of each class, copies of one image
        and images of one group on one side. What is wrong with labels and groups becomes a note.
        Raises ``EmptyData`` when there is no image.
        """
        if not digests:
            raise EmptyData(f"{ref} holds no image that can be read.{_why_empty(skipped)}")
        classes = tuple(sorted(set(class_names))) if class_names is not None else ()
        labels = None
        if class_names is not None:
            index = {name: i for i, name in enumerate(classes)}
            labels = np.array([index[name] for name in class_names], dtype=np.int64)
        names = tuple(ids) if ids is not None else tuple(str(i) for i in range(len(digests)))
        found = list(notes)
        if labels is not None:
            found += conflicting_labels(digests, labels, names)
        if splits is None:
            held_out = by_content(digests, labels, groups)
            rule = "30 % of each class held out by content hash" if labels is not None else "30 % held out"
            rule += ", groups kept together" if groups is not None else ""
        else:
            held_out = np.array([split == "test" for split in splits], dtype=bool)
            rule = "folders"
            found += torn_groups(groups, held_out) if groups is not None else []
        content = hashlib.sha256()
        for i, digest in enumerate(digests):
            name = class_names[i] if class_names is not None else ""
            content.update(f"{digest}\0{name}\0{int(held_out[i])}\n".encode("utf-8", "surrogateescape"))
        return cls(
            ref=ref,
            read=read,
            ids=names,
            digests=tuple(digests),
            labels=labels,
            classes=classes,
            train=np.flatnonzero(~held_out),
            test=np.flatnonzero(held_out),
            split_rule=rule,
            digest=content.hexdigest(),
            skipped=tuple(skipped),
            splits_given=splits is not None,
            columns={name: tuple(values) for name, values in (columns or {}).items()},
            groups=None if groups is None else tuple(groups),
            thumbs=thumbs,
            notes=tuple(found),
        )


def subset(data: Dataset, *, max_images: int | None = None, per_class: int | None = None) -> Dataset:
    """At most ``per_class`` images of each class and split, then at most ``max_images`` in all.

    The choice is by content hash, in proportion to the classes, so it is the same on every machine
    and a smaller request is part of a larger one. Raises ``UsageError`` for a number below 1.
    """
    for option, number in (("--max-images", max_images), ("--per-class", per_class)):
        if number is not None and number < 1:
            raise UsageError(f"{option} {number} is below 1.")
    # Classes and splits take turns: the j-th image of each stands before the (j+1)-th of any.
    held_out = np.zeros(len(data), dtype=bool)
    held_out[data.test] = True
    order = sorted(
        range(len(data)), key=lambda i: hashlib.sha256(f"subset/{data.digests[i]}".encode()).digest()
    )
    turn: dict[tuple[int, bool], int] = {}
    size: dict[tuple[int, bool], int] = {}
    groups = [
        (int(data.labels[i]) if data.labels is not None else 0, bool(held_out[i])) for i in range(len(data))
    ]
    for group in groups:
        size[group] = size.get(group, 0) + 1
    ranked = []
    for i in order:
        position = turn[groups[i]] = turn.get(groups[i], -1) + 1
        if per_class is None or position < per_class:
            ranked.append(((position + 0.5) / size[groups[i]], i))
    kept = sorted(i for _, i in sorted(ranked)[:max_images])
    if len(kept) == len(data):
        return data
    left_out = Skipped(reason="left out by the request for fewer", count=len(data) - len(kept))
    chosen = only(data, kept)
    return replace(chosen, skipped=(*data.skipped, left_out))


def only(data: Dataset, kept: Sequence[int]) -> Dataset:
    """The images of these indices, in this order, on the sides of the split where they were."""
    held_out = np.zeros(len(data), dtype=bool)
    held_out[data.test] = True
    names = None if data.labels is None else [data.classes[data.labels[i]] for i in kept]
    chosen = Dataset.build(
        ref=data.ref,
        read=lambda i: data.read(kept[i]),
        digests=[data.digests[i] for i in kept],
        class_names=names,
        ids=[data.ids[i] for i in kept],
        splits=["test" if held_out[i] else "train" for i in kept],
        skipped=data.skipped,
        columns={name: [values[i] for i in kept] for name, values in data.columns.items()},
        groups=None if data.groups is None else [data.groups[i] for i in kept],
        thumbs=None if data.thumbs is None else data.thumbs[kept],
    )
    return replace(
        chosen, split_rule=data.split_rule, splits_given=data.splits_given, notes=data.notes
    )  # notes are about the whole data


def _why_empty(skipped: Sequence[Skipped]) -> str:
    return "".join(f" {s.count} skipped: {s.reason}." for s in skipped)
