"""Splits by content and subsets: the same on every machine, whatever the order of the files."""

import hashlib
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit.data import Dataset, subset
from sslaudit.data.digits import open_digits
from sslaudit.data.splits import by_content
from sslaudit.errors import EmptyData, UsageError
from sslaudit.refs import DataRef

CLASSES = "abc"


def digest(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def dataset(names: list[str], *, splits: list[str] | None = None) -> Dataset:
    """A data set whose image i has class ``names[i]`` and holds the number i."""
    return Dataset.build(
        ref="made",
        read=lambda i: np.full((1, 1, 3), i, dtype=np.uint8),
        digests=[digest(i) for i in range(len(names))],
        class_names=names,
        splits=splits,
    )


# (image, class): an image keeps its class, and may be there more than once.
IMAGES = st.lists(st.integers(0, 60), min_size=1, max_size=60).map(lambda ids: [(i, i % 3) for i in ids])


@given(IMAGES, st.randoms())
def test_the_split_follows_contents_and_not_their_order(
    images: list[tuple[int, int]], random: object
) -> None:
    def held_out(images: list[tuple[int, int]]) -> dict[int, set[bool]]:
        test = by_content([digest(i) for i, _ in images], np.array([label for _, label in images]))
        sides = defaultdict(set)
        for (i, _), side in zip(images, test, strict=True):
            sides[i].add(bool(side))
        return sides

    shuffled = list(images)
    random.shuffle(shuffled)
    sides = held_out(images)
    assert sides == held_out(shuffled)
    assert all(len(side) == 1 for side in sides.values()), "copies of one image stand on one side"
    for label in range(3):
        distinct = [side for i, side in sides.items() if i % 3 == label]
        share = sum(True in side for side in distinct)
        expected = min(max(1, round(0.3 * len(distinct))), len(distinct) - 1) if distinct else 0
        assert share == expected
        if len(distinct) >= 2:
            assert 0 < share < len(distinct)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=1, max_size=40))
def test_copies_under_two_labels_stand_on_one_side_too(images: list[tuple[int, int]]) -> None:
    test = by_content([digest(i) for i, _ in images], np.array([label for _, label in images]))
    sides = defaultdict(set)
    for (i, _), side in zip(images, test, strict=True):
        sides[i].add(bool(side))
    assert all(len(side) == 1 for side in sides.values())


def test_without_labels_30_percent_of_all_images_are_held_out() -> None:
    data = Dataset.build(ref="x", read=np.zeros, digests=[digest(i) for i in range(100)], class_names=None)
    assert (len(data.test), len(data.train), data.labels, data.classes) == (30, 70, None, ())
    assert data.split_rule == "30 % held out"


def test_a_split_is_pinned() -> None:
    """These images are held out on every machine and in every version."""
    test = by_content([digest(i) for i in range(10)], None)
    assert np.flatnonzero(test).tolist() == [7, 8, 9]


def test_a_data_set_states_its_split_and_its_content() -> None:
    data = dataset(list(CLASSES) * 10)
    assert data.split_rule == "30 % of each class held out by content hash"
    assert data.classes == ("a", "b", "c")
    assert sorted([*data.train, *data.test]) == list(range(30))
    assert Counter(data.labels[data.test].tolist()) == {0: 3, 1: 3, 2: 3}
    assert data.digest == dataset(list(CLASSES) * 10).digest
    assert data.digest != dataset([*CLASSES[::-1]] * 10).digest
    given_splits = dataset(list(CLASSES) * 2, splits=["train"] * 3 + ["test"] * 3)
    assert (given_splits.train.tolist(), given_splits.test.tolist()) == ([0, 1, 2], [3, 4, 5])
    assert given_splits.split_rule == "folders"


def test_a_data_set_without_images_is_refused() -> None:
    with pytest.raises(EmptyData, match="made holds no image"):
        dataset([])


def groups(data: Dataset) -> Counter[tuple[str, bool]]:
    held_out = set(data.test.tolist())
    return Counter((data.classes[label], i in held_out) for i, label in enumerate(data.labels))


SIZES = st.tuples(*(st.integers(1, 40) for _ in CLASSES))


def of_sizes(sizes: tuple[int, ...]) -> Dataset:
    return dataset([name for name, size in zip(CLASSES, sizes, strict=True) for _ in range(size)])


@given(SIZES, st.integers(1, 130), st.integers(1, 130))
def test_a_smaller_request_is_part_of_a_larger_one(sizes: tuple[int, ...], first: int, second: int) -> None:
    data = of_sizes(sizes)
    small, large = sorted((first, second))
    assert set(subset(data, max_images=small).digests) <= set(subset(data, max_images=large).digests)
    assert set(subset(data, per_class=small).digests) <= set(subset(data, per_class=large).digests)


@given(SIZES, st.integers(1, 130))
def test_a_subset_keeps_the_proportions_of_classes_and_splits(sizes: tuple[int, ...], wanted: int) -> None:
    data = of_sizes(sizes)
    few = subset(data, max_images=wanted)
    assert len(few) == min(wanted, len(data))
    whole, kept = groups(data), groups(few)
    for group, size in whole.items():
        # Rounding each of G groups moves the common share by at most G / 2 images in all.
        slack = 0.5 + len(whole) / 2 * size / len(data)
        assert abs(kept[group] - len(few) * size / len(data)) <= slack + 1e-9


@given(SIZES, st.integers(1, 40))
def test_per_class_bounds_each_class_and_split(sizes: tuple[int, ...], wanted: int) -> None:
    data = of_sizes(sizes)
    kept = groups(subset(data, per_class=wanted))
    assert kept == {group: min(size, wanted) for group, size in groups(data).items()}


@given(SIZES, st.integers(1, 60), st.integers(1, 40))
def test_a_subset_keeps_pixels_labels_splits_and_order(
    sizes: tuple[int, ...], max_images: int, per_class: int
) -> None:
    data = of_sizes(sizes)
    few = subset(data, max_images=max_images, per_class=per_class)
    place = {content: i for i, content in enumerate(data.digests)}
    old = [place[content] for content in few.digests]
    assert old == sorted(old)
    assert [int(few.read(i)[0, 0, 0]) for i in range(len(few))] == old
    assert [few.ids[i] for i in range(len(few))] == [data.ids[i] for i in old]
    assert [few.classes[k] for k in few.labels] == [data.classes[data.labels[i]] for i in old]
    assert {old[i] for i in few.test} == set(data.test.tolist()) & set(old)
    assert few.split_rule == data.split_rule
    left_out = sum(skipped.count for skipped in few.skipped)
    assert left_out == len(data) - len(few)


def test_a_request_for_everything_changes_nothing() -> None:
    data = dataset(list(CLASSES) * 10)
    assert subset(data) is data
    assert subset(data, max_images=30, per_class=99) is data


@pytest.mark.parametrize("option", ["max_images", "per_class"])
@pytest.mark.parametrize("number", [0, -5])
def test_a_request_for_nothing_names_the_option(option: str, number: int) -> None:
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')} {number} is below 1"):
        subset(dataset(list("ab")), **{option: number})


def test_the_embedded_digits() -> None:
    digits = open_digits(DataRef.parse("digits"))
    assert len(digits) == 1797
    assert digits.classes == tuple("0123456789")
    assert digits.read(0).shape == (8, 8, 3)
    assert digits.read(0).dtype == np.uint8
    # The first image of the source starts with the gray levels 0 0 5 13 9 1 0 0 of 16.
    assert digits.read(0)[0, :, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    assert digits.classes[digits.labels[0]] == "0"
    assert len(set(digits.digests)) == len(digits)
    assert 0.29 < len(digits.test) / len(digits) < 0.31
    with pytest.raises(UsageError, match="digits:mnist"):
        open_digits(DataRef.parse("digits:mnist"))
