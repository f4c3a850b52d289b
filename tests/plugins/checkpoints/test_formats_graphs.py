"""TorchScript archives and ONNX graphs give the features of the network that they were made from."""

import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from sslaudit.errors import EncoderError, UnreadableFile
from sslaudit_formats import onnx as graphs
from sslaudit_formats import torchscript
from sslaudit_formats.opened import Opened
from sslaudit_formats.read import read


class Encoder(nn.Module):
    """Behaves otherwise in training: batch norm with running statistics, and dropout."""

    def __init__(self, *, pool: bool = True, output: str = "") -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.bn = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.pool = pool
        self.output = output
        with torch.no_grad():
            self.bn.running_mean.normal_()
            self.bn.running_var.uniform_(0.5, 2)

    def forward(self, images: Tensor) -> Any:
        maps = self.drop(self.bn(self.conv(images)))
        features = maps.mean((2, 3)) if self.pool else maps
        if self.output == "tuple":
            return features, features
        return {"h": features} if self.output == "dict" else features


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def still() -> Iterator[None]:
    """torch.jit.script and trace announce their end; only the loading is ours to silence."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.(script|trace|trace_method)` is deprecated")
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        yield


def scripted(tmp_path: Path, net: nn.Module) -> tuple[Opened, str]:
    path = tmp_path / "model.pt"
    torch.jit.script(net).save(str(path))
    opened = read(str(path))
    assert (opened.kind, opened.format, opened.content) == ("torchscript", "TorchScript archive", None)
    return opened, str(path)


def test_an_archive_saved_in_training_runs_in_evaluation(tmp_path: Path, images: Tensor) -> None:
    net = Encoder().train()
    with torch.no_grad():
        model = torchscript.module(*scripted(tmp_path, net), "cpu")
        features = model(images)
        assert torch.equal(model(images), features)
        alone = torch.cat([model(image[None]) for image in images])
        assert torch.allclose(alone, features, atol=1e-5, rtol=0)
        assert torch.allclose(net.eval()(images), features, atol=1e-5, rtol=0)
    assert features.shape == (4, 8)
    assert not model.training
    assert model.notes == ()


def test_a_feature_map_is_pooled_and_that_is_said(tmp_path: Path, images: Tensor) -> None:
    net = Encoder(pool=False).eval()
    with torch.no_grad():
        model = torchscript.module(*scripted(tmp_path, net), "cpu")
        assert torch.allclose(model(images), net(images).mean((2, 3)), atol=1e-6, rtol=0)
    assert model.notes == ("its 14x14 feature map is averaged over all places",)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("tuple", r"returns 2 things \(a tensor of shape \(4, 8\), a tensor of shape \(4, 8\)\)"),
        ("dict", r"returns a dictionary \(h: a tensor of shape \(4, 8\)\)"),
    ],
)
def test_other_outputs_are_refused_with_what_they_are(
    tmp_path: Path, images: Tensor, output: str, said: str
) -> None:
    model = torchscript.module(*traced(tmp_path, Encoder(output=output).eval(), images), "cpu")
    with pytest.raises(EncoderError, match=said), torch.no_grad():
        model(images)


def traced(tmp_path: Path, net: nn.Module, images: Tensor) -> tuple[Opened, str]:
    path = tmp_path / "traced.pt"
    torch.jit.trace(net, images, check_trace=False, strict=False).save(str(path))
    return read(str(path)), str(path)


def test_traced_in_evaluation_runs_and_in_training_is_refused(tmp_path: Path, images: Tensor) -> None:
    net = Encoder().eval()
    with torch.no_grad():
        model = torchscript.module(*traced(tmp_path, net, images), "cpu")
        assert torch.allclose(model(images), net(images), atol=1e-6, rtol=0)
    with pytest.raises(UnreadableFile, match=r"traced in training mode: its dropout cannot be switched off"):
        torchscript.module(*traced(tmp_path, net.train(), images), "cpu")
    net.drop = nn.Identity()
    with pytest.raises(UnreadableFile, match="its batch_norm cannot be switched off"):
        torchscript.module(*traced(tmp_path, net, images), "cpu")


def test_wrong_images_and_damage_are_one_line(tmp_path: Path, images: Tensor) -> None:
    opened, text = scripted(tmp_path, Encoder())
    model = torchscript.module(opened, text, "cpu")
    with pytest.raises(EncoderError, match=r"cannot take images of shape \(4, 2, 16, 16\)") as caught:
        model(images[:, :2])
    assert "\n" not in str(caught.value)
    with zipfile.ZipFile(text) as whole:
        records = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(text, "w") as damaged_archive:
        for name, record in records.items():
            damaged_archive.writestr(name, record.replace(b"def forward", b"xyz forward"))
    with pytest.raises(UnreadableFile, match="is a damaged TorchScript archive") as damaged:
        torchscript.module(read(text), text, "cpu")
    assert "\n" not in str(damaged.value)


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_weights_of_another_type_are_named(tmp_path: Path, images: Tensor, weight: Tensor, kind: str) -> None:
    net = Encoder().to(getattr(torch, kind))
    model = torchscript.module(*scripted(tmp_path, net), "cpu")
    with pytest.raises(EncoderError, match=rf"its weights are {kind}; export it in float32\.$"):
        model(images)
    text = graph(tmp_path / "mixed.onnx", weight, ["n", 3, "h", "w"])
    made = onnx.load(text)
    made.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight.numpy().astype(kind), "weight"))
    onnx.save(made, text)
    with pytest.raises(UnreadableFile, match=rf"whose weights or images are {kind}; export it in float32\.$"):
        graphs.module(read(text), text)


class Talking(nn.Module):
    """Prints, as programs do that were saved while they were looked into."""

    def forward(self, images: Tensor) -> Tensor:
        print("in forward")
        return images.mean((2, 3))


def test_what_a_program_prints_goes_to_stderr(
    tmp_path: Path, images: Tensor, capfd: pytest.CaptureFixture[str]
) -> None:
    model = torchscript.module(*scripted(tmp_path, Talking()), "cpu")
    assert torch.equal(model(images), images.mean((2, 3)))
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "in forward" in shown.err


Shape = list[int | str]


def graph(
    path: Path, weight: Tensor, shape: Shape, *, pool: bool = True, outputs: int = 1, half: bool = False
) -> str:
    """A convolution and a mean over places, as (B, 3, H, W) or (B, H, W, 3)."""
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    nodes, last = [], "images"
    if shape[1] != 3 and shape[3] == 3:
        nodes.append(helper.make_node("Transpose", ["images"], ["first"], perm=[0, 3, 1, 2]))
        last = "first"
    nodes.append(helper.make_node("Conv", [last, "weight"], ["maps"]))
    if pool:
        nodes.append(helper.make_node("ReduceMean", ["maps", "axes"], ["h"], keepdims=0))
    names = (["h"] if pool else ["maps"]) + ["maps"] * (outputs - 1)
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "encoder",
            [helper.make_tensor_value_info("images", kind, shape)],
            [helper.make_tensor_value_info(name, kind, None) for name in names],
            [
                numpy_helper.from_array(weight.numpy().astype("float16" if half else "float32"), "weight"),
                numpy_helper.from_array(torch.tensor([2, 3]).numpy(), "axes"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    onnx.save(made, path)
    return str(path)


@pytest.fixture
def weight() -> Tensor:
    return torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(1))


SHAPES: dict[str, tuple[Shape, tuple[int, int] | None]] = {
    "free": (["n", 3, "h", "w"], None),
    "fixed size": (["n", 3, 16, 16], (16, 16)),
    "fixed batch": ([3, 3, 16, 16], (16, 16)),
    "one at a time": ([1, 3, 16, 16], (16, 16)),
    "larger batch": ([32, 3, "h", "w"], None),
    "channels last": (["n", 16, 16, 3], (16, 16)),
    "channels last, fixed batch": ([3, "h", "w", 3], None),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_graph_gives_its_features(tmp_path: Path, images: Tensor, weight: Tensor, name: str) -> None:
    shape, size = SHAPES[name]
    text = graph(tmp_path / "encoder.bin", weight, shape)
    opened = read(text)
    assert (opened.kind, opened.format, opened.content) == ("onnx", "ONNX graph", None)
    model = graphs.module(opened, text)
    assert model.size == size
    features = model(images)
    assert features.dtype == torch.float32
    wanted = nn.functional.conv2d(images, weight).mean((2, 3))
    assert torch.allclose(features, wanted, atol=1e-5, rtol=0)
    assert model.notes == ()


def test_half_precision_and_feature_maps(tmp_path: Path, images: Tensor, weight: Tensor) -> None:
    wanted = nn.functional.conv2d(images, weight).mean((2, 3))
    text = graph(tmp_path / "half.onnx", weight, ["n", 3, "h", "w"], half=True)
    assert torch.allclose(graphs.module(read(text), text)(images), wanted, atol=1e-2)
    text = graph(tmp_path / "maps.onnx", weight, ["n", 3, "h", "w"], pool=False)
    model = graphs.module(read(text), text)
    assert torch.allclose(model(images), wanted, atol=1e-5)
    assert model.notes == ("its 14x14 feature map is averaged over all places",)


def test_graphs_that_are_no_encoder_are_refused(tmp_path: Path, images: Tensor, weight: Tensor) -> None:
    text = graph(tmp_path / "two.onnx", weight, ["n", 3, "h", "w"], outputs=2)
    with pytest.raises(EncoderError, match="returns 2 things"):
        graphs.module(read(text), text)(images)
    text = graph(tmp_path / "grey.onnx", weight[:, :1].contiguous(), ["n", 1, 16, 16])
    with pytest.raises(UnreadableFile, match=r"takes images of shape \(n, 1, 16, 16\)"):
        graphs.module(read(text), text)
    text = graph(tmp_path / "fixed.onnx", weight, ["n", 3, 16, 16])
    with pytest.raises(EncoderError, match="takes images of 16x16 pixels, not 8x8"):
        graphs.module(read(text), text)(images[:, :, :8, :8])


def test_a_truncated_graph_is_named(tmp_path: Path, weight: Tensor) -> None:
    text = graph(tmp_path / "cut.onnx", weight, ["n", 3, 16, 16])
    whole = Path(text).read_bytes()
    Path(text).write_bytes(whole[:-100])
    with pytest.raises(UnreadableFile, match="is a truncated ONNX graph"):
        read(text)


def test_weights_that_lie_beside_the_graph_are_missed(tmp_path: Path, weight: Tensor) -> None:
    text = graph(tmp_path / "model.onnx", weight, ["n", 3, "h", "w"])
    whole = onnx.load(text)
    onnx.save(whole, text, save_as_external_data=True, location="model.onnx.data", size_threshold=500)
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(UnreadableFile, match=r"does not open: .*External data path does not exist"):
        graphs.module(read(text), text)


def test_without_onnxruntime_there_is_a_line_to_paste(
    tmp_path: Path, weight: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = graph(tmp_path / "model.onnx", weight, ["n", 3, "h", "w"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EncoderError) as caught:
        graphs.module(read(text), text)
    assert str(caught.value).splitlines()[-1].strip() == "pip install 'sslaudit[onnx]'"
