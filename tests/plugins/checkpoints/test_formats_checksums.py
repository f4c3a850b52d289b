"""Damage inside a record is found by its checksum, in files that open without a complaint."""

import io
import json
import resource
import struct
import threading
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from sslaudit.errors import EncoderError, UnreadableFile
from sslaudit_formats import checksums, torchscript
from sslaudit_formats.read import read

STATE = {"a": torch.arange(8192.0) + 1, "b": torch.arange(4096.0) + 1}


def saved(path: Path, content: object = STATE) -> bytearray:
    torch.save(content, path)
    return bytearray(path.read_bytes())


def place(path: Path, name: str) -> tuple[int, int]:
    """Where the bytes of a record lie in the archive, and how many they are."""
    with zipfile.ZipFile(path) as archive:
        record = archive.getinfo(name)
    start = record.header_offset
    lengths = struct.unpack("<HH", path.read_bytes()[start + 26 : start + 30])
    return start + 30 + sum(lengths), record.file_size


def test_a_whole_file_is_verified(tmp_path: Path) -> None:
    saved(tmp_path / "model.pt")
    opened = read(str(tmp_path / "model.pt"))
    opened.verify()
    opened.verify()
    assert opened.notes == ()


@pytest.mark.parametrize("damage", ["hole", "garbage", "one bit"])
def test_damage_in_a_tensor_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "model.pt"
    content = saved(path)
    start, _ = place(path, "model/data/1")
    if damage == "hole":
        content[start + 4096 : start + 8192] = bytes(4096)
    elif damage == "garbage":
        content[start : start + 4096] = bytes(byte ^ 0x5A for byte in content[start : start + 4096])
    else:
        content[start + 5] ^= 1
    path.write_bytes(content)
    opened = read(str(path))  # torch finds nothing
    assert opened.content is not None
    assert not torch.equal(opened.content["b"], STATE["b"])
    for _ in range(2):
        with pytest.raises(UnreadableFile) as caught:
            opened.verify()
        assert str(caught.value) == (
            f"'{path}' is damaged: record model/data/1 does not have its checksum; copy or download it again."
        )


def test_every_byte_of_every_record_counts(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    whole = saved(path, {"w": torch.arange(6.0), "epoch": 3})
    for name in zipfile.ZipFile(path).namelist():
        path.write_bytes(whole)
        start, size = place(path, name)
        for at in {0, size // 2, size - 1}:
            content = bytearray(whole)
            content[start + at] ^= 0x10
            path.write_bytes(content)
            with pytest.raises(UnreadableFile, match=f"record {name} does not have its checksum"):
                read(str(path)).verify()


@pytest.mark.parametrize("trust", [True, False])
def test_damage_is_the_reason_when_the_reader_fails(tmp_path: Path, trust: bool) -> None:
    path = tmp_path / "model.pt"
    content = saved(path)
    start, size = place(path, "model/data.pkl")
    content[start + 2 : start + size] = bytes(size - 2)
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"record model/data\.pkl does not have its checksum"):
        read(str(path), trust_pickle=trust)


def test_shards_are_verified_and_the_damaged_one_is_named(tmp_path: Path) -> None:
    for i in (1, 2):
        torch.save({f"w{i}": torch.ones(2048)}, tmp_path / f"pytorch_model-{i:05d}-of-00002.bin")
    index = {"weight_map": {f"w{i}": f"pytorch_model-{i:05d}-of-00002.bin" for i in (1, 2)}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    read(str(tmp_path / "pytorch_model.bin.index.json")).verify()
    second = tmp_path / "pytorch_model-00002-of-00002.bin"
    with zipfile.ZipFile(second) as archive:
        name = next(one for one in archive.namelist() if one.endswith("/data/0"))
    content = bytearray(second.read_bytes())
    content[place(second, name)[0]] ^= 1
    second.write_bytes(content)
    opened = read(str(tmp_path / "pytorch_model.bin.index.json"))
    with pytest.raises(
        UnreadableFile, match=rf"shard pytorch_model-00002-of-00002\.bin is damaged: record {name} "
    ):
        opened.verify()


def test_compressed_records_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    saved(path)
    made = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    path.write_bytes(made.getvalue())
    read(str(path)).verify()
    content = bytearray(made.getvalue())
    content[place(path, "model/data/0")[0] + 300] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="is damaged: record model/data/0 "):
        read(str(path)).verify()


def test_files_without_checksums_are_read_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.serialization.set_crc32_options(False)
    try:
        saved(path)
    finally:
        torch.serialization.set_crc32_options(True)
    opened = read(str(path))
    opened.verify()
    assert opened.content is not None
    assert torch.equal(opened.content["a"], STATE["a"])
    assert opened.notes == ("the file has no checksums: whether it is damaged cannot be known",)


def test_records_without_checksums_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with torch.serialization.skip_data():
        saved(path)  # places for data that is written later, by hand
    opened = read(str(path))
    opened.verify()
    assert opened.notes == ("2 records have no checksum: whether it is damaged cannot be known",)


def test_a_damaged_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit announces its end
        torch.jit.script(nn.Linear(64, 64)).save(str(path))
    torchscript.module(read(str(path)), str(path), "cpu")
    content = bytearray(path.read_bytes())
    content[place(path, "script/data/0")[0] + 8] ^= 1
    path.write_bytes(content)
    with pytest.raises(EncoderError, match="record script/data/0 does not have its checksum"):
        torchscript.module(read(str(path)), str(path), "cpu")


def test_reading_goes_on_meanwhile_and_memory_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    saved(path, {"w": torch.zeros(48 << 20, dtype=torch.uint8)})
    monkeypatch.setattr(checksums, "_BLOCK", 1 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with checksums._ONE_AT_A_TIME:  # the comparison waits; reading does not wait for it
        opened = read(str(path))
        assert any(one.name == "sslaudit-checksums" for one in threading.enumerate())
    opened.verify()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 24 << 20


def test_safetensors_and_old_files_have_nothing_to_verify(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(STATE, tmp_path / "a.safetensors")
    torch.save(STATE, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "b.pt"):
        opened = read(str(tmp_path / name))
        opened.verify()
        assert opened.notes == ()
