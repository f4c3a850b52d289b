"""Files that would load without a word and score something else than their encoder."""

from argparse import Namespace
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from sslaudit import load_encoder
from sslaudit.errors import UnreadableFile, WeightsMismatch

State = dict[str, Tensor]


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def refused(tmp_path: Path, content: object, said: str, options: str = "") -> None:
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(WeightsMismatch, match=said) as caught:
        load_encoder(f"file{options}:{tmp_path / 'm.pth'}")
    assert len(str(caught.value).splitlines()) <= 10


@pytest.fixture(scope="module")
def vit() -> State:
    return timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()


NETS = {
    "resnet": (lambda: torchvision.models.resnet18(weights=None), "layer4.1.", "depth=2-2-2-1"),
    "vit": (lambda: timm.create_model("vit_tiny_patch16_224"), "blocks.11.", "depth=11"),
    "convnext": (lambda: timm.create_model("convnext_atto"), "stages.3.blocks.1.", "depth=2-2-6-1"),
    "swin": (
        lambda: timm.create_model("swin_tiny_patch4_window7_224"),
        "layers.3.blocks.1.",
        "depth=2-2-6-1",
    ),
}


@pytest.mark.parametrize("family", NETS)
def test_a_net_that_lost_its_last_block(tmp_path: Path, family: str) -> None:
    """It is a complete net of one block less: only the depth shows it, which nobody published."""
    build, lost, option = NETS[family]
    state = {k: v for k, v in build().state_dict().items() if not k.startswith(lost)}
    refused(tmp_path, state, f"Blocks may be missing[\\s\\S]*file,{option}:")
    load_encoder(f"file,{option}:{tmp_path / 'm.pth'}")


def test_the_evaluated_branch_is_damaged_and_the_other_is_not(tmp_path: Path, resnet18: nn.Module) -> None:
    state = resnet18.state_dict()
    damaged = {k: v for k, v in state.items() if not k.startswith("layer4.1.")}
    refused(
        tmp_path, under("momentum_encoder.", state) | under("encoder.", damaged), "more than one|Blocks may"
    )


def test_a_whole_key_encoder_does_not_stand_in_for_a_damaged_query_encoder(
    tmp_path: Path, resnet18: nn.Module
) -> None:
    """One tensor lost in the branch that is evaluated: the momentum branch is whole, and not the one."""
    state = resnet18.state_dict()
    damaged = {k: v for k, v in state.items() if k != "layer2.0.bn1.weight"}
    content = {"state_dict": under("module.encoder_q.", damaged) | under("module.encoder_k.", state)}
    refused(tmp_path, content, r"matched 119 of 120[\s\S]*if it is meant, say so: key=encoder_k")
    assert load_encoder(f"file,key=encoder_k:{tmp_path / 'm.pth'}").load.prefix == "module.encoder_k."


def test_a_damaged_key_encoder_costs_nothing(loads, resnet18: nn.Module, images: Tensor) -> None:
    state = resnet18.state_dict()
    damaged = {k: v for k, v in state.items() if k != "layer2.0.bn1.weight"}
    loads({"state_dict": under("encoder_k.", damaged) | under("encoder_q.", state)}, resnet18, images)


def test_a_part_of_another_net_than_stated_is_refused(tmp_path: Path, resnet18: nn.Module) -> None:
    state = {k: v for k, v in resnet18.state_dict().items() if k != "bn1.weight"}
    refused(tmp_path, state, "The tensors fit resnet18", ",arch=resnet50,allow-partial=yes")


def test_a_distilled_student_beside_its_teacher(tmp_path: Path, resnet18: nn.Module) -> None:
    teacher = torchvision.models.resnet34(weights=None).state_dict()
    refused(
        tmp_path, {"student": resnet18.state_dict(), "teacher": teacher}, "more than one complete backbone"
    )
    assert load_encoder(f"file,key=student:{tmp_path / 'm.pth'}").name == "resnet18"


def test_a_network_of_the_loss_is_no_encoder(tmp_path: Path, resnet18: nn.Module) -> None:
    unknown = {f"encoder.down.{i}.weight": torch.ones(4, 4, 3, 3) for i in range(12)}
    refused(tmp_path, unknown | under("perceptual_loss.net.", resnet18.state_dict()), "seems to serve a loss")
    assert load_encoder(f"file,prefix=perceptual_loss.net:{tmp_path / 'm.pth'}").name == "resnet18"


@pytest.mark.parametrize("name", ["tf_efficientnet_b0", "efficientnet_lite0", "resnetaa50"])
def test_a_timm_name_in_the_file_decides_between_nets_of_equal_shapes(
    loads, telling, images: Tensor, name: str
) -> None:
    net = telling(timm.create_model(name, num_classes=0))
    encoder = loads({"arch": name, "version": 2, "state_dict": net.state_dict()}, net, images)
    assert f"architecture timm:{name}, as the file says" in encoder.load.assumptions


def test_the_first_small_vit_of_timm_is_named(tmp_path: Path) -> None:
    net = timm.models.VisionTransformer(
        embed_dim=768, depth=8, num_heads=8, mlp_ratio=3.0, qkv_bias=False, num_classes=0
    )
    refused(tmp_path, net.state_dict(), "first vit_small of timm")


@pytest.mark.parametrize(
    "where", [{"args": Namespace(num_heads=12)}, {"hyper_parameters": {"num_heads": 12}}]
)
def test_heads_that_the_file_names_are_taken(loads, telling, where: dict[str, object]) -> None:
    net = telling(timm.create_model("vit_tiny_patch16_224", num_classes=0, num_heads=12))
    image = torch.randn(1, 3, 224, 224)
    assert loads({"state_dict": net.state_dict(), **where}, net, image).facts["heads"] == "12"


@pytest.mark.parametrize(
    "extra",
    ["prompt_embeddings", "deep_prompt_embeddings", "ln_pre.weight", "pre_norm.weight", "time_embed.weight"],
)
def test_what_acts_in_the_forward_pass_is_not_left_out(tmp_path: Path, vit: State, extra: str) -> None:
    refused(tmp_path, {**vit, extra: torch.ones(1, 5, 192)}, f"too many: {extra}")


def test_a_name_with_optim_in_it_is_no_optimizer(
    loads, tmp_path: Path, resnet18: nn.Module, images: Tensor
) -> None:
    state = resnet18.state_dict()
    loads({"optimal_model": state, "optimizer": {"state": {}, "param_groups": []}}, resnet18, images)
    other = {k: v * 2 if v.is_floating_point() else v for k, v in state.items()}
    refused(tmp_path, {"optimized_state_dict": state, "last": other}, "more than one complete backbone")


@pytest.mark.parametrize("keys", [{0: "weights"}, {b"model": "weights"}])
def test_keys_need_not_be_text(loads, resnet18: nn.Module, images: Tensor, keys: dict[object, str]) -> None:
    loads({key: resnet18.state_dict() for key in keys}, resnet18, images)


def test_a_bare_copy_beside_a_wrapped_one_can_be_taken(tmp_path: Path, resnet18: nn.Module) -> None:
    state = resnet18.state_dict()
    other = {k: v * 2 if v.is_floating_point() else v for k, v in state.items()}
    refused(tmp_path, state | under("module.", other), "file,prefix=:")
    path = tmp_path / "m.pth"
    bare, wrapped = load_encoder(f"file,prefix=:{path}"), load_encoder(f"file,key=module:{path}")
    assert torch.equal(bare.module.state_dict()["conv1.weight"], state["conv1.weight"])
    assert torch.equal(wrapped.module.state_dict()["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize("hole", ["zeros", "nan"])
def test_a_hole_in_the_file_is_damage(tmp_path: Path, resnet18: nn.Module, hole: str) -> None:
    """A download that was given its room and never its bytes: finite or not, it is not what was saved."""
    path = tmp_path / "m.pth"
    torch.save(resnet18.state_dict(), path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40_000] = bytes(40_000) if hole == "zeros" else b"\xff" * 40_000
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="does not have its checksum"):
        load_encoder(str(path))
