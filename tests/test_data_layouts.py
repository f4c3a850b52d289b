"""Folders whose layout must be understood: names of splits, folders around, meshes of links."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslaudit.data import Dataset
from sslaudit.data.assemble import split_of
from sslaudit.data.folder import open_folder
from sslaudit.errors import DataError
from sslaudit.refs import DataRef
from sslaudit.sheet import write_sheet

AGAIN = "It has {} but no train, and was split again into train and test."


def fill(root: Path, *folders: str, each: int = 4) -> Path:
    """``each`` images in every folder, all of different gray."""
    for k, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            Image.new("L", (4, 4), k * each + i).save(root / folder / f"{i}.png")
    return root


def opened(folder: Path, **options: str) -> Dataset:
    return open_folder(DataRef("folder", str(folder), tuple(options.items())))


def skips(data: Dataset) -> dict[str, int]:
    return {skipped.reason: skipped.count for skipped in data.skipped}


def sides(data: Dataset) -> dict[str, set[str]]:
    """Folders of the images on each side."""
    return {
        side: {data.ids[i].rpartition("/")[0] for i in part}
        for side, part in (("train", data.train), ("test", data.test))
    }


# Names of splits


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(
            (name, "train")
            for name in ("train", " Train ", "TRAINING", "train2017", "training_set", "trainset")
        ),
        *((name, "val") for name in ("val-2014", "valid", "validation split", "dev", "eval", "evaluation")),
        *((name, "test") for name in ("test", "testing", "test-set", "test_images", "holdout", "hold-out")),
        *((name, "") for name in ("", "trains", "set", "2017", "contest", "train1", "cat", "developer")),
    ],
)
def test_names_of_splits(name: str, kind: str) -> None:
    assert split_of(name) == kind


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("train2017", "val2017"),
        ("train", "dev"),
        ("train", "eval"),
        ("train", "holdout"),
        ("train ", "test"),
    ],
)
def test_splits_by_other_names_are_no_classes(tmp_path: Path, train: str, test: str) -> None:
    data = opened(fill(tmp_path, f"{train}/cat", f"{train}/dog", f"{test}/cat", f"{test}/dog"))
    assert data.classes == ("cat", "dog")
    assert sides(data) == {
        "train": {f"{train}/cat", f"{train}/dog"},
        "test": {f"{test}/cat", f"{test}/dog"},
    }


@pytest.mark.parametrize("names", [("seen", "new"), ("train", "rest"), ("a/a", "b/b"), ("w/seen", "w/new")])
def test_what_looks_like_splits_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    fill(tmp_path, *(f"{name}/{kind}" for name in names for kind in ("cat", "dog")))
    with pytest.raises(DataError, match="looks like splits") as caught:
        opened(tmp_path)
    assert "hold the same folders, 'cat', 'dog'. Rename them to train and test" in str(caught.value)


@pytest.mark.parametrize("deeper", [("cat/raw", "dog/raw"), ("cat/1", "cat/2", "dog/1", "dog/3")])
def test_classes_with_folders_in_them_stay_classes(tmp_path: Path, deeper: tuple[str, ...]) -> None:
    assert opened(fill(tmp_path, *deeper)).classes == ("cat", "dog")


def test_splits_without_train_are_noted(tmp_path: Path) -> None:
    alone = opened(fill(tmp_path / "a", "test/cat", "test/dog"))
    assert (alone.classes, alone.notes) == (("cat", "dog"), (AGAIN.format("test"),))
    both = opened(fill(tmp_path / "b", "dev/cat", "dev/dog", "test/cat", "test/dog"))
    assert (both.classes, both.notes) == (("cat", "dog"), (AGAIN.format("dev and test"),))
    assert opened(fill(tmp_path / "c", "train/cat", "train/dog")).notes == ()


def test_a_class_in_other_letters_is_named(tmp_path: Path) -> None:
    data = opened(fill(tmp_path, "train/cat", "train/dog", "test/Cat", "test/dog"))
    assert skips(data) == {"class 'Cat' is not in train, which has 'cat'": 4}


# Folders around


@pytest.mark.parametrize("around", ["dataset", "images", "a/b/c"])
def test_a_folder_around_classes_is_none(tmp_path: Path, around: str) -> None:
    data = opened(fill(tmp_path, f"{around}/cat", f"{around}/dog/x"))
    assert data.classes == ("cat", "dog")
    assert data.ids[0] == f"{around}/cat/0.png"


def test_a_stray_image_beside_the_classes_is_counted(tmp_path: Path) -> None:
    data = opened(fill(fill(tmp_path, "data/cat", "data/dog"), "data", each=1))
    assert (data.classes, skips(data)) == (("cat", "dog"), {"outside any class folder": 1})


def test_a_class_with_a_few_deeper_images_stays_one(tmp_path: Path) -> None:
    data = opened(fill(fill(tmp_path, "cat"), "cat/more", each=2))
    assert (data.classes, len(data)) == (("cat",), 6)


@pytest.mark.parametrize("form", ["w/{}/{}", "{}/images/{}", "w/{}/images/{}", "{0}/{0}/{1}"])
def test_a_folder_around_or_below_splits_is_no_class(tmp_path: Path, form: str) -> None:
    fill(tmp_path, *(form.format(*pair) for pair in itertools.product(("train", "test"), ("cat", "dog"))))
    data = opened(tmp_path)
    assert data.classes == ("cat", "dog")
    assert sides(data)["train"] == {form.format("train", kind) for kind in ("cat", "dog")}
    assert sides(data)["test"] == {form.format("test", kind) for kind in ("cat", "dog")}


# Links


def test_folders_that_all_link_to_one_another_are_each_read_once_in_a_class(tmp_path: Path) -> None:
    names = "abcdefg"
    fill(tmp_path, *names, each=1)
    for a, b in itertools.permutations(names, 2):
        (tmp_path / a / b).symlink_to(f"../{b}")
    data = opened(tmp_path)
    assert set(data.ids) == {
        *(f"{a}/0.png" for a in names),
        *(f"{a}/{b}/0.png" for a in names for b in names if a != b),
    }
    assert len(data) == 49


def test_a_real_folder_comes_before_a_link_to_it(tmp_path: Path) -> None:
    fill(tmp_path, "cat/z/deep", "dog")
    (tmp_path / "cat" / "again").symlink_to("z/deep")
    data = opened(tmp_path)
    assert {name.rpartition("/")[0] for name in data.ids} == {"cat/z/deep", "dog"}
    assert skips(data) == {"link to a folder that is read already": 1}


@pytest.mark.parametrize("up", ["..", "../..", "../../.."])
def test_a_link_out_to_a_folder_that_holds_the_data_is_cut(tmp_path: Path, up: str) -> None:
    data_root = fill(tmp_path / "x" / "data", "cat", "dog")
    fill(tmp_path / "x", "secret")
    (data_root / "cat" / "up").symlink_to(up)
    data = opened(data_root)
    assert (len(data), data.classes) == (8, ("cat", "dog"))
    assert skips(data) == {"link back to a folder above": 1}


def test_a_link_beside_the_data_is_followed(tmp_path: Path) -> None:
    fill(tmp_path, "data/cat", "other")
    (tmp_path / "data" / "dog").symlink_to("../other")
    (tmp_path / "data" / "ox").symlink_to((tmp_path / "other").resolve())
    assert opened(tmp_path / "data").classes == ("cat", "dog", "ox")


# What is no data, what does nothing


def test_a_contact_sheet_is_no_image_of_the_data(tmp_path: Path) -> None:
    fill(tmp_path, "cat", "dog")
    write_sheet(Image.new("RGB", (900, 700)), tmp_path / "views.png")
    write_sheet(Image.new("RGB", (900, 700)), tmp_path / "cat" / "VIEWS.PNG")
    data = opened(tmp_path)
    assert len(data) == 8
    assert skips(data) == {"contact sheet of sslaudit views": 2}


def test_levels_without_effect_are_noted(tmp_path: Path) -> None:
    fill(tmp_path, "cat")
    assert opened(tmp_path).notes == ()
    said = "levels=4096 had no effect: no image is gray of more than 8 bits."
    assert opened(tmp_path, levels="4096").notes == (said,)
    Image.fromarray(np.full((4, 4), 4095, np.uint16)).save(tmp_path / "cat" / "deep.png")
    assert opened(tmp_path, levels="4096").notes == ()
