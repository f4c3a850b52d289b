"""Labels of NumPy files that must not be lost, numbers that are no classes, and damaged files."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from sslaudit.data import Dataset
from tests.test_data_arrays import COLOUR, LABELS, npz, opened, pixels, refused

EVEN, ODD = slice(0, None, 2), slice(1, None, 2)
SIDES = {"x_train": COLOUR[EVEN], "x_test": COLOUR[ODD]}


def names(data: Dataset) -> list[str]:
    assert data.labels is not None
    return [data.classes[label] for label in data.labels]


def told(data: Dataset) -> str:
    return " ".join(data.notes)


# Which array is the labels


@pytest.mark.parametrize("train", ["y_training", "training_labels", "Y_train"])
@pytest.mark.parametrize("test", ["y_testing", "holdout_y", "labels_test"])
def test_splits_go_by_any_of_their_names(tmp_path: Path, train: str, test: str) -> None:
    data = opened(npz(tmp_path, **SIDES, **{train: LABELS[EVEN], test: LABELS[ODD]}))
    assert names(data) == [str(k) for k in (*LABELS[EVEN], *LABELS[ODD])]
    assert data.train.tolist() == list(range(6))
    assert data.notes == ()


def test_two_names_of_one_split(tmp_path: Path) -> None:
    said = refused(npz(tmp_path, x_val=COLOUR, x_validation=COLOUR))
    assert "'x_val' and 'x_validation' may both be its images" in said


def test_images_alone_bring_the_labels_of_their_split(tmp_path: Path) -> None:
    path = npz(tmp_path, **SIDES, y_train=LABELS[EVEN], y_test=LABELS[ODD], class_names=np.array(list("abc")))
    for name, part in (("x_train", EVEN), ("x_test", ODD)):
        data = opened(path, images=name)
        assert names(data) == ["abc"[k] for k in LABELS[part]]
        assert np.array_equal(pixels(data), COLOUR[part])
        assert data.notes == ()


def test_labels_of_other_images_are_told(tmp_path: Path) -> None:
    data = opened(npz(tmp_path, photos=COLOUR[:8], x=COLOUR, y=LABELS), images="photos")
    assert data.labels is None
    assert "may hold labels: y." in told(data)
    assert "images=photos,labels=y" in told(data)


def test_labels_alone_with_images_of_several_splits(tmp_path: Path) -> None:
    path = npz(tmp_path, **SIDES, y_train=LABELS[EVEN])
    assert "labels=y_train belongs to one of 'x_train' and 'x_test'" in refused(path, labels="y_train")
    assert names(opened(path, images="x_train", labels="y_train")) == [str(k) for k in LABELS[EVEN]]
    one = npz(tmp_path, x_train=COLOUR, kind=LABELS)
    assert names(opened(one, labels="kind")) == [str(k) for k in LABELS]


@pytest.mark.parametrize(
    ("members", "idle"),
    [
        ({**SIDES, "y": LABELS}, "y"),
        ({"x": COLOUR, "y": LABELS, "y_test": LABELS}, "y_test"),
        ({"x": COLOUR, "classes": LABELS}, "classes"),
    ],
)
def test_labels_left_over_are_told(tmp_path: Path, members: dict[str, np.ndarray], idle: str) -> None:
    assert f"Not used, though it may hold labels: {idle}." in told(opened(npz(tmp_path, **members)))


@pytest.mark.parametrize("titles", [np.array("cat"), np.array([["a", "b", "c"]])])
def test_class_names_are_one_row(tmp_path: Path, titles: np.ndarray) -> None:
    assert "is no row of class names" in refused(npz(tmp_path, x=COLOUR, y=LABELS, classes=titles))


# Numbers


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "hold 1 that are NaN"),
        (np.inf, "hold 1 that are infinite"),
        (-np.inf, "hold 1 that are infinite"),
        (1e30, "hold 1e+30, which is no number of a class"),
        (-2.0, "hold -2. Classes are counted from 0"),
        (-7, "hold -7. Classes are counted from 0"),
    ],
)
def test_numbers_that_are_no_classes(tmp_path: Path, value: float, said: str) -> None:
    labels = np.array([value, *LABELS[1:].tolist()])
    assert f"the labels in array 'y' {said}" in refused(npz(tmp_path, x=COLOUR, y=labels))


@pytest.mark.parametrize("kind", [int, float])
def test_minus_one_is_no_label(tmp_path: Path, kind: type) -> None:
    labels = np.array([-1, *LABELS[1:].tolist()], kind)
    data = opened(npz(tmp_path, x=COLOUR, y=labels))
    assert names(data) == [str(k) for k in LABELS[1:]]


def test_levels_are_for_whole_numbers(tmp_path: Path) -> None:
    said = refused(npz(tmp_path, x=COLOUR / 255, y=LABELS), levels="16")
    assert "from 0 to 1; levels=16 is for whole numbers" in said


@pytest.mark.parametrize("shape", [(20, 0, 10, 3), (20, 0), (20, 4, 0), (20, 3, 0, 4)])
def test_an_axis_of_nothing_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert "holds no pixels: one of its axes is 0" in refused(npz(tmp_path, x=np.zeros(shape, np.uint8)))


# Files


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    path = npz(tmp_path, x=COLOUR, y=LABELS)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("x.npy")
    content = bytearray(path.read_bytes())
    content[info.header_offset + 30 + info.compress_size // 2] ^= 1
    path.write_bytes(content)
    assert "it is damaged (Bad CRC-32 for file 'x.npy'); copy it again." in refused(path)


@pytest.mark.parametrize("held", [[], ["a.txt", "b.txt"]])
def test_a_zip_without_arrays(tmp_path: Path, held: list[str]) -> None:
    path = tmp_path / "images.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in held:
            archive.writestr(name, "text")
    assert f"is a zip that holds no arrays, but {', '.join(held) or 'nothing'}" in refused(path)
