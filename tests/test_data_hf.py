"""Data sets of Hugging Face ``datasets``, written by the library itself; no network."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sslaudit.data import Dataset
from sslaudit.data.hf_sets import open_hf
from sslaudit.errors import DataError, DataNotFound
from sslaudit.loading import load_dataset
from sslaudit.refs import DataRef
from tests.conftest import kinds, levels, make_photos

datasets = pytest.importorskip("datasets")

KINDS = [0, 1, 2] * 4
NAMES = ["cat", "dog", "ox"]


@pytest.fixture(autouse=True)
def own_hub_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library prepares lies in a cache of this test; the hub is out of reach."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("hf"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def picture(level: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (level, level, level))


def table(count: int = 12, first: int = 0, **columns: Any) -> Any:
    """Rows of an image of one gray level, a label and what else is given."""
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    cells = {"image": [picture(first + i) for i in range(count)], "label": KINDS[:count]}
    for name, (feature, values) in columns.items():
        features[name], cells[name] = feature, values
    return datasets.Dataset.from_dict(cells, features=datasets.Features(features))


def opened(path: Path, **options: str) -> Dataset:
    return open_hf(DataRef("hf-datasets", str(path), tuple(options.items())))


def refused(data: Any, tmp_path: Path, **options: str) -> str:
    data.save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "saved", **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def on_disk(data: Any, folder: Path) -> Path:
    data.save_to_disk(folder)
    return folder


def in_parquet(data: Any, folder: Path) -> Path:
    folder.mkdir()
    data.to_parquet(folder / "part.parquet")
    return folder


def in_one_file(data: Any, folder: Path) -> Path:
    return in_parquet(data, folder) / "part.parquet"


# What is read


@pytest.mark.parametrize("write", [on_disk, in_parquet, in_one_file])
def test_folders_and_files_here(
    tmp_path: Path, write: Callable[[Any, Path], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(table(site=(datasets.Value("string"), ["a", "b"] * 6)), tmp_path / "data")
    capfd.readouterr()
    before = sorted((str(p), p.stat().st_mtime_ns) for p in (tmp_path / "data").rglob("*"))
    data = opened(path)
    assert capfd.readouterr().out == ""
    assert levels(data) == list(range(12))
    assert kinds(data) == ["cat", "dog", "ox"] * 4
    assert data.columns == {"site": ("a", "b") * 6}
    assert sorted((str(p), p.stat().st_mtime_ns) for p in (tmp_path / "data").rglob("*")) == before


def test_splits_by_name_and_by_option(tmp_path: Path) -> None:
    parts = datasets.DatasetDict(train=table(), validation=table(6, 50), test=table(3, 90))
    path = on_disk(parts, tmp_path / "data")
    data = opened(path)
    assert (len(data.train), len(data.test)) == (12, 3)
    assert levels(data)[12:] == [90, 91, 92]
    assert data.ids[12:] == ("test/0", "test/1", "test/2")
    assert levels(opened(path, train="validation", test="test"))[:6] == list(range(50, 56))
    assert len(opened(path, train="train")) == 12
    with pytest.raises(DataError, match=r"has no split 'dev'\. It has: train, validation, test"):
        opened(path, test="dev")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("a b", "has the splits a, b, and none is called train. Say which: train=NAME,test=NAME"),
        ("val test", "and none is called train"),
        ("train rest", "has the splits train, rest, and none to report on is called test"),
    ],
)
def test_splits_are_not_guessed(tmp_path: Path, names: str, said: str) -> None:
    assert said in refused(datasets.DatasetDict({name: table() for name in names.split()}), tmp_path)


@pytest.mark.parametrize("name", ["dev", "evaluation", "holdout", "test_set"])
def test_other_names_of_splits_are_understood(tmp_path: Path, name: str) -> None:
    data = opened(on_disk(datasets.DatasetDict({"train": table(), name: table(3, 90)}), tmp_path / "data"))
    assert levels(data)[12:] == [90, 91, 92]
    assert data.test.tolist() == [12, 13, 14]


def test_test_alone_asked_for_has_the_train_of_the_data(tmp_path: Path) -> None:
    parts = datasets.DatasetDict(train=table(), val=table(6, 50), extra=table(3, 90))
    path = on_disk(parts, tmp_path / "data")
    data = opened(path, test="extra")
    assert (len(data.train), levels(data)[12:]) == (12, [90, 91, 92])
    for options in ({"test": "train"}, {"test": "gone"}):
        with pytest.raises(DataError, match="It has: train, val, extra"):
            opened(path, **options)
    only = on_disk(datasets.DatasetDict(test=table()), tmp_path / "only")
    with pytest.raises(DataError, match=r"add train=NAME\. It has: test\."):
        opened(only, test="test")
    assert opened(only).notes == ("It has test but no train, and was split again into train and test.",)
    with pytest.raises(DataError, match="has no splits, so test=train chooses none"):
        opened(on_disk(table(), tmp_path / "flat"), test="train")


def test_a_folder_of_images(tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "photos", each=4)
    data, same = opened(folder), load_dataset(folder)
    assert sorted(data.digests) == sorted(same.digests)
    assert data.classes == same.classes


def test_images_are_decoded_by_our_rules(tmp_path: Path) -> None:
    buffers = []
    for i in range(12):
        buffer = io.BytesIO()
        Image.fromarray(np.full((4, 4), i * 5000, np.uint16)).save(buffer, "PNG")
        buffers.append({"bytes": buffer.getvalue(), "path": None})
    deep = datasets.Dataset.from_dict(
        {"image": buffers}, features=datasets.Features({"image": datasets.Image()})
    )
    data = opened(on_disk(deep, tmp_path / "data"))
    assert levels(data) == [(i * 5000 + 128) // 257 for i in range(12)]
    assert data.labels is None


def test_rows_without_image_or_label_are_counted(tmp_path: Path) -> None:
    rows = table(11).to_dict()
    cells = {"image": [*rows["image"], None], "label": [-1, None, *KINDS[2:]]}
    features = table().features
    data = opened(on_disk(datasets.Dataset.from_dict(cells, features=features), tmp_path / "data"))
    assert levels(data) == list(range(2, 11))
    assert {skip.reason: skip.count for skip in data.skipped} == {
        "no image in this row": 1,
        "without a label": 2,
    }


@pytest.mark.parametrize(
    ("kind", "values"), [("string", ["a", "b", ""]), ("int64", [1, 2, None]), ("int64", [1, 2, -1])]
)
def test_plain_columns_called_label(tmp_path: Path, kind: str, values: list[Any]) -> None:
    data = table().remove_columns("label").add_column("label", values * 4, feature=datasets.Value(kind))
    seen = opened(on_disk(data, tmp_path / "data"))
    assert kinds(seen) == [str(value) for value in values[:2]] * 4


def test_objects_of_python() -> None:
    data = load_dataset(table())
    assert kinds(data) == ["cat", "dog", "ox"] * 4
    assert data.ref == "python:Dataset"
    split = load_dataset(datasets.DatasetDict(train=table(), test=table(3, 90)))
    assert (len(split.train), len(split.test)) == (12, 3)
    with pytest.raises(DataError, match="streamed"):
        load_dataset(table().to_iterable_dataset())


# What is refused


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"fine": ("ClassLabel", KINDS)}, "has the label columns label, fine. Say which: label=label"),
        (
            {"depth": ("Image", [picture(0)] * 12)},
            "has the image columns image, depth. Say which: image=image",
        ),
    ],
)
def test_several_columns_need_a_choice(tmp_path: Path, extra: dict[str, tuple[str, Any]], said: str) -> None:
    made = {"ClassLabel": datasets.ClassLabel(names=["x", "y", "z"]), "Image": datasets.Image()}
    data = table(**{name: (made[kind], values) for name, (kind, values) in extra.items()})
    assert said in refused(data, tmp_path)
    name, (kind, _) = next(iter(extra.items()))
    seen = opened(tmp_path / "saved", **{"label" if kind == "ClassLabel" else "image": name})
    assert kinds(seen)[:3] == (["x", "y", "z"] if kind == "ClassLabel" else NAMES)


def test_several_labels_a_row_are_refused_by_name(tmp_path: Path) -> None:
    data = table().remove_columns("label")
    many = datasets.List(datasets.ClassLabel(names=NAMES))
    data = data.add_column("labels", [[0, 1]] * 12, feature=many)
    assert "multi-label: column 'labels' is a List" in refused(data, tmp_path)
    assert opened(tmp_path / "saved", label="none").labels is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label": "gone"}, "has no column 'gone'. Its columns are: image, label, age, box"),
        ({"label": "age"}, "column 'age' holds float64, which are no classes"),
        ({"image": "box"}, "'box' is no column of images. There is: image"),
    ],
)
def test_a_column_that_does_not_fit(tmp_path: Path, options: dict[str, str], said: str) -> None:
    ages = (datasets.Value("float64"), [0.5] * 12)
    boxes = (datasets.List(datasets.Value("int64")), [[1, 2]] * 12)
    assert said in refused(table(age=ages, box=boxes), tmp_path, **options)


def test_no_images_in_it(tmp_path: Path) -> None:
    assert "has no column of images" in refused(datasets.Dataset.from_dict({"text": ["a"]}), tmp_path)


@pytest.mark.parametrize("name", ["./gone", "gone.parquet", "org/gone"])
def test_what_is_not_here(name: str) -> None:
    with pytest.raises(DataNotFound, match="cannot be loaded") as caught:
        opened(Path(name) if name != "./gone" else name)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 500


def test_without_the_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'sslaudit\[data\]'"):
        opened(Path("x"))


def test_a_script_in_the_folder_does_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(DataNotFound, match="cannot be loaded"):
        opened(folder)
    assert not (tmp_path / "ran").exists()


def test_a_test_split_without_labels_is_not_reported_on(tmp_path: Path) -> None:
    bare = datasets.Dataset.from_dict(
        {"image": [picture(9)] * 3, "label": [-1] * 3}, features=table().features
    )
    said = refused(datasets.DatasetDict(train=table(), test=bare), tmp_path)
    assert "3 skipped: without a label (test/0, test/1, test/2). The option train= without test=" in said
    assert len(opened(tmp_path / "saved", train="train")) == 12
    on_disk(datasets.DatasetDict(train=table(), validation=table(3), test=bare), tmp_path / "more")
    assert opened(tmp_path / "more").ids[12:] == ("validation/0", "validation/1", "validation/2")
