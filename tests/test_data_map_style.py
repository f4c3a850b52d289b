"""Map-style data sets from Python: the forms of items, names of classes, splits, and refusals."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset
from torchvision import datasets, transforms

import sslaudit
from sslaudit.data import Dataset
from sslaudit.errors import DataError, EmptyData, UsageError
from sslaudit.loading import load_dataset
from tests.conftest import make_photos

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
LABELS = [0, 1, 2] * 4


class Items:
    """A data set that gives ``make(i)``, with whatever else is said of it."""

    def __init__(self, make: Callable[[int], Any], count: int = 12, **facts: object) -> None:
        self.make, self.count = make, count
        self.__dict__.update(facts)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def tensor(i: int) -> torch.Tensor:
    return torch.from_numpy(PIXELS[i]).permute(2, 0, 1)


def pixels(data: Dataset) -> np.ndarray:
    return np.stack([data.read(i) for i in range(len(data))])


def names(data: Dataset) -> list[str]:
    assert data.labels is not None
    return [data.classes[label] for label in data.labels]


# Items


@pytest.mark.parametrize(
    "make",
    [
        lambda i: (Image.fromarray(PIXELS[i]), LABELS[i]),
        lambda i: [PIXELS[i], np.int64(LABELS[i])],
        lambda i: (tensor(i), torch.tensor(LABELS[i])),
        lambda i: (tensor(i) / 255, torch.tensor([LABELS[i]])),
        lambda i: ((tensor(i) / 255).double().numpy().transpose(1, 2, 0), float(LABELS[i])),
        lambda i: {"image": tensor(i), "label": LABELS[i], "id": "x"},
        lambda i: {"pixel_values": PIXELS[i], "labels": str(LABELS[i])},
    ],
    ids=["pil", "array", "tensor", "float-tensor", "float-array", "mapping", "mapping-of-text"],
)
def test_every_form_of_item_gives_the_same_data(make: Callable[[int], Any]) -> None:
    data = load_dataset(Items(make))
    assert np.array_equal(pixels(data), PIXELS)
    assert names(data) == [str(label) for label in LABELS]
    assert data.ref == "python:Items"
    assert data.digest == load_dataset(Items(lambda i: (PIXELS[i], LABELS[i]))).digest


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_read(kind: torch.dtype) -> None:
    data = load_dataset(Items(lambda i: torch.full((1, 4, 4), i / 16).to(kind)))
    assert pixels(data)[8].tolist() == np.full((4, 4, 3), 128).tolist()


def test_bare_images_have_the_labels_of_targets_or_none() -> None:
    assert load_dataset(Items(lambda i: PIXELS[i])).labels is None
    assert load_dataset(list(PIXELS)).labels is None
    data = load_dataset(Items(lambda i: PIXELS[i], targets=torch.tensor(LABELS), classes=["c", "b", "a"]))
    assert names(data) == ["c", "b", "a"] * 4
    with pytest.raises(DataError, match="12 items and 11 targets"):
        load_dataset(Items(lambda i: PIXELS[i], targets=LABELS[:11]))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"classes": ["cat", "dog", "ox"]}, ["cat", "dog", "ox"]),
        ({"class_to_idx": {"ox": 2, "cat": 0, "dog": 1}}, ["cat", "dog", "ox"]),
        (
            {"classes": [("crane",), ("tench", "Tinca"), ("crane",)]},
            ["crane (0)", "tench, Tinca", "crane (2)"],
        ),
    ],
)
def test_class_names(facts: dict[str, object], expected: list[str]) -> None:
    items = Items(lambda i: (PIXELS[i], LABELS[i]), **facts)
    assert names(load_dataset(items)) == expected * 4
    assert names(load_dataset(Subset(items, range(3, 12)))) == expected * 3


def test_items_without_a_label_are_left_out() -> None:
    data = load_dataset(Items(lambda i: (PIXELS[i], None if i == 3 else -1 if i == 4 else LABELS[i])))
    assert data.ids == tuple(str(i) for i in range(12) if i not in (3, 4))
    assert [(skip.reason, skip.count) for skip in data.skipped] == [("without a label", 2)]


# Splits


@pytest.mark.parametrize("form", [tuple, lambda pair: dict(zip(("train", "test"), pair, strict=True))])
def test_train_and_test(form: Callable[[Any], object]) -> None:
    train = Items(lambda i: (PIXELS[i], LABELS[i]), 8, classes=["a", "b", "c"])
    test = Items(lambda i: (PIXELS[8 + i], 1 - i % 2), 4, classes=["b", "z"])
    data = load_dataset(form((train, test)))
    assert data.train.tolist() == list(range(8))
    assert names(data)[8:] == ["b", "b"]
    assert data.ids[8:] == ("test/1", "test/3")
    assert [(skip.reason, skip.count) for skip in data.skipped] == [("class 'z' is not in train", 2)]


def test_what_torch_and_torchvision_offer(tmp_path: Path) -> None:
    stacked = TensorDataset(torch.stack([tensor(i) for i in range(12)]), torch.tensor(LABELS))
    assert np.array_equal(pixels(load_dataset(stacked)), PIXELS)
    folder = make_photos(tmp_path / "photos", each=4)
    data, same = load_dataset(datasets.ImageFolder(folder)), load_dataset(folder)
    assert data.classes == same.classes
    assert np.array_equal(pixels(data), pixels(same))


# Refusals


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda i: (tensor(i) / 127.5 - 1, 0), "the encoder does that itself"),
        (lambda i: (tensor(i).float(), 0), "floats are taken as 0..1. levels=256"),
        (lambda i: (torch.full((3, 4, 4), float("nan")), 0), "NaN or infinity"),
        (lambda i: (tensor(i).permute(1, 2, 0), 0), "its tensor has the shape (6, 5, 3), not (C, H, W)"),
        (lambda i: (PIXELS[i].transpose(2, 0, 1), 0), "its array has the shape (3, 6, 5), not (H, W)"),
        (lambda i: ((PIXELS[i], PIXELS[i]), 0), "in place of an image it holds 2"),
        (lambda i: (PIXELS[i], 0, i), "it holds 3 things"),
        (lambda i: "a.png", "its image is a str"),
        (lambda i: {"photo": PIXELS[i]}, "its keys are photo"),
        (lambda i: {"image": 1, "img": 2}, "'image' and 'img' may both be its image"),
        (lambda i: PIXELS[i + 12], "IndexError: index 12 is out of bounds"),
    ],
)
def test_an_item_that_cannot_be_used_is_named(make: Callable[[int], Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(Items(make))
    assert str(caught.value).startswith("item 0 of Items")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (lambda i: [1, 1, 0], "multi-label"),
        (lambda i: [0] * (i + 1), "have several shapes"),
        (lambda i: 0.5, "whole numbers or texts"),
        (lambda i: 7, "hold 7, and there are 3 class names"),
    ],
)
def test_labels_that_are_no_classes_are_refused(label: Callable[[int], Any], said: str) -> None:
    with pytest.raises(DataError, match="the labels of Items") as caught:
        load_dataset(Items(lambda i: (PIXELS[i], label(i)), classes=["a", "b", "c"]))
    assert said in str(caught.value)


@pytest.mark.parametrize("augment", [transforms.RandomHorizontalFlip(), transforms.RandomCrop(4)])
def test_random_augmentation_is_refused(augment: Callable[[Any], Any]) -> None:
    items = Items(lambda i: (augment(Image.fromarray(PIXELS[i])), 0))
    with pytest.raises(DataError, match="differs when it is read twice"):
        load_dataset(items)


class _Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter(PIXELS)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_Stream(), "is an IterableDataset"),
        (DataLoader(list(PIXELS)), "give its data set: loader.dataset"),
        ((PIXELS, np.array(LABELS)), r"list\(zip\(X, y\)\)"),
        ({"training": list(PIXELS)}, "needs the keys train and test; it has training"),
        (["a", "b"], "not a list of them"),
        (3.5, "not float"),
        (None, "not NoneType"),
        (SimpleNamespace(), "not SimpleNamespace"),
    ],
)
def test_what_is_no_map_style_data_set_is_refused(data: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_dataset(data)


def test_nothing_in_it() -> None:
    with pytest.raises(EmptyData, match="holds no image"):
        load_dataset([])


# Use


def test_items_are_read_one_at_a_time() -> None:
    """An object that is not safe in threads, as one that reads from one open file."""
    inside = threading.Lock()

    def make(i: int) -> np.ndarray:
        assert inside.acquire(blocking=False), "two reads at once"
        try:
            return PIXELS[i]
        finally:
            inside.release()

    data = load_dataset(Items(make))
    with ThreadPoolExecutor(8) as pool:
        assert np.array_equal(
            np.stack(list(pool.map(data.read, [*range(12)] * 20))), np.tile(PIXELS, (20, 1, 1, 1))
        )


def test_an_evaluation_takes_such_a_data_set() -> None:
    squares = np.random.default_rng(1).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    encoder = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten())
    preprocess = sslaudit.Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")
    items = Items(lambda i: (squares[i], i % 2), 24, classes=["even", "odd"])
    card = sslaudit.evaluate(encoder, items, preprocess=preprocess, metrics="knn", recipe="none", views=1)
    assert card.data.images == 24
    assert card.data.ref == "python:Items"


def test_a_damaged_file_behind_a_lazy_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="item 0 of Items cannot be read: OSError"):
        load_dataset(Items(lambda i: (Image.open(io.BytesIO(path.read_bytes())), 0)))
