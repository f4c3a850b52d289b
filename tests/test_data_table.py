"""A csv of paths and labels as people write them, and what it must not be taken for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslaudit.data import Dataset
from sslaudit.data.groups import group_by
from sslaudit.data.table import open_table
from sslaudit.errors import DataError, DataNotFound, EmptyData, UsageError
from sslaudit.refs import DataRef
from sslaudit.registry import installed
from sslaudit.specs import read_options

NAMES = [f"{i}.png" for i in range(12)]
KINDS = ["cat", "dog", "ox"] * 4


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve small PNGs of one gray level each, ``0.png`` to ``11.png``."""
    for i, name in enumerate(NAMES):
        Image.new("RGB", (4, 4), (i, i, i)).save(tmp_path / name)
    return tmp_path


def write(folder: Path, *lines: str, end: str = "\n", encoding: str = "utf-8") -> Path:
    path = folder / "list.csv"
    path.write_bytes(end.join((*lines, "")).encode(encoding))
    return path


def listed(folder: Path, header: str = "path,label", mark: str = ",", **kwargs: str) -> Path:
    rows = (f"{name}{mark}{kind}" for name, kind in zip(NAMES, KINDS, strict=True))
    return write(folder, header, *rows, **kwargs)


def opened(file: Path, /, **options: str) -> Dataset:
    return open_table(DataRef("csv", str(file), tuple(options.items())))


def refused(file: Path, /, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        opened(file, **options)
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def skips(data: Dataset) -> dict[str, int]:
    return {skip.reason: skip.count for skip in data.skipped}


def kinds(data: Dataset) -> list[str]:
    assert data.labels is not None
    return [data.classes[label] for label in data.labels]


# What is read


@pytest.mark.parametrize(
    "header",
    ["path,label", "Filename,Class", "image,target", "file,category", '"path","label"', " path , label "],
)
def test_columns_are_known_by_name(images: Path, header: str) -> None:
    data = opened(listed(images, header))
    assert data.ids == tuple(NAMES)
    assert kinds(data) == KINDS
    assert [int(data.read(i)[0, 0, 0]) for i in range(12)] == list(range(12))
    assert data.columns == {}


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_line_ends_and_a_byte_order_mark(images: Path, mark: str, end: str, encoding: str) -> None:
    data = opened(listed(images, f"path{mark}label", mark, end=end, encoding=encoding))
    assert kinds(data) == KINDS


def test_columns_that_options_name(images: Path) -> None:
    path = listed(images, "where,kind")
    assert "no column is called path" in refused(path)
    assert kinds(opened(path, path="where", label="kind")) == KINDS
    assert "no column 'gone'. Its columns are: where, kind" in refused(path, path="where", label="gone")
    assert "columns 'class' and 'label' may each be its label" in refused(
        write(images, "path,class,label", "0.png,a,b")
    )


def test_quotes_keep_separators_and_spaces(images: Path) -> None:
    Image.new("RGB", (4, 4)).save(images / 'a, "b" c.png')
    rows = ['"a, ""b"" c.png","tench, Tinca tinca"', "1.png,eel", "2.png,eel", '3.png,"tench, Tinca tinca"']
    data = opened(write(images, "path,label", *rows))
    assert data.ids[0] == 'a, "b" c.png'
    assert data.classes == ("eel", "tench, Tinca tinca")


def test_paths_from_a_root_absolute_and_of_windows(
    images: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (images / "deep").mkdir()
    for name in NAMES[:4]:
        (images / name).rename(images / "deep" / name)
    other = tmp_path_factory.mktemp("lists")
    rows = ["deep/0.png", r"deep\1.png", str(images / "deep" / "2.png"), "deep/../deep/3.png"]
    data = opened(write(other, "path", *rows), root=str(images))
    assert data.ids == tuple(rows)
    assert [int(data.read(i)[0, 0, 0]) for i in range(4)] == [0, 1, 2, 3]
    with pytest.raises(DataNotFound, match="no folder"):
        opened(other / "list.csv", root=str(images / "gone"))


def test_further_columns_go_with_the_images(images: Path) -> None:
    rows = [f"{name},{kind},p{i // 2},{i}" for i, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))]
    data = opened(write(images, "path,label,patient,age", *rows))
    assert data.columns["patient"] == tuple(f"p{i // 2}" for i in range(12))
    assert set(data.columns) == {"patient", "age"}


def test_without_labels_there_are_none(images: Path) -> None:
    data = opened(write(images, "path,species", *(f"{name},x" for name in NAMES)))
    assert data.labels is None
    assert any("label= may name one: species" in note for note in data.notes)
    assert opened(listed(images), label="none").labels is None


# Splits


def test_a_column_of_splits(images: Path) -> None:
    sides = ["train"] * 6 + ["Val"] * 3 + ["test"] * 3
    rows = [f"{name},{kind},{side}" for name, kind, side in zip(NAMES, KINDS, sides, strict=True)]
    path = write(images, "path,label,split", *rows)
    data = opened(path)
    assert (data.train.tolist(), data.test.tolist()) == (list(range(6)), [6, 7, 8])
    assert data.ids[6:] == ("9.png", "10.png", "11.png")
    assert skips(data) == {"in val, while test is reported on": 3}
    assert len(opened(path, split="none")) == 12


def test_val_is_reported_on_without_test_and_unknown_classes_are_left_out(images: Path) -> None:
    sides = ["train"] * 8 + ["val"] * 3 + ["extra"]
    labels = [*KINDS[:9], "fox", *KINDS[10:]]
    rows = [f"{name},{label},{side}" for name, label, side in zip(NAMES, labels, sides, strict=True)]
    data = opened(write(images, "path,label,split", *rows))
    assert [data.ids[i] for i in data.test] == ["8.png", "10.png"]
    assert skips(data) == {"class 'fox' is not in train": 1, "outside train, val and test": 1}


def with_splits(folder: Path, *sides: str) -> Path:
    """The list with ``sides`` in turn."""
    cells = zip(NAMES, KINDS, sides * 12, strict=False)
    return write(folder, "path,label,split", *(",".join(row) for row in cells))


@pytest.mark.parametrize(
    ("sides", "shown"),
    [
        ("01234", "0, 1, 2, 3, 4"),
        ("01", "0, 1"),
        (("train", "rest"), "rest"),
        (("train", ""), "(empty)"),
        (tuple("abcdefg"), "a, b, c, d, e, ..."),
    ],
)
def test_splits_that_are_not_understood_are_refused(images: Path, sides: Sequence[str], shown: str) -> None:
    path = with_splits(images, *sides)
    said = f"column 'split' holds splits that are not understood: {shown}. Write train, val or test"
    assert said in refused(path)
    assert "split=none" in refused(path)
    assert len(opened(path, split="none")) == 12


@pytest.mark.parametrize("other", ["dev", "Eval", "holdout", "Test_Set", "val2017", "validation split"])
def test_other_names_of_splits_are_understood(images: Path, other: str) -> None:
    data = opened(with_splits(images, "train", "train", "train", other))
    assert data.test.tolist() == [3, 7, 11]
    assert data.split_rule == "given by the data"


@pytest.mark.parametrize(
    ("sides", "notes"),
    [
        (["test"], ["It has test but no train, and was split again into train and test."]),
        (["dev", "test"], ["It has dev and test but no train, and was split again into train and test."]),
        (["train"], []),
        (["all"], []),
        ([""], []),
    ],
)
def test_splits_without_train_are_noted(images: Path, sides: list[str], notes: list[str]) -> None:
    data = opened(with_splits(images, *sides))
    assert (list(data.notes), data.splits_given) == (notes, False)


def test_a_class_in_other_letters_is_named(images: Path) -> None:
    rows = [f"{i}.png,{'CAT' if i == 9 else KINDS[i]},{'test' if i > 8 else 'train'}" for i in range(12)]
    data = opened(write(images, "path,label,split", *rows))
    assert skips(data) == {"class 'CAT' is not in train, which has 'cat'": 1}


# Labels


def test_a_label_column_without_labels_is_noted(images: Path) -> None:
    data = opened(write(images, "path,label", *(f"{name}," for name in NAMES)))
    assert (data.labels, data.notes) == (None, ("The column 'label' is empty, so there are no labels.",))


def test_minus_one_among_numbers_is_no_label(images: Path) -> None:
    def labelled(*labels: str) -> Dataset:
        return opened(write(images, "path,label", *map(",".join, zip(NAMES, labels * 12, strict=False))))

    data = labelled("0", "1", "-1")
    assert (data.classes, skips(data)) == (("0", "1"), {"without a label": 4})
    assert data.notes == ("-1 in the column 'label' is taken as no label: the others are numbers from 0.",)
    for labels in (("-1", "1"), ("-1", "-2", "1"), ("-1", "a", "1")):
        assert labelled(*labels).classes == tuple(sorted(labels)), labels


def test_a_column_that_stands_twice_is_refused_where_it_is_used(images: Path) -> None:
    rows = [f"{name},{kind},p{i // 2},q" for i, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))]
    assert "'label' stands twice and is its label. Rename" in refused(
        write(images, "path,label,label,x", *rows)
    )
    assert "'path' stands twice and is its path" in refused(write(images, "path,label,path,x", *rows))
    data = opened(write(images, "path,label,patient,patient", *rows))
    assert (data.columns, data.notes) == ({}, ("The column 'patient' stands twice.",))
    with pytest.raises(UsageError, match="--group 'patient': The column 'patient' stands twice"):
        group_by(data, "patient")
    assert len(group_by(data, r"\d").groups or ()) == 12


# Before the header


@pytest.mark.parametrize(
    ("lines", "mark"),
    [
        (["sep=;"], ";"),
        (["SEP=^"], "^"),
        (["# made by hand, path by path", "", "# 12 rows"], ","),
        (["", "sep=|", "#"], "|"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_before_the_header(images: Path, lines: list[str], mark: str, end: str) -> None:
    rows = [f"{name}{mark}{kind}" for name, kind in zip(NAMES, KINDS, strict=True)]
    assert kinds(opened(write(images, *lines, f"path{mark}label", *rows, end=end))) == KINDS
    said = refused(write(images, *lines, f"path{mark}label", f"0.png{mark}cat{mark}x", end=end))
    assert f"line {len(lines) + 2} has 3 cells" in said


def test_a_header_that_begins_with_a_hash_is_one(images: Path) -> None:
    rows = [f"{i},{name},{kind}" for i, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))]
    assert kinds(opened(write(images, "#,path,label", *rows))) == KINDS
    assert kinds(opened(write(images, "#,Where,label", *rows), path="Where")) == KINDS


# What is left out and counted


def test_empty_labels_repeated_rows_and_contradictions_are_counted(images: Path) -> None:
    rows = [f"{name},{kind}" for name, kind in zip(NAMES, KINDS, strict=True)]
    rows[0] = "0.png,"
    data = opened(write(images, "path,label", *rows, rows[1], rows[1], "2.png,cat", ",cat"))
    assert skips(data) == {
        "without a label": 1,
        "row repeated": 2,
        "path with two labels": 2,
        "row without a path": 1,
    }
    assert data.ids == tuple(NAMES[i] for i in range(12) if i not in (0, 2))
    assert next(s.examples for s in data.skipped if s.reason == "row without a path") == ("line 17",)


def test_missing_files_are_counted_up_to_a_tenth(images: Path) -> None:
    (images / "3.png").unlink()
    data = opened(listed(images))
    assert len(data) == 11
    assert [(skip.count, skip.examples) for skip in data.skipped] == [(1, ("3.png",))]
    (images / "4.png").write_bytes(b"no image")
    assert "2 of 12 images cannot be read" in refused(listed(images))


def test_a_folder_in_place_of_an_image_is_counted(images: Path) -> None:
    (images / "3.png").unlink()
    (images / "3.png").mkdir()
    assert skips(opened(listed(images))) == {"no regular file": 1}


# What is refused


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["cat|dog", "dog|ox", "ox|cat"], "12 of 12 cells hold several labels ('cat|dog')"),
        (["cat;dog", "cat", "dog"], "4 of 12 cells"),
        (['"cat,dog"', "cat", "dog"], "4 of 12 cells"),
        (["No Finding", "Mass|Nodule", "Nodule|Mass"], "8 of 12 cells"),
        (["\"['cat', 'dog']\"", "cat", "dog"], "multi-label"),
    ],
)
def test_several_labels_in_a_cell_are_refused_by_name(images: Path, labels: list[str], said: str) -> None:
    rows = (f"{name},{label}" for name, label in zip(NAMES, labels * 4, strict=True))
    message = refused(write(images, "path,class", *rows), sep="comma")
    assert "column 'class': multi-label" in message
    assert said in message


def test_labels_single_takes_cells_as_they_are(images: Path) -> None:
    labels = ["cat|dog", "cat", "dog"]
    rows = (f"{name},{label}" for name, label in zip(NAMES, labels * 4, strict=True))
    path = write(images, "path,label", *rows)
    assert refused(path).endswith("labels=single takes each cell as one label.")
    assert opened(path, labels="single").classes == tuple(sorted(labels))
    scheme = installed().datasets.get("csv")
    with pytest.raises(UsageError, match="labels"):
        read_options({"labels": "many"}, scheme.options, "'csv'")


def test_a_column_for_each_label_is_refused_by_name(images: Path) -> None:
    """As CelebA's list of attributes."""
    rows = [f"{name},{i % 2},{i % 3 // 2},-1" for i, name in enumerate(NAMES)]
    path = write(images, "image,Bald,Smiling,Young", *rows)
    assert "multi-label: 3 columns hold 0 and 1 (Bald, Smiling, Young" in refused(path)
    assert kinds(opened(path, label="Bald")) == ["0", "1"] * 6


def test_many_paths_with_several_rows_are_multi_label(images: Path) -> None:
    rows = [f"{name},{kind}" for name in NAMES for kind in ("cat", "dog")]
    assert "multi-label: 12 of 12 paths have several labels" in refused(write(images, "path,label", *rows))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"path,label\n0.png,caf\xe9\n", "line 2 is not UTF-8 (byte 0xe9)"),
        ("path,label\n0.png,cat\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04 an .xlsx", "a spreadsheet"),
        (b"path,label\n0.png,\0\n", "zero bytes"),
        (b'path,label\n0.png,"cat\n1.png,dog\n', "unexpected end of data"),
        (b"path,label\n0.png,cat,brown\n", "line 2 has 3 cells and the first line 2"),
        (b"0.png,cat\n1.png,dog\n", "no column is called path"),
        (b"path," + b"x" * 200_000 + b"\n0.png,cat\n", "line 1: field larger than field limit"),
        (b"# only this\n", "it is empty"),
        (b"path,label\nhttps://example.org/0.png,cat\n", "holds URLs"),
    ],
)
def test_a_csv_that_cannot_be_read_is_named(images: Path, content: bytes, said: str) -> None:
    (images / "list.csv").write_bytes(content)
    assert said in refused(images / "list.csv")


def test_no_rows_and_no_file(images: Path) -> None:
    with pytest.raises(EmptyData, match="lists no image"):
        opened(write(images, "path,label"))
    with pytest.raises(DataNotFound, match="there is no file"):
        opened(images / "gone.csv")


def test_levels_say_what_is_white(images: Path) -> None:
    for name in NAMES:
        Image.fromarray(np.full((4, 4), 4095, np.uint16)).save(images / name)
    assert int(opened(listed(images), levels="4096").read(0).min()) == 255
    scheme = installed().datasets.get("csv")
    with pytest.raises(UsageError, match="levels=1 is below 2"):
        read_options({"levels": "1"}, scheme.options, "'csv'")


def test_nothing_is_written_beside_the_csv(images: Path) -> None:
    path = listed(images)
    before = sorted((str(p), p.stat().st_mtime_ns) for p in images.rglob("*"))
    opened(path).read(0)
    assert sorted((str(p), p.stat().st_mtime_ns) for p in images.rglob("*")) == before


def test_every_scheme_shows_how_it_is_typed() -> None:
    schemes = installed().datasets.usable()
    assert set(schemes) >= {"digits", "folder", "csv", "arrays", "torchvision", "hf-datasets", "webdataset"}
    for name, scheme in schemes.items():
        assert DataRef.parse(scheme.example).scheme == name
