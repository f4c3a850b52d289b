"""Folders of images as users have them."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslaudit.data import Dataset, decode
from sslaudit.data.folder import open_folder
from sslaudit.errors import DataError, DataNotFound, EmptyData
from sslaudit.refs import DataRef


def put(path: Path, level: int = 0) -> Path:
    """A 4 x 4 PNG of one gray level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (level, level, level)).save(path, "PNG")
    return path


def fill(folder: Path, classes: list[str], each: int = 4, first: int = 0) -> Path:
    """``each`` different images in a folder for each class."""
    for k, name in enumerate(classes):
        for i in range(each):
            put(folder / name / f"{i:03d}.png", first + k * each + i)
    return folder


def opened(folder: Path) -> Dataset:
    return open_folder(DataRef("folder", str(folder)))


def skips(data: Dataset) -> dict[str, int]:
    return {skipped.reason: skipped.count for skipped in data.skipped}


def class_of(data: Dataset) -> dict[str, str]:
    return {name: data.classes[label] for name, label in zip(data.ids, data.labels, strict=True)}


def tree(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_size) for p in [folder, *folder.rglob("*")])


# Layouts


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    before = tree(fill(tmp_path, ["dog", "cat"]))
    data = opened(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.ids == (*(f"cat/{i:03d}.png" for i in range(4)), *(f"dog/{i:03d}.png" for i in range(4)))
    assert data.labels.tolist() == [0] * 4 + [1] * 4
    assert [int(data.read(i)[0, 0, 0]) for i in range(8)] == [4, 5, 6, 7, 0, 1, 2, 3]
    assert (len(data.train), len(data.test)) == (6, 2)
    assert data.skipped == ()
    assert tree(tmp_path) == before, "nothing is written into the folder"


def test_deeper_folders_belong_to_the_class_on_top(tmp_path: Path) -> None:
    put(tmp_path / "cat" / "indoors" / "a.png", 1)
    put(tmp_path / "dog" / "x" / "y" / "b.PNG", 2)
    assert class_of(opened(tmp_path)) == {"cat/indoors/a.png": "cat", "dog/x/y/b.PNG": "dog"}


def test_one_class_and_no_class(tmp_path: Path) -> None:
    one = opened(fill(tmp_path / "one", ["cat"]))
    assert (one.classes, one.labels.tolist()) == (("cat",), [0] * 4)
    none = opened(fill(tmp_path / "none", ["."]))
    assert (none.classes, none.labels, len(none)) == ((), None, 4)
    assert none.split_rule == "30 % held out"


def test_images_beside_class_folders_are_left_out_and_counted(tmp_path: Path) -> None:
    put(fill(tmp_path, ["cat", "dog"]) / "logo.png", 99)
    data = opened(tmp_path)
    assert data.classes == ("cat", "dog")
    assert skips(data) == {"outside any class folder": 1}


@pytest.mark.parametrize("test", ["test", "val", "Validation", "TESTING", "valid"])
def test_train_with_another_split_are_splits_and_no_classes(tmp_path: Path, test: str) -> None:
    fill(tmp_path / "train", ["cat", "dog"])
    fill(tmp_path / test, ["cat", "dog"], each=2, first=50)
    data = opened(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.split_rule == "folders"
    assert all(data.ids[i].startswith("train/") for i in data.train)
    assert all(data.ids[i].startswith(f"{test}/") for i in data.test)
    assert (len(data.train), len(data.test)) == (8, 4)


def test_classes_are_matched_by_name_over_splits(tmp_path: Path) -> None:
    fill(tmp_path / "train", ["a", "b", "c", "10", "2", "100"], each=6)
    fill(tmp_path / "val", ["b", "c", "100", "zz"], each=3, first=100)
    data = opened(tmp_path)
    assert data.classes == ("10", "100", "2", "a", "b", "c")
    assert (len(data.train), len(data.test)) == (36, 9)
    assert {data.ids[i].split("/")[1]: data.classes[data.labels[i]] for i in data.test} == {
        "b": "b",
        "c": "c",
        "100": "100",
    }
    (left_out,) = data.skipped
    assert (left_out.reason, left_out.count) == ("class 'zz' is not in train", 3)
    assert left_out.examples == ("val/zz/000.png", "val/zz/001.png", "val/zz/002.png")


def test_val_is_left_out_while_test_is_reported_on(tmp_path: Path) -> None:
    for k, split in enumerate(["train", "val", "test"]):
        fill(tmp_path / split, ["cat", "dog"], first=20 * k)
    data = opened(tmp_path)
    assert {data.ids[i].split("/")[0] for i in data.test} == {"test"}
    assert skips(data) == {"in val, while test is reported on": 8}


def test_a_test_folder_without_labels_gives_way_to_val(tmp_path: Path) -> None:
    fill(tmp_path / "train", ["cat", "dog"])
    fill(tmp_path / "val", ["cat", "dog"], first=20)
    fill(tmp_path / "test", ["."], first=40)
    data = opened(tmp_path)
    assert {data.ids[i].split("/")[0] for i in data.test} == {"val"}
    assert skips(data) == {"outside any class folder": 4}


def test_what_lies_beside_the_splits_does_not_make_them_classes(tmp_path: Path) -> None:
    fill(tmp_path / "train", ["cat", "dog"])
    fill(tmp_path / "test", ["cat", "dog"], first=20)
    fill(tmp_path / "unlabeled", ["."], first=40)
    put(tmp_path / "logo.png", 90)
    data = opened(tmp_path)
    assert data.classes == ("cat", "dog")
    assert len(data) == 16
    assert skips(data) == {"outside train, val and test": 5}


def test_splits_without_classes(tmp_path: Path) -> None:
    fill(tmp_path / "train", ["."])
    fill(tmp_path / "test", ["."], first=20)
    data = opened(tmp_path)
    assert (data.labels, data.split_rule, len(data.train), len(data.test)) == (None, "folders", 4, 4)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_alone_is_no_class(tmp_path: Path, split: str) -> None:
    data = opened(fill(tmp_path / split, ["cat", "dog"]).parent)
    assert data.classes == ("cat", "dog")
    assert data.split_rule == "30 % of each class held out by content hash"


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert opened(fill(tmp_path, ["bus", "car", "train"])).classes == ("bus", "car", "train")


@pytest.mark.parametrize("split", ["test", "val"])
@pytest.mark.parametrize(
    ("names", "why"),
    [(["Cat", "Dog"], "4 skipped: class 'Cat' is not in train"), (["."], "outside any class folder")],
)
def test_splits_that_share_no_class_are_refused(
    tmp_path: Path, names: list[str], why: str, split: str
) -> None:
    fill(tmp_path / "train", ["cat", "dog"])
    fill(tmp_path / split, names, first=20)
    with pytest.raises(DataError, match="no class of train has images to report on") as caught:
        opened(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert why in str(caught.value)


# What is no image


def test_hidden_files_and_litter_are_no_class_and_no_image(tmp_path: Path) -> None:
    fill(tmp_path, ["cat", "dog"], each=6)
    put(tmp_path / ".ipynb_checkpoints" / "000-checkpoint.png", 200)
    put(tmp_path / "cat" / ".cache" / "x.png", 201)
    put(tmp_path / "__MACOSX" / "cat" / "001.png", 202)
    put(tmp_path / "cat" / "@eaDir" / "thumb.png", 203)
    for name in (".DS_Store", "cat/._000.png", "cat/Thumbs.db", "desktop.ini", "README.txt", "labels.csv"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    data = opened(tmp_path)
    assert data.classes == ("cat", "dog")
    assert len(data) == 12
    assert skips(data) == {"hidden or litter": 8, "not an image": 2}


NAMES = ["hot dog", "Tür", "日本語", "e\u0301te", "-rf", "#1 %s {x}", "<b>&|`"]


def test_any_name_of_a_file_or_a_class_is_kept(tmp_path: Path) -> None:
    fill(tmp_path, NAMES, each=2)
    for i, name in enumerate(
        ["a b.png", "line\nbreak.png", "x" * 200 + ".png", "qu\"o'te\\.png", "caf\udce9.png"]
    ):
        put(tmp_path / "hot dog" / name, 100 + i)
    data = opened(tmp_path)
    assert data.classes == tuple(sorted(NAMES))
    assert len(data) == 2 * len(NAMES) + 5
    assert {"hot dog/line\nbreak.png", "hot dog/caf\udce9.png"} <= set(data.ids)
    assert [data.read(i).shape for i in range(len(data))] == [(4, 4, 3)] * len(data)


def test_an_undecodable_class_name(tmp_path: Path) -> None:
    data = opened(fill(tmp_path, ["caf\udce9", "cat"]))
    assert data.classes == ("caf\udce9", "cat")
    assert len(data.digest) == 64


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    real, links = fill(tmp_path / "real", ["cat", "dog"]), tmp_path / "links"
    (links / "dog").mkdir(parents=True)
    (links / "cat").symlink_to("../real/cat")
    for file in (real / "dog").iterdir():
        (links / "dog" / file.name).symlink_to(Path("../../real/dog") / file.name)
    (links / "dog" / "loop").symlink_to("..")
    (links / "dog" / "self").symlink_to("self")
    (links / "dog" / "self.png").symlink_to("self.png")
    (links / "dangling").symlink_to("nowhere")
    (links / "abs").symlink_to((real / "dog").resolve())
    os.mkfifo(links / "dog" / "pipe.png")
    data = opened(links)
    assert data.classes == ("abs", "cat", "dog")
    assert len(data) == 12
    assert skips(data) == {"link back to a folder above": 1, "dangling link or no regular file": 4}
    sides = {(data.digests[i], i in set(data.test.tolist())) for i in range(len(data))}
    assert len(sides) == 8, "a file that is there twice stands on one side"


def test_two_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    fill(tmp_path, ["a", "b"], each=1)
    (tmp_path / "a" / "b").symlink_to("../b")
    (tmp_path / "b" / "a").symlink_to("../a")
    data = opened(tmp_path)
    assert set(data.ids) == {"a/000.png", "a/b/000.png", "b/000.png", "b/a/000.png"}
    assert skips(data) == {"link back to a folder above": 2}


@pytest.mark.parametrize(
    "locator", ["missing", "missing/deeper", "", "~nosuchuser/photos", "x" * 5000, "nul\0byte", "self"]
)
def test_a_folder_that_is_not_there(locator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(put(tmp_path / "x.png").parent)
    (tmp_path / "self").symlink_to("self")
    with pytest.raises(DataNotFound, match="there is no folder '"):
        open_folder(DataRef("folder", locator))


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"x\.png' is a file"):
        opened(put(tmp_path / "x.png"))


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "photos", ["cat"])
    monkeypatch.setenv("HOME", str(tmp_path))
    data = open_folder(DataRef("folder", "~/photos"))
    assert (len(data), data.ref) == (4, "~/photos")


def test_a_folder_without_images_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(EmptyData, match="holds no image"):
        opened(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(
        EmptyData, match=r"1 skipped: hidden or litter \(\.hidden\)\. 1 skipped: not an image \(notes"
    ):
        opened(tmp_path)


# Damaged files


def truncated_jpeg(path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        whole, "JPEG"
    )
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])


def test_a_few_damaged_images_are_listed_and_left_out(tmp_path: Path) -> None:
    fill(tmp_path, ["cat", "dog"], each=9)
    truncated_jpeg(tmp_path / "cat" / "cut.jpg")
    (tmp_path / "dog" / "empty.png").write_bytes(b"")
    data = opened(tmp_path)
    assert len(data) == 18
    reasons = {skipped.reason: skipped.examples for skipped in data.skipped}
    assert reasons.pop("empty file") == ("dog/empty.png",)
    ((reason, examples),) = reasons.items()
    assert reason.startswith("damaged: image file is truncated")
    assert examples == ("cat/cut.jpg",)


@pytest.mark.parametrize(
    ("whole", "damaged", "refused"), [(9, 1, False), (8, 1, True), (18, 2, False), (0, 3, True)]
)
def test_more_than_a_tenth_of_damaged_images_is_refused(
    tmp_path: Path, whole: int, damaged: int, refused: bool
) -> None:
    fill(tmp_path, ["cat"], each=whole)
    (tmp_path / "cat").mkdir(exist_ok=True)
    for i in range(damaged):
        (tmp_path / "cat" / f"text{i}.png").write_text("no pixels")
    if not refused:
        assert len(opened(tmp_path)) == whole
        return
    with pytest.raises(DataError, match=rf"{damaged} of {whole + damaged} images cannot be read") as caught:
        opened(tmp_path)
    assert f"'{tmp_path}'" in str(caught.value)
    assert f"{damaged} skipped: not an image (cat/text0.png" in str(caught.value)


def test_a_decompression_bomb_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, ["cat"], each=10)
    Image.new("L", (20, 20)).save(tmp_path / "cat" / "large.png")
    Image.new("L", (30, 30)).save(tmp_path / "cat" / "bomb.png")
    monkeypatch.setattr(decode, "LARGEST", 400)
    data = opened(tmp_path)
    assert skips(data) == {"more than 400 pixels (decompression bomb?)": 1}
    assert "cat/large.png" in data.ids


# What is odd and stays


def test_identical_files_in_two_classes_are_named(tmp_path: Path) -> None:
    fill(tmp_path, ["cat", "dog"])
    put(tmp_path / "fox" / "000.png", 0)  # a copy of cat/000.png
    put(tmp_path / "cat" / "copy.png", 1)  # in its own class: no conflict
    (note,) = opened(tmp_path).notes
    assert note == "1 image has identical copies in different classes: cat/000.png and fox/000.png."
    for i in range(1, 5):
        put(tmp_path / "fox" / f"{i}.png", i)  # 4 is a copy of dog/000.png
    (note,) = opened(tmp_path).notes
    assert note == (
        "5 images have identical copies in different classes: cat/000.png and fox/000.png; "
        "dog/000.png and fox/4.png; cat/001.png and fox/1.png; others."
    )


def test_16_bit_gray_is_never_white_and_12_bits_are_noted(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).round().reshape(64, 64)
    (tmp_path / "ramp").mkdir()
    for name, levels in {"ramp16.png": ramp, "ramp16.tif": ramp, "ramp12in16.png": ramp // 16}.items():
        Image.fromarray(levels.astype(np.uint16)).save(tmp_path / "ramp" / name)
    Image.fromarray((ramp / 65535).astype(np.float32)).save(tmp_path / "ramp" / "float.tif")
    Image.fromarray((ramp / 257).round().astype(np.uint8)).save(tmp_path / "ramp" / "ref8.png")
    data = opened(tmp_path)
    pixels = {name.removeprefix("ramp/"): data.read(i).astype(int) for i, name in enumerate(data.ids)}
    for name in ("ramp16.png", "ramp16.tif", "float.tif"):
        assert np.abs(pixels[name] - pixels["ref8.png"]).max() <= 1
        assert abs(pixels[name].mean() - 127.5) < 1
    assert pixels["ramp12in16.png"].max() == 16
    assert data.notes == (
        "1 of 5 images: 16-bit gray that uses only 4096 of 65536 levels; levels=4096 makes them black to "
        "white (ramp/ramp12in16.png).",
    )


def test_the_option_levels_holds_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    Image.fromarray(np.array([[0, 2048, 4095]], np.uint16)).save(tmp_path / "cat" / "a.png")
    data = open_folder(DataRef.parse(f"folder,levels=4096:{tmp_path}"))
    assert (data.read(0)[0, :, 0].tolist(), data.notes) == ([0, 128, 255], ())


def test_images_of_any_size_are_read(tmp_path: Path) -> None:
    sizes = [(1, 1), (2, 3), (8, 8), (20, 20), (31, 17), (33, 500), (500, 3)]
    (tmp_path / "any").mkdir()
    for kind in ("png", "jpg"):
        for width, height in sizes:
            Image.new("RGB", (width, height), (90, 90, 90)).save(
                tmp_path / "any" / f"{width}x{height}.{kind}"
            )
    data = opened(tmp_path)
    assert sorted(data.read(i).shape[1::-1] for i in range(len(data))) == sorted(2 * sizes)
    assert data.thumbs.shape == (14, 16, 16)
    assert (data.thumbs == 90).all()
