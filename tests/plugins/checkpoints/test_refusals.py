"""What a user reads when weights do not load: counts, names, what to try; and what a part is worth."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from sslaudit import load_encoder
from sslaudit.errors import RefError, WeightsMismatch


def refused(path: Path, content: object, options: str = "") -> str:
    torch.save(content, path)
    with pytest.raises(WeightsMismatch) as caught:
        load_encoder(f"file{options}:{path}")
    said = str(caught.value)
    assert str(path) in said
    assert len(said.splitlines()) <= 10
    return said


def test_unknown_names_are_counted_against_the_stated_architecture(tmp_path: Path) -> None:
    content = {"arch": "resnet18", "state_dict": {f"net.block{i}.w": torch.zeros(8, 8) for i in range(60)}}
    said = refused(tmp_path / "m.pth", content)
    assert "matched 0 of 120 tensors of resnet18" in said
    assert "missing: conv1.weight, bn1.weight, bn1.bias and 117 more" in said
    assert "in the file: net.block0.w, net.block1.w, net.block2.w and 57 more" in said
    assert "arch=" in said
    assert "prefix=" in said


def test_unknown_names_without_a_stated_architecture(tmp_path: Path) -> None:
    said = refused(tmp_path / "m.pth", {f"net.block{i}.w": torch.zeros(8, 8) for i in range(60)})
    assert "matched 0 of its 60 tensors to an architecture known here" in said


@pytest.mark.parametrize("dropped", ["conv1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.running_var"])
def test_any_missing_tensor_is_counted(tmp_path: Path, resnet18: nn.Module, dropped: str) -> None:
    state = {k: v for k, v in resnet18.state_dict().items() if k != dropped}
    said = refused(tmp_path / "m.pth", {"state_dict": {f"backbone.{k}": v for k, v in state.items()}})
    assert "matched 119 of 120 tensors of resnet18 after removing 'backbone.'" in said
    assert f"missing: {dropped}" in said


def test_the_tensors_win_over_what_the_user_states(tmp_path: Path, resnet18: nn.Module) -> None:
    said = refused(tmp_path / "m.pth", resnet18.state_dict(), ",arch=resnet50")
    assert "tensors of resnet50" in said
    assert "The tensors fit resnet18: write arch=resnet18, or leave arch= out." in said


def test_the_tensors_win_over_what_the_file_states(loads, resnet18: nn.Module, images: Tensor) -> None:
    encoder = loads({"arch": "resnet50", "state_dict": resnet18.state_dict()}, resnet18, images)
    assert encoder.name == "resnet18"
    said = "the file says resnet50, its tensors fit resnet18: the tensors are believed"
    assert said in encoder.load.assumptions


def test_a_stated_architecture_must_exist(tmp_path: Path, resnet18: nn.Module) -> None:
    torch.save(resnet18.state_dict(), tmp_path / "m.pt")
    with pytest.raises(RefError, match=r"arch=resnet19 .* Did you mean"):
        load_encoder(f"file,arch=resnet19:{tmp_path / 'm.pt'}")


def test_a_torchvision_model_by_name(loads, telling, images: Tensor) -> None:
    model = telling(torchvision.models.densenet121(weights=None))
    state = model.state_dict()
    model.classifier = nn.Identity()
    encoder = loads(state, model, images, options=",arch=torchvision:densenet121")
    assert (encoder.name, encoder.dim) == ("torchvision:densenet121", 1024)


def test_a_part_loads_only_when_allowed_and_says_what_is_fresh(tmp_path: Path, resnet18: nn.Module) -> None:
    state = dict(resnet18.state_dict())
    del state["layer3.1.bn2.weight"]
    said = refused(tmp_path / "m.pth", state)
    assert "matched 119 of 120" in said
    encoder = load_encoder(f"file,allow-partial=yes:{tmp_path / 'm.pth'}")
    assert (encoder.load.matched, encoder.load.expected) == (119, 120)
    assert encoder.load.missing == ("layer3.1.bn2.weight",)
    again = load_encoder(f"file,allow-partial=yes:{tmp_path / 'm.pth'}")
    assert encoder.digest == again.digest
    assert torch.equal(encoder.module.state_dict()["conv1.weight"], state["conv1.weight"])


def test_nothing_at_all_is_no_part(tmp_path: Path) -> None:
    content = {"arch": "resnet18", "state_dict": {"w": torch.zeros(8)}}
    assert "matched 0 of 120" in refused(tmp_path / "m.pth", content, ",allow-partial=yes")


@pytest.mark.parametrize(
    ("name", "value"), [("layer2.1.bn2.weight", float("nan")), ("layer1.0.bn1.running_var", float("inf"))]
)
def test_weights_that_are_not_finite_are_named(
    tmp_path: Path, resnet18: nn.Module, name: str, value: float
) -> None:
    state = {k: v.clone() for k, v in resnet18.state_dict().items()}
    state[name].view(-1)[3] = value
    assert f"'{name}' hold NaN or infinity" in refused(tmp_path / "m.pth", state)


def test_integers_are_no_weights(tmp_path: Path, resnet18: nn.Module) -> None:
    state = {**resnet18.state_dict(), "conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.int8)}
    assert "'conv1.weight' are stored as int8" in refused(tmp_path / "m.pth", state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_named_and_computed_in_float32(
    tmp_path: Path, resnet18: nn.Module, dtype: torch.dtype
) -> None:
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in resnet18.state_dict().items()}
    torch.save(state, tmp_path / "m.pt")
    encoder = load_encoder(str(tmp_path / "m.pt"))
    name = str(dtype).removeprefix("torch.")
    assert f"weights stored as {name}, computed in float32" in encoder.load.assumptions
    for key, tensor in encoder.module.state_dict().items():
        assert torch.equal(tensor, state[key].float() if tensor.is_floating_point() else state[key])


def test_tied_and_overlapping_storage(loads, resnet18: nn.Module, images: Tensor) -> None:
    """Views into one buffer, as FSDP and fused optimisers leave them, and one tensor under two names."""
    state = {k: v for k, v in resnet18.state_dict().items() if v.is_floating_point()}
    buffer = torch.cat([v.flatten() for v in state.values()])
    views, start = {}, 0
    for name, tensor in state.items():
        views[name] = buffer[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    loads({"state_dict": views, "model": dict(views)}, resnet18, images)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("base_model.model.encoder.layer.0.query.lora_A.weight", "merge_and_unload"),
        ("conv1.weight_mask", "prune.remove"),
        ("blocks.0.parametrizations.weight.original0", "remove the parametrisations"),
        ("visual.transformer.resblocks.0.attn.in_proj_weight", "timm:vit_base_patch32_clip_224.openai"),
        ("model.backbone.bottom_up.res2.0.conv1.weight", "detectron2"),
    ],
)
def test_names_that_give_away_what_to_do(tmp_path: Path, name: str, said: str) -> None:
    assert said in refused(tmp_path / "m.pth", {name: torch.ones(3, 3)})


def test_a_negative_variance_is_no_variance(tmp_path: Path, resnet18: nn.Module) -> None:
    state = {k: v.clone() for k, v in resnet18.state_dict().items()}
    state["bn1.running_var"][5] = -0.1
    assert "the variances 'bn1.running_var' are negative" in refused(tmp_path / "m.pth", state)


def test_a_hint_can_be_pasted(tmp_path: Path, resnet18: nn.Module) -> None:
    state = {k: v for k, v in resnet18.state_dict().items() if k != "bn1.weight"}
    hint = next(line for line in refused(tmp_path / "m.pth", state).splitlines() if "allow-partial" in line)
    assert load_encoder(hint.rpartition(": ")[2]).load.missing == ("bn1.weight",)


def test_the_scheme_and_the_layout_disagree(loads, resnet18: nn.Module, images: Tensor) -> None:
    content = {f"module.encoder_q.{k}": v for k, v in resnet18.state_dict().items()}
    content |= {
        "module.encoder_q.fc.0.weight": torch.ones(8, 512),
        "module.encoder_q.fc.2.weight": torch.ones(4, 8),
    }
    content |= {"module.queue": torch.ones(4, 9), "module.queue_ptr": torch.zeros(1)}
    content |= {f"module.encoder_k.{k}": v * 2 for k, v in resnet18.state_dict().items()}
    encoder = loads({"state_dict": content, "arch": "resnet18"}, resnet18, images, scheme="dino")
    assert encoder.facts["method"] == "moco"
    said = "the scheme says dino, the file has the layout of MoCo v2: the layout is believed"
    assert said in encoder.load.assumptions
