"""Data that checkpoints carry beside weights is readable without its library; tensors come as stored."""

import argparse
import collections
import datetime
import io
import pathlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import Tensor, nn

from sslaudit.errors import UnreadableFile, UnsafeFile
from sslaudit_formats.opened import Inert, Opened
from sslaudit_formats.read import read


def reopened(tmp_path: Path, content: Any, *, zipped: bool = True) -> Opened:
    path = tmp_path / "model.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return read(str(path))


class AttributeDict(dict[str, Any]):
    """A dictionary as lightning's ``pytorch_lightning/utilities/parsing.py`` pickles it."""


class Stack(list[int]):
    """A list of a class of its own."""


DATA: dict[str, tuple[Any, Any]] = {
    "namespace": (argparse.Namespace(arch="resnet18", epochs=[1]), {"arch": "resnet18", "epochs": [1]}),
    "omegaconf": (
        OmegaConf.create(
            {"model": {"arch": "vit", "sizes": [1, {"a": "${model.arch}"}]}, "lr": 0.1, "m": "???"}
        ),
        {"model": {"arch": "vit", "sizes": [1, {"a": "${model.arch}"}]}, "lr": 0.1, "m": "???"},
    ),
    "omegaconf list": (OmegaConf.create([1, None, True]), [1, None, True]),
    "float64": (np.float64(0.1), 0.1),
    "int64": (np.int64(-3), -3),
    "bool_": (np.bool_(True), True),
    "str_": (np.str_("a\u00fc"), "a\u00fc"),
    "array of texts": (np.array(["a", "bc"]), ["a", "bc"]),
    "array of objects": (np.array([{"a": 1}, None], dtype=object), [{"a": 1}, None]),
    "path": (pathlib.PurePosixPath("/data/imagenet"), "/data/imagenet"),
    "windows path": (pathlib.PureWindowsPath("data", "imagenet"), "data/imagenet"),
    "defaultdict": (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
    "deque": (collections.deque([1, 2], maxlen=5), [1, 2]),
    "counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "datetime": (datetime.datetime(2024, 5, 6, 7, 8), datetime.datetime(2024, 5, 6, 7, 8)),
    "timedelta": (datetime.timedelta(3), datetime.timedelta(3)),
    "version": (torch.__version__, str(torch.__version__)),
    "bytes": ((b"", b"ab\xff"), (b"", b"ab\xff")),
    "frozenset": (frozenset({1}), frozenset({1})),
    "device": (torch.device("cuda:1"), torch.device("cuda:1")),
    "large": (10**30, 10**30),
    "dictionary of a class": (AttributeDict(lr=0.1, path=["a"]), {"lr": 0.1, "path": ["a"]}),
    "class as key": ({AttributeDict: {"best": 1.0}}, {f"{__name__}.AttributeDict": {"best": 1.0}}),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", DATA)
def test_data_is_readable(tmp_path: Path, name: str, zipped: bool) -> None:
    given, wanted = DATA[name]
    opened = reopened(
        tmp_path, {"w": torch.ones(1), "hyper_parameters": {"x": given, "again": given}}, zipped=zipped
    )
    assert opened.content is not None
    found = opened.content["hyper_parameters"]
    assert found == {"x": wanted, "again": wanted}
    assert type(found["x"]) is type(wanted)
    assert opened.notes == ()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3).astype(">i4"),
        np.float16([1.5]),
        np.zeros((0, 3)),
        np.array(2.0),
    ],
)
def test_arrays_become_tensors(tmp_path: Path, array: np.ndarray) -> None:
    content = reopened(tmp_path, {"w": array}).content
    assert content is not None
    assert isinstance(content["w"], Tensor)
    assert content["w"].shape == array.shape
    assert np.array_equal(content["w"].numpy(), array)


def test_a_configuration_is_read_without_its_library(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"w": torch.ones(1), "cfg": OmegaConf.create({"arch": "resnet18"})}, path)
    code = (
        "import sys; sys.modules['omegaconf'] = None\n"
        "from sslaudit_formats.read import read\n"
        f"print(read({str(path)!r}).content['cfg'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'arch': 'resnet18'}"


def test_what_is_no_data_stays_inert(tmp_path: Path) -> None:
    opened = reopened(
        tmp_path,
        {"w": torch.ones(1), "loss": nn.CrossEntropyLoss(), "stack": Stack([1, 2]), "kind": nn.Linear},
    )
    assert opened.content is not None
    loss, stack, kind = (opened.content[name] for name in ("loss", "stack", "kind"))
    assert isinstance(loss, Inert)
    assert loss.state["label_smoothing"] == 0.0
    assert isinstance(stack, Inert)
    assert stack.state == [1, 2]
    assert isinstance(kind, Inert)
    assert opened.notes == (
        "loss is a torch.nn.modules.loss.CrossEntropyLoss: not run, read as inert data",
        f"stack is a {__name__}.Stack: not run, read as inert data",
        "kind is a torch.nn.modules.linear.Linear: not run, read as inert data",
    )


def test_optimizers_are_no_news(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    opened = reopened(tmp_path, {"state_dict": net.state_dict(), "opt": torch.optim.Adam(net.parameters())})
    assert opened.notes == ()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool, torch.complex64]
)
def test_types_come_as_stored(tmp_path: Path, dtype: torch.dtype, zipped: bool) -> None:
    tensor = torch.arange(6).reshape(2, 3).to(dtype)
    content = reopened(tmp_path, {"w": tensor, "p": nn.Buffer(tensor)}, zipped=zipped).content
    assert content is not None
    assert content["w"].dtype == dtype
    assert torch.equal(content["w"], tensor)


def test_float8_comes_as_stored_or_is_named(tmp_path: Path) -> None:
    tensor = torch.tensor([1.0, -2.0, 448.0]).to(torch.float8_e4m3fn)
    content = reopened(tmp_path, {"w": tensor}).content
    assert content is not None
    assert content["w"].dtype == torch.float8_e4m3fn
    assert torch.equal(content["w"].float(), torch.tensor([1.0, -2.0, 448.0]))
    with pytest.raises(UnreadableFile, match="float8, uint16"):
        reopened(tmp_path, {"w": tensor}, zipped=False)


@pytest.mark.parametrize("zipped", [True, False])
def test_tied_and_overlapping_storage(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(12.0)
    state = {
        "tied": base.view(3, 4),
        "again": base.view(3, 4),
        "turned": base.view(3, 4).t(),
        "part": base[2:8],
        "over": base[5:11:2],
        "parameter": nn.Parameter(base[:3]),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(7),
    }
    content = reopened(tmp_path, state, zipped=zipped).content
    assert content is not None
    assert all(torch.equal(content[name], tensor) for name, tensor in state.items())
    assert content["tied"].data_ptr() == content["again"].data_ptr()
    assert type(content["parameter"]) is Tensor
    assert not content["parameter"].requires_grad


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_sparse_and_quantised_become_ordinary_and_that_is_said(tmp_path: Path) -> None:
    eye = torch.eye(3)
    quantised = torch.quantize_per_tensor(torch.tensor([1.0, 0.5]), 0.1, 0, torch.qint8)
    opened = reopened(
        tmp_path,
        {
            "coo": eye.to_sparse(),
            "csr": eye.to_sparse_csr(),
            "q": {"layer.weight": quantised, "next.weight": quantised.clone(), "bias": eye},
            "d": AttributeDict(a=1),
        },
        zipped=False,
    )
    content = opened.content
    assert content is not None
    assert torch.equal(content["coo"], eye)
    assert torch.equal(content["csr"], eye)
    assert torch.equal(content["q"]["layer.weight"], quantised.dequantize())
    assert opened.notes == (
        "'coo' is stored sparse (sparse_coo): made dense",
        "'csr' is stored sparse (sparse_csr): made dense",
        "'q.layer.weight' and 1 more are stored quantised (qint8): dequantised",
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_without_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"no data for the tensor 'state\.w' \(device meta\)"):
        reopened(tmp_path, {"state": {"w": torch.ones(2, device="meta")}})
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    with pytest.raises(UnreadableFile, match="nested tensor 'w'"):
        reopened(tmp_path, {"w": nested})


class Marked(Tensor):
    """A tensor of a class of its own."""


def test_a_tensor_of_an_unknown_class_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFile, match=rf"needs {re.escape(__name__)}\.Marked to open"):
        reopened(tmp_path, {"w": torch.ones(2).as_subclass(Marked)})


def test_parts_of_a_sharded_model_are_named(tmp_path: Path) -> None:
    from torch.distributed.tensor.placement_types import Shard

    with pytest.raises(UnreadableFile, match="parts of a sharded model"):
        reopened(tmp_path, {"w": Shard(0)})


@pytest.mark.parametrize("zipped", [True, False])
def test_cuda_tags_load_on_the_cpu(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pt"
    tensor = torch.arange(3.0)
    torch.save({"w": tensor}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    tagged = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    assert tagged != content
    if zipped:
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
            for name in old.namelist():
                record = old.read(name)
                new.writestr(name, record.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
        tagged = made.getvalue()
    path.write_bytes(tagged)
    opened = read(str(path)).content
    assert opened is not None
    assert opened["w"].device.type == "cpu"
    assert torch.equal(opened["w"], tensor)


def test_an_archive_that_was_compressed_again_is_not_mapped(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    tensor = torch.arange(4096.0)
    torch.save({"w": tensor}, path)
    made = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    path.write_bytes(made.getvalue())
    opened = read(str(path)).content
    assert opened is not None
    assert torch.equal(opened["w"], tensor)


def test_a_list_of_dictionaries_and_other_tops(tmp_path: Path) -> None:
    opened = reopened(tmp_path, [{"w": torch.ones(1)}, 3])
    assert opened.content is not None
    assert torch.equal(opened.content["0"]["w"], torch.ones(1))
    assert opened.notes == ("the file holds a list; its parts are named 0 to 1",)
    for content, said in ((torch.zeros(3), "holds a Tensor"), (3, "holds a int"), ([1], "holds a list")):
        with pytest.raises(
            UnreadableFile, match=rf"{said}, no dictionary of tensors; save model\.state_dict"
        ):
            reopened(tmp_path, content)


def test_reading_leaves_the_tensors_on_the_disk(tmp_path: Path) -> None:
    """Pages of a mapped file are not in memory before they are touched: Linux says so in ``smaps``."""
    state = {"w": torch.ones(16, 1024, 1024)}  # 64 MiB
    torch.save(state, tmp_path / "a.pt")
    save_file(state, tmp_path / "b.safetensors")
    for name in ("a.pt", "b.safetensors"):
        content = read(str(tmp_path / name)).content
        assert content is not None
        assert _resident(name) < 1 << 20
        assert content["w"].sum() == 16 * 1024 * 1024
        assert _resident(name) > 60 << 20


def _resident(name: str) -> int:
    """Bytes of the mapped file ``name`` that are in this process's memory."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    starts = [i for i, line in enumerate(lines) if line.endswith(f"/{name}")]
    assert starts
    return sum(
        int(next(line for line in lines[i:] if line.startswith("Rss:")).split()[1]) * 1024 for i in starts
    )
