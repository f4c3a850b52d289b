"""What is not a checkpoint is named as what it is, and nothing in a file is ever run."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from sslaudit.errors import EncoderNotFound, UnreadableFile, UnsafeFile
from sslaudit_checkpoints.files import read


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty (0 bytes)"),
        (b"hello, I am notes about a model\n", "is a text file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "is a Git LFS pointer"),
        (b"\x80\x02junk that is no pickle", "damaged"),
        (bytes(range(256)) * 8, "damaged"),
    ],
)
def test_named_as_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile) as caught:
        read(str(path))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_such_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(EncoderNotFound, match="there is no file"):
        read(str(tmp_path / "missing.pt"))
    with pytest.raises(EncoderNotFound, match="is a folder"):
        read(str(tmp_path))


@pytest.mark.parametrize("cut", [100, 4000, -200])
def test_truncated_is_said_to_be_damaged(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "model.pth"
    torch.save({"w": torch.arange(4096.0)}, path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UnreadableFile, match="damaged"):
        read(str(path))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_payload_is_named_and_not_run(tmp_path: Path, zipped: bool) -> None:
    marker = tmp_path / "MARKER"
    path = tmp_path / "evil.pt"
    content = {"state_dict": {"w": torch.zeros(2)}, "args": Payload(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFile, match="mkdir"):
        read(str(path))
    assert not marker.exists()


def test_a_bare_pickle_with_a_payload_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "MARKER"
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises((UnsafeFile, UnreadableFile)):
        read(str(path))
    assert not marker.exists()


def test_a_whole_module_is_refused_with_its_class(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(UnsafeFile, match=r"torch\.nn\.modules\.linear\.Linear"):
        read(str(path))


def test_torchscript_is_named(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.save({"a": torch.zeros(1)}, path)
    import zipfile

    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("script/constants.pkl", b"")
    with pytest.raises(UnreadableFile, match="TorchScript"):
        read(str(path))


def test_tensors_come_back_from_zip_legacy_and_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"w": torch.arange(6.0).reshape(2, 3)}
    torch.save(state, tmp_path / "a.pt")
    torch.save(state, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "c.safetensors")
    for name in ("a.pt", "b.pt", "c.safetensors"):
        assert torch.equal(read(str(tmp_path / name))["w"], state["w"])


def test_a_tensor_alone_is_no_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "tensor.pt"
    torch.save(torch.zeros(3), path)
    with pytest.raises(UnreadableFile, match=r"holds a Tensor.*state_dict"):
        read(str(path))
