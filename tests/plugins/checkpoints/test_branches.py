"""Which backbone is taken when a file holds several, and that nothing is guessed in silence."""

from argparse import Namespace
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from sslaudit import load_encoder
from sslaudit.errors import WeightsMismatch

State = dict[str, Tensor]


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def moved(state: State) -> State:
    return {name: t * 1.5 if t.is_floating_point() else t for name, t in state.items()}


@pytest.fixture(scope="module")
def wanted(resnet18: nn.Module) -> State:
    return resnet18.state_dict()


@pytest.fixture(scope="module")
def other(wanted: State) -> State:
    return moved(wanted)


LAYOUTS = {
    "DINO: the teacher": lambda a, b: (
        {
            "student": under("module.backbone.", b),
            "teacher": under("backbone.", a),
            "args": Namespace(arch="resnet18"),
        },
        "teacher",
        "student",
    ),
    "MoCo: the query encoder": lambda a, b: (
        {"state_dict": under("module.encoder_k.", b) | under("module.encoder_q.", a)},
        "encoder_q",
        "encoder_k",
    ),
    "MoCo v3: the base encoder": lambda a, b: (
        {"state_dict": under("module.momentum_encoder.", b) | under("module.base_encoder.", a)},
        "base_encoder",
        "momentum_encoder",
    ),
    "BYOL: the online network": lambda a, b: (
        {"target_network_state_dict": b, "online_network_state_dict": a},
        "online_network_state_dict",
        "target_network_state_dict",
    ),
    "timm: the moving average": lambda a, b: (
        {"state_dict": b, "state_dict_ema": a, "epoch": 3},
        "state_dict_ema",
        "state_dict",
    ),
    "solo-learn: not the momentum backbone": lambda a, b: (
        {"state_dict": under("momentum_backbone.", b) | under("backbone.", a)},
        "backbone",
        "momentum_backbone",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_usual_one_is_taken_and_the_other_can_be(
    loads, resnet18: nn.Module, images: Tensor, wanted: State, other: State, layout: str
) -> None:
    content, taken, left = LAYOUTS[layout](wanted, other)
    encoder = loads(content, resnet18, images)
    assert taken in f"{encoder.load.branch}.{encoder.load.prefix}"
    assert len(encoder.load.others) == 1
    assert f"key={left}" in encoder.load.others[0]
    second = load_encoder(f"file,key={left}:{encoder.ref}")
    assert torch.equal(second.module.state_dict()["conv1.weight"], other["conv1.weight"])
    assert second.digest != encoder.digest


def test_copies_of_the_same_tensors_are_one(
    loads, resnet18: nn.Module, images: Tensor, wanted: State, other: State
) -> None:
    """lucidrains/byol-pytorch stores the net twice and a target: ``net``, ``online_encoder.net``."""
    content = (
        under("net.", wanted) | under("online_encoder.net.", wanted) | under("target_encoder.net.", other)
    )
    encoder = loads(content, resnet18, images)
    assert not any(part.startswith("online_encoder") for part in encoder.load.ignored)


def test_two_that_nothing_tells_apart_are_refused(tmp_path: Path, wanted: State, other: State) -> None:
    torch.save({"a": wanted, "b": other}, tmp_path / "m.pth")
    with pytest.raises(WeightsMismatch, match="more than one complete backbone") as caught:
        load_encoder(str(tmp_path / "m.pth"))
    assert f"file,key=b:{tmp_path / 'm.pth'}" in str(caught.value)


def test_a_key_that_is_not_there_names_those_that_are(tmp_path: Path, wanted: State) -> None:
    torch.save({"teacher": wanted, "epoch": 1}, tmp_path / "m.pth")
    with pytest.raises(WeightsMismatch, match=r"no part 'ema' with tensors; it has: 'teacher'"):
        load_encoder(f"file,key=ema:{tmp_path / 'm.pth'}")


def test_containers_of_any_depth(loads, resnet18: nn.Module, images: Tensor, wanted: State) -> None:
    content: object = under("module._orig_mod.backbone.", wanted)
    for key in ("trunk", "model", "base_model", "classy_state_dict", "inner", "outer", "checkpoint"):
        content = {key: content, "epoch": 1}
    encoder = loads(content, resnet18, images)
    assert encoder.load.branch == "checkpoint.outer.inner.classy_state_dict.base_model.model.trunk"
    assert encoder.load.prefix == "module._orig_mod.backbone."


def test_wrappers_inside_the_names(loads, resnet18: nn.Module, images: Tensor, wanted: State) -> None:
    content = {
        name.replace("layer2.", "layer2._fsdp_wrapped_module.").replace("conv1.", "_orig_mod.conv1."): tensor
        for name, tensor in under("teacher.backbone._fsdp_wrapped_module.", wanted).items()
    }
    encoder = loads({"model": content}, resnet18, images)
    assert encoder.load.renamed == (
        "the wrapper '_fsdp_wrapped_module' is taken out of the names",
        "the wrapper '_orig_mod' is taken out of the names",
    )


def test_a_flattened_shard_says_what_to_do(tmp_path: Path) -> None:
    torch.save(
        {"model": {"teacher.backbone._fsdp_wrapped_module._flat_param": torch.zeros(9)}}, tmp_path / "r.pth"
    )
    with pytest.raises(WeightsMismatch, match=r"flattened FSDP shard .*[Cc]onsolidate"):
        load_encoder(str(tmp_path / "r.pth"))


def test_a_prefix_may_be_given_with_or_without_its_wrapper(
    loads, resnet18: nn.Module, images: Tensor, wanted: State, other: State
) -> None:
    content = {"state_dict": under("module.left.", wanted) | under("module.right.", other)}
    for prefix in ("module.left", "left", "left."):
        loads(content, resnet18, images, options=f",prefix={prefix}")
    with pytest.raises(WeightsMismatch, match=r"no backbone behind 'up'; it has: 'state_dict.module.left'"):
        loads(content, resnet18, images, options=",prefix=up")


def test_containers_that_share_and_hold_themselves(
    loads, resnet18: nn.Module, images: Tensor, wanted: State
) -> None:
    """Read in a naive way, forty levels that each hold the next one twice never end."""
    inner: dict[str, object] = {"epoch": 1}
    for _ in range(40):
        inner = {"a": inner, "b": inner}
    inner["again"] = inner
    loads({"meta": inner, "state_dict": wanted}, resnet18, images)


def test_what_no_tensor_shows_is_part_of_the_digest(tmp_path: Path) -> None:
    """Features are kept by digest: two readings of one file must never share them."""
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=0)
    torch.save(net.state_dict(), tmp_path / "vit.pt")
    digests = {load_encoder(f"file,depth=1,heads={heads}:{tmp_path / 'vit.pt'}").digest for heads in (3, 6)}
    assert len(digests) == 2
