"""Tar shards, written by webdataset's own writer and by tar itself."""

import io
import json
import pickle
import sys
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from sslaudit.data import Dataset
from sslaudit.data.tar_shards import open_shards
from sslaudit.errors import DataError, DataNotFound, EmptyData, UsageError
from sslaudit.refs import DataRef
from tests.conftest import kinds, levels

KINDS = [0, 1, 2] * 4


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, samples: Iterable[Mapping[str, object]]) -> Path:
    """A shard of samples, keys 000, 001 and so on, by webdataset."""
    with webdataset.TarWriter(str(path)) as writer:
        for i, sample in enumerate(samples):
            writer.write({"__key__": f"{i:03d}", **sample})
    return path


def shards(folder: Path, name: str = "s", count: int = 3) -> Path:
    """Twelve samples in shards ``s-0.tar`` to ``s-2.tar``."""
    for k in range(count):
        part = range(k, 12, count)
        write(folder / f"{name}-{k}.tar", ({"png": png(i), "cls": KINDS[i]} for i in part))
    return folder


def tar(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def opened(pattern: object, **options: str) -> Dataset:
    return open_shards(DataRef("webdataset", str(pattern), tuple(options.items())))


def refused(pattern: object, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        opened(pattern, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def skips(data: Dataset) -> dict[str, int]:
    return {skip.reason: skip.count for skip in data.skipped}


# What is read


@pytest.mark.parametrize("pattern", ["s-{0..2}.tar", "s-*.tar", "", "s-{0,1,2}.tar"])
def test_braces_globs_and_a_folder(tmp_path: Path, pattern: str) -> None:
    data = opened(shards(tmp_path) / pattern)
    order = [i for k in range(3) for i in range(k, 12, 3)]
    assert levels(data) == order
    assert kinds(data) == [str(KINDS[i]) for i in order]
    assert data.ids[:5] == ("s-0.tar/000", "s-0.tar/001", "s-0.tar/002", "s-0.tar/003", "s-1.tar/000")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_samples_are_those_that_webdataset_reads(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", ({"png": png(i), "cls": KINDS[i]} for i in range(12)))
    theirs = [
        (int(sample["cls"]), sample["png"]) for sample in webdataset.WebDataset(str(path), shardshuffle=False)
    ]
    data = opened(path)
    assert [int(kind) for kind in kinds(data)] == [kind for kind, _ in theirs]
    for i, (_, content) in enumerate(theirs):
        assert np.array_equal(data.read(i), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_shards_to_report_on(tmp_path: Path) -> None:
    shards(tmp_path, "train")
    shards(tmp_path, "val", 1)
    data = opened(tmp_path / "train-*.tar", test=str(tmp_path / "val-0.tar"))
    assert (len(data.train), len(data.test)) == (12, 12)
    assert data.ids[-1] == "val-0.tar/011"


def test_labels_and_further_facts_in_json(tmp_path: Path) -> None:
    facts = (
        {"png": png(i), "json": {"label": "abc"[KINDS[i]], "site": f"p{i % 4}", "n": i, "box": [1]}}
        for i in range(12)
    )
    path = write(tmp_path / "a.tar", facts)
    data = opened(path)
    assert kinds(data) == ["a", "b", "c"] * 4
    assert set(data.columns) == {"site", "n"}
    assert data.columns["site"][:5] == ("p0", "p1", "p2", "p3", "p0")
    assert kinds(opened(path, label="site"))[:4] == ["p0", "p1", "p2", "p3"]
    assert opened(path, label="none").labels is None
    assert "no .json file has the key 'gone'" in refused(path, label="gone")


def test_texts_are_labels_only_on_request(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", ({"jpg": png(i), "txt": "a cat"} for i in range(12)))
    assert "label=txt takes them as classes" in refused(path)
    assert opened(path, label="txt").classes == ("a cat",)
    assert opened(path, label="none").labels is None


def test_an_image_is_chosen_among_several(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", ({"jpg": png(i), "png": png(100 + i), "cls": 0} for i in range(12)))
    assert "a sample has several images (cls, jpg, png)" in refused(path)
    assert levels(opened(path, image="png")) == list(range(100, 112))
    compound = write(
        tmp_path / "b.tar", ({"left.png": png(i), "right.png": png(i), "cls": 0} for i in range(12))
    )
    assert "left.png, right.png" in refused(compound)
    assert len(opened(compound, image="left.png")) == 12


def test_folders_inside_and_litter(tmp_path: Path) -> None:
    members = {f"./{kind}/{i:03d}.png": png(i) for kind in ("a", "b") for i in range(6)}
    members |= {f"./{kind}/{i:03d}.cls": kind.encode() for kind in ("a", "b") for i in range(6)}
    members |= {"./a/._000.png": b"mac", "__MACOSX/a/000.png": b"mac", "./.DS_Store": b"", "README": b"x"}
    data = opened(tar(tmp_path / "a.tar", members))
    assert kinds(data) == ["a"] * 6 + ["b"] * 6
    assert skips(data) == {"hidden or litter": 3, "file without an ending": 1}


# What is left out and counted


def test_odd_samples_are_counted(tmp_path: Path) -> None:
    members: list[tuple[str, bytes]] = [
        (f"{i}.{end}", png(i) if end == "png" else b"1") for i in range(12) for end in ("png", "cls")
    ]
    members += [("12.cls", b"1"), ("13.png", b"no image"), ("14.png", png(14)), ("3.png", png(3))]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    data = opened(tmp_path / "a.tar")
    assert levels(data) == list(range(12))
    assert skips(data) == {
        "sample without an image": 1,
        "not an image": 1,
        "without a label": 1,
        "second file of that name in its shard": 1,
    }


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path("ran"),)


def test_pickles_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bomb = pickle.dumps(_Payload())
    raw = {
        f"{i}.{end}": png(i) if end == "png" else bomb
        for i in range(12)
        for end in ("png", "pyd", "pth", "pickle")
    }
    assert len(opened(tar(tmp_path / "a.tar", raw))) == 12
    assert not (tmp_path / "ran").exists()


# What is refused


def test_a_shard_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", ({"png": png(i), "cls": 0} for i in range(12)))
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
    for cut in (700, last.offset + 100, last.offset_data, len(whole) // 3 + 17):
        path.write_bytes(whole[:cut])
        assert "shard 'a.tar' is" in refused(path)
        assert "copy it again" in refused(path)
    path.write_bytes(b"")
    assert "shard 'a.tar' is an empty file" in refused(path)
    path.write_bytes(b"no tar" * 200)
    assert "shard 'a.tar' is damaged" in refused(path)


def test_a_compressed_shard_is_refused(tmp_path: Path) -> None:
    assert "gunzip it" in refused(tar(tmp_path / "a.tar.gz", {"0.png": png(0)}, "w:gz"))


@pytest.mark.parametrize("value", ["cat|dog", ["cat", "dog"]])
def test_several_labels_are_refused_by_name(tmp_path: Path, value: object) -> None:
    labels = ["cat", "dog", value]
    path = write(tmp_path / "a.tar", ({"png": png(i), "json": {"label": labels[i % 3]}} for i in range(12)))
    assert "multi-label" in refused(path)


def test_json_that_is_none_is_named(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"0.png": png(0), "0.json": json.dumps({"label": 1})[:-1].encode()})
    assert "'a.tar/0.json' is no JSON" in refused(path)


@pytest.mark.parametrize(
    "url", ["pipe:curl x", "https://example.org/{0..3}.tar", "s3://bucket/a.tar", "gs://b/a.tar"]
)
def test_urls_and_pipes_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no URLs or pipes"):
        opened(url)


def test_no_shard_and_no_image(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"there is no shard '.*s-3\.tar'"):
        opened(shards(tmp_path) / "s-{0..3}.tar")
    with pytest.raises(DataNotFound, match="there is no shard"):
        opened(tmp_path / "gone-*.tar")
    with pytest.raises(EmptyData, match="holds no image"):
        opened(tar(tmp_path / "a.tar", {"0.cls": b"1"}))


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "braceexpand", None)
    assert "pip install 'sslaudit[data]'" in refused(tmp_path / "a.tar")


def test_braces_that_do_not_close(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="there is no shard"):
        opened(tmp_path / "s-{0..2.tar")
