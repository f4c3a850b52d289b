"""Files of refined encoders on top of networks that are no modules, and of bases that would run code."""

import dataclasses
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from sslaudit import load_dataset, load_encoder
from sslaudit.data import Dataset, subset
from sslaudit.errors import UnsafeFile
from sslaudit.refs import EncoderRef
from sslaudit.specs import MethodSpec
from sslaudit.train.refinement import Learned, Task, refine


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(load_dataset("digits"), max_images=40)


def drawn(task: Task) -> Learned:
    task.altered.embedded(None, task.images)
    return Learned(head=nn.Sequential(nn.Linear(task.dim, 2), nn.Tanh()), labelled=0, results={})


METHOD = MethodSpec(name="drawn", summary="", source="", refine=drawn)


def test_an_onnx_graph_can_be_the_base(tmp_path: Path, digits: Dataset) -> None:
    """The graph gives the mean of each channel."""
    shape = ["n", 3, 8, 8]
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["maps"]),
            helper.make_node("Flatten", ["maps"], ["h"]),
        ],
        "encoder",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("h", TensorProto.FLOAT, None)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(made, tmp_path / "mean.onnx")
    refine(METHOD, EncoderRef.parse(str(tmp_path / "mean.onnx")), digits, output=tmp_path / "x.pt")
    encoder = load_encoder(tmp_path / "x.pt")
    head = torch.load(tmp_path / "x.pt", weights_only=True)["head"]
    images = torch.randn(5, 3, 8, 8)
    expected = torch.tanh(images.mean((2, 3)) @ head["0.weight"].T + head["0.bias"])
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(images), expected)
    assert (encoder.dim, encoder.module, encoder.parameters) == (2, None, 8)
    assert encoder.differentiable is False
    assert (encoder.load.matched, encoder.load.expected) == (2, 2)


class Odd:
    """Only running code could make one."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code of the file ran",)


def test_a_header_cannot_ask_for_trust(
    tmp_path: Path, digits: Dataset, resnet18: nn.Module, images: Tensor, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": resnet18.state_dict(), "odd": Odd()}, tmp_path / "odd.pt")
    trusted = EncoderRef.parse(f"file,trust-pickle=yes,size=32:{tmp_path / 'odd.pt'}")
    few = dataclasses.replace(digits, train=digits.train[:4])
    header = refine(METHOD, trusted, few, output=tmp_path / "x.pt")
    assert header.base == "file,size=32:./odd.pt"
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    content["sslaudit_refined"]["base"] = "file,trust-pickle=yes,size=32:./odd.pt"
    torch.save(content, tmp_path / "x.pt")
    capfd.readouterr()
    with pytest.raises(UnsafeFile, match="the encoder below"):
        load_encoder(tmp_path / "x.pt")
    assert "code of the file ran" not in "".join(capfd.readouterr())
    encoder = load_encoder(f"file,trust-pickle=yes:{tmp_path / 'x.pt'}")
    assert "code of the file ran" in "".join(capfd.readouterr())
    with torch.inference_mode():
        assert encoder.embed(images).shape == (2, 2)
