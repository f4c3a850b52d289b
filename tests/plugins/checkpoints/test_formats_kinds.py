"""What is no checkpoint is named as what it is, with what to do; nothing is opened that may never end."""

import gzip
import io
import json
import lzma
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from sslaudit.errors import EncoderError, EncoderNotFound, UnreadableFile
from sslaudit_formats.read import read

STATE = {"w": torch.arange(4096.0)}


def zipped(method: int = zipfile.ZIP_STORED, /, **records: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, text in records.items():
            archive.writestr(name.replace("__", "."), text)
    return made.getvalue()


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    made = io.BytesIO()
    save(made)
    return made.getvalue()


def tarred(*names: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return made.getvalue()


def pictured(kind: str) -> bytes:
    return saved(lambda made: Image.new("RGB", (4, 4)).save(made, kind))


def checkpoint(*, zip_format: bool = True) -> bytes:
    return saved(lambda made: torch.save(STATE, made, _use_new_zipfile_serialization=zip_format))


FILES: dict[str, tuple[bytes, str]] = {
    "empty.pt": (b"", "is empty (0 bytes)"),
    "zeros.pt": (bytes(5000), "begins with zeros"),
    "notes.pt": ("Grüße, notes about a model\n".encode(), "is a text file"),
    "long.pt": (("a" + "ü" * 5000).encode(), "is a text file"),  # cut in a letter of two bytes
    "page.pt": (b"\n<!DOCTYPE html><html><body>404</body></html>", "is an HTML page"),
    "commented.pt": (b"<!-- saved page -->\n<!doctype html><title>Sign in</title>", "is an HTML page"),
    "utf16.pt": ("<html><body>Sign in</body></html>".encode("utf-16"), "is an HTML page"),
    "page.gz": (gzip.compress(b"<!DOCTYPE html><html></html>" * 500), "gzip, and in it is an HTML page"),
    "entry.pt": (b"Entry not found", "server answered instead of the file: 'Entry not found'"),
    "repository.pt": (b"Repository not found\n", "server answered instead of the file: 'Repository not"),
    "password.pt": (b"Invalid username or password.", "server answered instead of the file: 'Invalid user"),
    "gated.pt": (b'{"error": "Access to model a/b is restricted."}', "'Access to model a/b is restricted.'"),
    "404.pt": (b"404: Not Found", "server answered instead of the file: '404: Not Found'"),
    "denied.pt": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is an XML page"),
    "pointer.pt": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"),
    "config.json": (json.dumps({"architectures": ["ViTModel"]}).encode(), "JSON file (a model's config"),
    "plain.json": (b'{"a": 1}', "is a JSON file, not the weights"),
    "config.yaml": (b"arch: resnet50\nepochs: 800\n", "is a text file"),
    "a.gz": (gzip.compress(checkpoint()), "gzip; unpack it"),
    "a.xz": (lzma.compress(checkpoint()), "xz; unpack it"),
    "a.zst": (b"\x28\xb5\x2f\xfd" + bytes(range(64)), "zstd; unpack it"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(range(64)), "7z archive"),
    "a.rar": (b"Rar!\x1a\x07\x01\x00" + bytes(range(64)), "RAR archive"),
    "a.tar": (tarred("weights/model.pt"), "is a tar archive; unpack it"),
    "old.pth.tar": (tarred("sys_info", "pickle", "storages", "tensors"), "before version 0.2"),
    "a.zip": (zipped(readme__txt="hello"), "is a zip archive of readme.txt; unpack it"),
    "a.keras": (zipped(config__json="{}", model__weights__h5=""), "is a Keras model"),
    "a.pt2": (zipped(archive_format="pt2"), "torch.export"),
    "a.h5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
    "a.npy": (saved(lambda made: np.save(made, np.zeros(3))), "numpy array"),
    "a.npz": (saved(lambda made: np.savez(made, a=np.zeros(3))), "numpy arrays (.npz)"),
    "flax_model.msgpack": (b"\x82\xa1a\xc0\xa1b\xc0", "Flax"),
    "model.ckpt.index": (b"\x00\x01\x02" * 30, "TensorFlow"),
    "model.ckpt.data-00000-of-00001": (os.urandom(64) + b"\x80", "TensorFlow"),
    "a.gguf": (b"GGUF\x03\x00\x00\x00" + bytes(32), "GGUF"),
    "a.png": (pictured("PNG"), "is a PNG image"),
    "a.jpg": (pictured("JPEG"), "is a JPEG image"),
    "junk.bin": (bytes(range(256)) * 8, "is damaged"),
    "pickle.pkl": (b"\x80\x02}q\x00.", "is a plain pickle, not written by torch.save"),
    "newer.pkl": (pickle.dumps({"a": 1}, 5), "is a plain pickle, not written by torch.save"),
    "older.pkl": (pickle.dumps({"a": 1}, 0), "is a plain pickle, not written by torch.save"),
    "outside.pt": (zipped(data__pkl="", version="3"), "zip -0 -r FILE.pth FOLDER"),
    "deeper.pt": (zipped(**{"a/m/data__pkl": "", "a/m/version": "3"}), "zip -0 -r FILE.pth FOLDER"),
    "packed.pt": (
        zipped(zipfile.ZIP_BZIP2, **{"m/data__pkl": ""}),
        "compressed in a way torch does not read",
    ),
    "cut.pt": (checkpoint()[:4000], "is truncated or damaged"),
    "end.pt": (checkpoint()[:-200], "is truncated or damaged"),
    "legacy.pth": (checkpoint(zip_format=False)[:-200], "is damaged or truncated"),
    "start.pth": (checkpoint(zip_format=False)[:9], "truncated"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_named_as_what_it_is(tmp_path: Path, name: str) -> None:
    content, said = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableFile) as caught:
        read(str(path))
    message = str(caught.value)
    assert message.startswith(f"'{path}' ")
    assert said in message
    assert message.count("\n") < 10


def test_truncated_safetensors_says_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(STATE, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    with pytest.raises(
        UnreadableFile, match=rf"header says {len(whole):,} bytes, the file has {len(whole) - 1000:,}"
    ):
        read(str(path))
    path.write_bytes(whole[:40])
    with pytest.raises(UnreadableFile, match="truncated safetensors"):
        read(str(path))


def test_torch_export_writes_what_is_named(tmp_path: Path) -> None:
    path = tmp_path / "program.pt2"
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), path)
    with pytest.raises(UnreadableFile, match=r"program of torch\.export"):
        read(str(path))


def test_the_ending_decides_nothing(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "really_safetensors.pt")
    torch.save(STATE, tmp_path / "really_zip.safetensors")
    torch.save(STATE, tmp_path / "checkpoint.pth.tar", _use_new_zipfile_serialization=False)
    for name, said in (
        ("really_safetensors.pt", "safetensors"),
        ("really_zip.safetensors", "PyTorch checkpoint"),
        ("checkpoint.pth.tar", "PyTorch checkpoint from before 1.6"),
    ):
        opened = read(str(tmp_path / name))
        assert opened.format == said
        assert opened.content is not None
        assert torch.equal(opened.content["w"], STATE["w"])
        assert opened.size == (tmp_path / name).stat().st_size


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EncoderNotFound, match=r"there is no such file: '\./missing\.pt'"):
        read("./missing.pt")
    (tmp_path / "link.pt").symlink_to("gone.pt")
    with pytest.raises(EncoderNotFound, match=r"no such file: 'link\.pt' is a link to 'gone\.pt'"):
        read("link.pt")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(EncoderNotFound, match="no such file"):
        read("file/model.pt")
    for text in ("a\0b.pt", "x" * 5000):
        with pytest.raises(EncoderError):
            read(text)


def test_a_tilde_is_a_home_only_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for text, path in (
        ("./~tilde.pth", "~tilde.pth"),
        ("~tilde.pth", "~tilde.pth"),
        ("~/model.pth", "home/model.pth"),
    ):
        torch.save(STATE, tmp_path / path)
        content = read(text).content
        assert content is not None
        assert torch.equal(content["w"], STATE["w"])
    with pytest.raises(EncoderNotFound, match=r"no such file: '~nobody-of-this-name/x\.pt'"):
        read("~nobody-of-this-name/x.pt")


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", Path("/dev/zero")):
        with pytest.raises(UnreadableFile, match="pipe, socket or device"):
            read(str(path))


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    torch.save(STATE, path)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UnreadableFile, match=r"model\.pt' cannot be read: Permission denied"):
        read(str(path))


FOLDERS: dict[str, tuple[tuple[str, ...], str]] = {
    "empty": ((), "is an empty folder"),
    "dcp": ((".metadata", "__0_0.distcp"), "dcp_to_torch"),
    "deepspeed": (
        ("mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_optim_states.pt"),
        "zero_to_fp32",
    ),
    "deepspeed_top": (
        ("latest", "zero_to_fp32.py", "global_step10/mp_rank_00_model_states.pt"),
        "zero_to_fp32",
    ),
    "hub": (("config.json", "model.safetensors"), "write 'hf:"),
    "saved_model": (("saved_model.pb", "variables/variables.index"), "TensorFlow SavedModel"),
    "tf": (("checkpoint", "model.ckpt.index", "model.ckpt.data-00000-of-00001"), "TensorFlow checkpoint"),
    "one": (("model.pt", "log.txt"), "one/model.pt'"),
    "many": (
        ("a.pt", "b.pth", "c.ckpt", "d.bin"),
        "4 weight files; name one: a.pt, b.pth, c.ckpt and 1 more",
    ),
    "images": (("cat/0.png", "dog/1.PNG"), "is a folder of images"),
    "deeper": (("run1/last.pt", "run2/last.pt"), "run1/last.pt, run2/last.pt"),
    "sharded": (
        ("model-00001-of-00001.safetensors", "model.safetensors.index.json"),
        "name its index: ",
    ),
    "other": (("a.txt",), "without weight files (a.txt)"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_named_as_what_it_is(tmp_path: Path, name: str) -> None:
    files, said = FOLDERS[name]
    folder = tmp_path / name
    folder.mkdir()
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(b"x")
    with pytest.raises(UnreadableFile) as caught:
        read(str(folder))
    assert str(caught.value).startswith(f"'{folder}' ")
    assert said in str(caught.value)


def test_an_unpacked_file_is_packed_again_by_the_line_that_is_shown(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "model.pth")
    (tmp_path / "with space").mkdir()
    with zipfile.ZipFile(tmp_path / "model.pth") as archive:
        archive.extractall(tmp_path / "with space")
    folder = tmp_path / "with space" / "model"
    for text in (folder, folder / "data.pkl"):
        with pytest.raises(UnreadableFile, match="is an unpacked PyTorch file") as caught:
            read(str(text))
        told, command = str(caught.value).splitlines()
        assert "use the original archive" in told
        assert command == f"  cd '{folder.parent}' && zip -0 -r model.pth model"
    with zipfile.ZipFile(folder.parent / "model.pth", "w") as archive:  # what ``zip -0 -r`` writes
        for path in sorted([folder, *folder.rglob("*")]):
            archive.write(path, path.relative_to(folder.parent))
    opened = read(str(folder.parent / "model.pth"))
    opened.verify()
    assert opened.content is not None
    assert torch.equal(opened.content["w"], STATE["w"])


@pytest.mark.parametrize("joblib", [False, True])
def test_a_plain_pickle_is_converted_by_the_line_that_is_shown(tmp_path: Path, joblib: bool) -> None:
    path = tmp_path / "model zoo.pkl"  # as detectron2 lays out its own
    content = {"model": {"stem.conv1.weight": np.arange(6, dtype=np.float32)}, "__author__": "me"}
    if joblib:
        pytest.importorskip("joblib").dump(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    for trust in (True, False):
        with pytest.raises(UnreadableFile, match=r"not written by torch\.save") as caught:
            read(str(path), trust_pickle=trust)
    command = str(caught.value).splitlines()[-1].strip()
    assert command.startswith("python -c ")
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True)
    opened = read(str(tmp_path / "model zoo.pth"))
    assert opened.content is not None
    assert torch.equal(opened.content["model"]["stem.conv1.weight"], torch.arange(6.0))


@pytest.mark.parametrize("safe", [True, False])
def test_weights_that_zero3_keeps_elsewhere_are_named(tmp_path: Path, safe: bool) -> None:
    """As deepspeed's ``runtime/engine.py`` saves ``module`` at stage 3: parameters of no elements."""
    path = tmp_path / "mp_rank_00_model_states.pt"
    state = {"conv1.weight": torch.empty(0), "fc.weight": torch.empty(0), "bn.running_mean": torch.ones(3)}
    if safe:
        save_file(state, path)
    else:
        torch.save({"module": state, "optimizer": {"exp.weight": torch.ones(3)}}, path)
    with pytest.raises(UnreadableFile, match=r"conv1\.weight' and 1 more: .*ZeRO-3; .*zero_to_fp32\.py"):
        read(str(path))
    torch.save({"fc.weight": torch.empty(0), "a.weight": torch.ones(2)}, path)
    assert read(str(path)).content is not None


def shards(folder: Path, *, index: bool, safe: bool) -> list[dict[str, Tensor]]:
    """Two shards as transformers and huggingface_hub write them: ``save_torch_state_dict``."""
    parts = [{"a": torch.arange(3.0)}, {"b": torch.arange(5.0)}]
    stem, end = ("model", "safetensors") if safe else ("pytorch_model", "bin")
    where = {}
    for i, part in enumerate(parts, 1):
        file = f"{stem}-{i:05d}-of-00002.{end}"
        where |= dict.fromkeys(part, file)
        if safe:
            save_file(part, folder / file)
        else:
            torch.save(part, folder / file)
    if index:
        (folder / f"{stem}.{end}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return parts


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("safe", [True, False])
def test_shards_are_read_as_one(tmp_path: Path, index: bool, safe: bool) -> None:
    parts = shards(tmp_path, index=index, safe=safe)
    given = sorted(tmp_path.iterdir())
    for path in given:
        opened = read(str(path))
        assert opened.content is not None
        assert opened.format.endswith("in 2 shards")
        assert opened.size == sum(file.stat().st_size for file in given if "-of-" in file.name)
        assert opened.content.keys() == {"a", "b"}
        assert torch.equal(opened.content["a"], parts[0]["a"])
        assert torch.equal(opened.content["b"], parts[1]["b"])


@pytest.mark.parametrize("index", [True, False])
def test_a_missing_shard_is_named(tmp_path: Path, index: bool) -> None:
    shards(tmp_path, index=index, safe=True)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UnreadableFile, match=r"missing beside it: model-00002-of-00002\.safetensors\.$"):
        read(str(tmp_path / "model-00001-of-00002.safetensors"))


@pytest.mark.parametrize("safe", [True, False])
def test_an_index_that_lists_more_than_the_shards_hold_is_refused(tmp_path: Path, safe: bool) -> None:
    shards(tmp_path, index=True, safe=safe)
    index = next(tmp_path.glob("*.index.json"))
    listed = json.loads(index.read_text())
    listed["weight_map"]["head.weight"] = listed["weight_map"]["b"]
    index.write_text(json.dumps(listed))
    with pytest.raises(UnreadableFile, match=r"shard \w+-00002-of-00002\.\w+ lacks 'head\.weight'"):
        read(str(index))


def test_an_index_of_one_file_is_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "model.safetensors"}}))
    opened = read(str(index))
    assert opened.content is not None
    assert torch.equal(opened.content["w"], STATE["w"])
    assert opened.format == "safetensors in 1 shard"
    index.write_text(json.dumps({"weight_map": {"w": "model.safetensors", "v": "model.safetensors"}}))
    with pytest.raises(UnreadableFile, match=r"model\.safetensors lacks 'v'"):
        read(str(index))


def test_an_index_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": "../../etc/secret.safetensors"}}))
    with pytest.raises(UnreadableFile, match="names no files beside it"):
        read(str(path))


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    shards(tmp_path, index=True, safe=False)
    (tmp_path / "pytorch_model-00002-of-00002.bin").write_bytes(b"")
    with pytest.raises(UnreadableFile, match=r"shard pytorch_model-00002-of-00002\.bin is empty"):
        read(str(tmp_path / "pytorch_model-00001-of-00002.bin"))
