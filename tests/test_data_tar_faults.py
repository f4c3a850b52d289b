"""Tar shards with faults: damaged inside, joined, named in odd ways, or with labels nobody asked for."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from sslaudit.errors import DataNotFound, EmptyData
from tests.test_data_tar import kinds, opened, png, refused, skips, tar, write

DEEP = b"[" * 200_000
HALF = b'{"label": "\\ud800"}'


def facts(path: Path, *keys: str, count: int = 12) -> Path:
    return write(
        path, ({"png": png(i), "json": {key: f"{key}{i % 2}" for key in keys}} for i in range(count))
    )


def test_a_damaged_header_inside_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", ({"png": png(i), "cls": i % 2} for i in range(12)))
    with tarfile.open(path) as archive:
        offset = archive.getmembers()[12].offset
    content = bytearray(path.read_bytes())
    content[offset + 150] ^= 1
    path.write_bytes(content)
    assert f"shard 'a.tar' goes on behind its end, at byte {offset:,}" in refused(path)


def test_joined_tars_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", ({"png": png(i), "cls": i % 2} for i in range(12)))
    path.write_bytes(path.read_bytes() * 2)
    assert "joined with cat" in refused(path)


def test_zeros_behind_the_end_are_padding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", ({"png": png(i), "cls": i % 2} for i in range(12)))
    path.write_bytes(path.read_bytes() + bytes(1 << 21))
    assert len(opened(path)) == 12


@pytest.mark.parametrize(("mode", "tool"), [("w:gz", "gunzip"), ("w:xz", "unxz"), ("w:bz2", "bunzip2")])
def test_a_compressed_shard_says_how_to_unpack_it(tmp_path: Path, mode: str, tool: str) -> None:
    assert f"is compressed, so samples cannot be read by number: {tool} it" in refused(
        tar(tmp_path / "a.tar", {"0.png": png(0)}, mode)
    )


# Patterns


def test_a_relative_and_an_absolute_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "val"):
        write(tmp_path / f"{name}.tar", ({"png": png(i), "cls": i % 2} for i in range(12)))
    monkeypatch.chdir(tmp_path)
    data = opened("train.tar", test=str(tmp_path / "val.tar"))
    assert (data.ids[0], data.ids[-1]) == ("train.tar/000", "val.tar/011")
    assert data.ids == opened(tmp_path / "train.tar", test="val.tar").ids


@pytest.mark.parametrize("pattern", ["{0..300000000}", "{0..9999}-{0..9999}", "{300000000..0..2}"])
def test_a_range_beyond_all_shards_is_refused_at_once(pattern: str) -> None:
    with pytest.raises(DataNotFound, match="names more than 1,000,000 shards"):
        opened(f"s-{pattern}.tar")


def test_the_first_missing_shard_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    monkeypatch.setattr(os.path, "isdir", looked.append)
    with pytest.raises(DataNotFound, match="there is no shard"):
        opened(tmp_path / "s-{0..99999}.tar")
    assert len(looked) == 1


# JSON


@pytest.mark.parametrize("broken", [b'{"label": 1', DEEP, HALF], ids=["cut", "deep", "surrogate"])
def test_a_broken_json_is_skipped_up_to_a_tenth(tmp_path: Path, broken: bytes) -> None:
    members = {f"{i:02d}.png": png(i) for i in range(20)}
    members |= {f"{i:02d}.json": json.dumps({"label": i % 2}).encode() for i in range(20)}
    members |= {f"{i:02d}.json": broken for i in (3, 7)}
    data = opened(tar(tmp_path / "a.tar", members))
    assert len(data) == 18
    assert skips(data) == {"its .json cannot be read": 2}
    said = refused(tar(tmp_path / "b.tar", members | {"08.json": broken}))
    assert "'b.tar/03.json' is no JSON" in said
    assert "3 of 20 samples have such a .json, more than a tenth" in said


@pytest.mark.parametrize("key", ["label", "class", "target", "category"])
def test_labels_by_the_known_keys(tmp_path: Path, key: str) -> None:
    data = opened(facts(tmp_path / "a.tar", key, "site"))
    assert kinds(data) == [f"{key}0", f"{key}1"] * 6
    assert set(data.columns) == {"site"}


def test_two_keys_that_may_be_the_label(tmp_path: Path) -> None:
    path = facts(tmp_path / "a.tar", "class", "category")
    assert "'class' and 'category' of the .json may each be its label" in refused(path)
    assert kinds(opened(path, label="category"))[:2] == ["category0", "category1"]


def test_labels_that_are_left_are_told(tmp_path: Path) -> None:
    data = opened(facts(tmp_path / "a.tar", "site"))
    assert data.labels is None
    assert any("label= may name one: site" in note for note in data.notes)
    both = write(tmp_path / "b.tar", ({"png": png(i), "cls": i % 2, "json": {"class": i}} for i in range(12)))
    assert any("'class' of the .json is not used" in note for note in opened(both).notes)


@pytest.mark.parametrize("ending", ["txt", "cls"])
def test_labels_asked_for_that_are_not_there(tmp_path: Path, ending: str) -> None:
    path = facts(tmp_path / "a.tar", "site")
    assert f"no sample has a .{ending} file" in refused(path, label=ending)


# Names


def test_dots_in_names(tmp_path: Path) -> None:
    said = refused(tar(tmp_path / "a.tar", {f"img.{i}.png": png(0) for i in range(5000)}))
    assert "share their name up to the first dot" in said
    assert "and 4992 more" in said
    assert len(said) < 600


def test_an_ending_that_nothing_has(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", ({"png": png(i), "cls": 0} for i in range(12)))
    with pytest.raises(EmptyData, match=r"no file that ends in \.jpg\. Its files end in cls, png\."):
        opened(path, image="jpg")


def test_a_tar_of_hidden_names_says_so(tmp_path: Path) -> None:
    with pytest.raises(EmptyData, match=r"holds no image. 12 skipped: hidden or litter"):
        opened(tar(tmp_path / "a.tar", {f"../{i}.png": png(i) for i in range(12)}))
