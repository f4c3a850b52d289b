"""Damaged files of every kind: an answer or an error for the user, and never anything else."""

import io
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from safetensors.torch import save
from torch import nn

from sslaudit.errors import EncoderError
from sslaudit_formats import onnx as graphs
from sslaudit_formats import torchscript
from sslaudit_formats.read import read

STATE = {"state_dict": {"w": torch.arange(12.0).view(3, 4), "b": torch.ones(3)}, "epoch": 3, "lr": [0.1]}


def _torch(*, zipped: bool) -> bytes:
    made = io.BytesIO()
    torch.save(STATE, made, _use_new_zipfile_serialization=zipped)
    return made.getvalue()


def _script() -> bytes:
    made = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit announces its end
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), made)
    return made.getvalue()


def _onnx() -> bytes:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, 4, 4]) for name in "xy"]
    made = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    whole: bytes = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    ).SerializeToString()
    return whole


FILES = {
    "zip": _torch(zipped=True),
    "legacy": _torch(zipped=False),
    "safetensors": save({"w": torch.arange(12.0).view(3, 4), "b": torch.ones(3)}),
    "torchscript": _script(),
    "onnx": _onnx(),
}

BOUNDED = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


def refused(path: Path) -> str:
    """Opens the file as far as it goes: the message of its refusal, empty when it opens."""
    try:
        opened = read(str(path))
        opened.verify()
        if opened.kind == "torchscript":
            torchscript.module(opened, str(path), "cpu")
        elif opened.kind == "onnx":
            graphs.module(opened, str(path))
    except EncoderError as error:
        return str(error)
    return ""


def for_a_user(message: str, path: Path) -> bool:
    return message == "" or (message.startswith(f"'{path}' ") and message.count("\n") < 10)


@pytest.mark.parametrize("kind", FILES)
def test_the_whole_file_opens(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(FILES[kind])
    assert read(str(tmp_path / "file")).size == len(FILES[kind])


@pytest.mark.parametrize("kind", FILES)
@BOUNDED
@given(data=st.data())
def test_cut_anywhere(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    whole = FILES[kind]
    start = data.draw(st.sampled_from([0, 0, 0, 1, 8, 64]))
    end = data.draw(st.integers(start, len(whole) - 1))
    (tmp_path / "file").write_bytes(whole[start:end])
    message = refused(tmp_path / "file")
    assert for_a_user(message, tmp_path / "file")
    assert start or message  # a file that lacks its end is never read as a whole one


@pytest.mark.parametrize("kind", FILES)
@BOUNDED
@given(data=st.data())
def test_bytes_flipped_anywhere(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    whole = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "file").write_bytes(whole)
    assert for_a_user(refused(tmp_path / "file"), tmp_path / "file")


@BOUNDED
@given(data=st.data())
def test_no_flipped_byte_of_an_archive_changes_what_is_read(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(FILES["zip"])
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "file").write_bytes(whole)
    if not refused(tmp_path / "file"):  # the byte lay between the records
        content = read(str(tmp_path / "file")).content
        assert content is not None
        assert (content["epoch"], content["lr"]) == (3, [0.1])
        assert content["state_dict"].keys() == STATE["state_dict"].keys()
        assert all(torch.equal(content["state_dict"][k], w) for k, w in STATE["state_dict"].items())


@BOUNDED
@given(data=st.data())
def test_bytes_flipped_in_the_pickle_of_a_whole_archive(tmp_path: Path, data: st.DataObject) -> None:
    with zipfile.ZipFile(io.BytesIO(FILES["zip"])) as archive:
        records = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    pickled = next(record for name, record in records.items() if name.endswith("data.pkl"))
    for _ in range(data.draw(st.integers(1, 4))):
        pickled[data.draw(st.integers(0, len(pickled) - 1))] = data.draw(st.integers(0, 255))
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        for name, record in records.items():
            archive.writestr(name, bytes(record))
    assert for_a_user(refused(tmp_path / "file"), tmp_path / "file")


def test_a_name_that_is_no_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        archive.writestr("file/data.pkl", b"\x80\x02cmodu\0le\nNa\0me\n)\x81.")
        archive.writestr("file/version", b"3\n")
    assert "damaged" in refused(tmp_path / "file")


@BOUNDED
@given(content=st.binary(max_size=300))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert for_a_user(refused(tmp_path / "file"), tmp_path / "file")
