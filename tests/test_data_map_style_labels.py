"""Class names and labels of map-style data sets: numbers with gaps, joined sets, and odd objects."""

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import ConcatDataset, Subset

from sslaudit.errors import DataError, UsageError
from sslaudit.loading import load_dataset
from tests.test_data_map_style import LABELS, PIXELS, Items, names, pixels


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({"dog": 0, "hound": 0, "cat": 1}, {0: "dog/hound", 1: "cat"}),
        ({"dog": 1, "cat": 2}, {1: "dog", 2: "cat"}),
        ({"dog": 7, "cat": 3}, {7: "dog", 3: "cat"}),
    ],
)
def test_class_to_idx_is_inverted(index: dict[str, int], expected: dict[int, str]) -> None:
    numbers = sorted(expected)
    items = Items(lambda i: (PIXELS[i], numbers[i % 2]), class_to_idx=index)
    assert names(load_dataset(items)) == [expected[number] for number in numbers] * 6


def test_a_number_that_class_to_idx_lacks() -> None:
    items = Items(lambda i: (PIXELS[i], i % 2), class_to_idx={"dog": 1, "cat": 2})
    with pytest.raises(DataError, match=r"hold 0, and there are 2 class names \(1 to 2\)"):
        load_dataset(items)


def joined(*classes: list[str] | None) -> ConcatDataset[Any]:
    facts = [{} if names is None else {"classes": names} for names in classes]
    return ConcatDataset([Items(lambda i: (PIXELS[i], i % 2), **fact) for fact in facts])


@pytest.mark.parametrize("other", [["dog", "cat"], ["cat", "dog", "ox"], None])
@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: Subset(data, range(24))])
def test_joined_sets_of_other_classes_are_refused(
    other: list[str] | None, wrap: Callable[[Any], Any]
) -> None:
    with pytest.raises(DataError, match="joins data sets whose class names differ"):
        load_dataset(wrap(joined(["cat", "dog"], other)))


def test_joined_sets_of_the_same_classes() -> None:
    assert names(load_dataset(joined(["cat", "dog"], ["cat", "dog"]))) == ["cat", "dog"] * 12
    assert names(load_dataset(joined(None, None))) == ["0", "1"] * 12


def test_targets_inside_a_subset_or_joined_sets() -> None:
    bare = Items(lambda i: PIXELS[i], targets=LABELS, classes=["a", "b", "c"])
    order = [5, 3, 1, 0, 2, 4, 7, 9]
    assert names(load_dataset(Subset(bare, order))) == ["abc"[LABELS[i]] for i in order]
    assert names(load_dataset(ConcatDataset([bare, bare]))) == ["abc"[label] for label in LABELS] * 2


# Objects that are not what they seem


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"classes": 2}, "classes of Items is of type int, not a list of names"),
        ({"classes": "cat"}, "classes of Items is of type str"),
        ({"classes": {0: "cat"}}, "classes of Items is of type dict"),
        ({"class_to_idx": ["cat", "dog", "ox"]}, "class_to_idx of Items is of type list"),
        ({"class_to_idx": {"cat": "first"}}, "the labels of Items cannot be read: ValueError"),
    ],
)
def test_class_names_that_are_none(facts: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_dataset(Items(lambda i: (PIXELS[i], LABELS[i]), **facts))


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ([[1], [1, 2]], "the labels of Items cannot be read: ValueError"),
        (float("nan"), "hold 12 that are NaN"),
        (-3, "hold -3"),
    ],
)
def test_labels_that_are_none(label: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_dataset(Items(lambda i: (PIXELS[i], label)))


@pytest.mark.parametrize("targets", [3, [[1], [1, 2]] * 6])
def test_targets_that_are_none(targets: object) -> None:
    with pytest.raises(DataError, match="the labels of Items"):
        load_dataset(Items(lambda i: PIXELS[i], targets=targets))


class _Endless(Items):
    def __len__(self) -> int:
        raise RuntimeError("not known")


@pytest.mark.parametrize("count", [-1, 3.5, None])
def test_a_length_that_is_none(count: Any) -> None:
    with pytest.raises(UsageError, match=r"len\(\) of Items fails"):
        load_dataset(Items(lambda i: PIXELS[i], count))
    with pytest.raises(UsageError, match=r"len\(\) of _Endless fails: RuntimeError: not known"):
        load_dataset(_Endless(lambda i: PIXELS[i]))


@pytest.mark.parametrize("form", [tuple, lambda pair: dict(zip(("train", "test"), pair, strict=True))])
def test_a_pair_of_hugging_face_data_sets(form: Callable[[Any], object]) -> None:
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    train, test = (
        datasets.Dataset.from_dict(
            {"image": [Image.fromarray(PIXELS[i]) for i in part], "label": [LABELS[i] for i in part]},
            features=features,
        )
        for part in (range(8), range(8, 12))
    )
    data = load_dataset(form((train, test)))
    assert names(data) == ["abc"[label] for label in LABELS]
    assert data.train.tolist() == list(range(8))
    assert np.array_equal(pixels(data), PIXELS)
