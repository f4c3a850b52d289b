"""Strict loading: all backbone tensors or a refusal, tensor by tensor against the model that was saved."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from sslaudit import load_encoder
from sslaudit.errors import RefError, UsageError, WeightsMismatch
from sslaudit.loading import load_untrained


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    """A ResNet-18 with running statistics that differ from their start."""
    torch.manual_seed(7)
    model = torchvision.models.resnet18(weights=None)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    model.fc = nn.Identity()
    return model.eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def save(path: Path, content: object) -> str:
    torch.save(content, path)
    return str(path)


HEADS = {
    "plain with its classifier": lambda s: {
        **s,
        "fc.weight": torch.zeros(10, 512),
        "fc.bias": torch.zeros(10),
    },
    "DataParallel": lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}, "epoch": 3},
    "SimSiam": lambda s: {
        "arch": "resnet18",
        "state_dict": {
            **{f"module.encoder.{k}": v for k, v in s.items()},
            "module.encoder.fc.0.weight": torch.zeros(8, 512),
            "module.predictor.0.weight": torch.zeros(8, 8),
        },
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
    },
    "Lightning": lambda s: {
        "state_dict": {
            **{f"backbone.{k}": v for k, v in s.items()},
            "projection_head.0.weight": torch.ones(2, 512),
        },
        "hyper_parameters": {"lr": 0.1},
    },
    "half precision": lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()},
}


@pytest.mark.parametrize("layout", HEADS)
def test_every_layout_embeds_like_the_model_that_was_saved(
    tmp_path: Path, resnet: nn.Module, images: Tensor, layout: str
) -> None:
    encoder = load_encoder(save(tmp_path / "m.pth", HEADS[layout](resnet.state_dict())))
    with torch.inference_mode():
        expected, got = resnet(images), encoder.embed(images)
    tolerance = 2e-2 if layout == "half precision" else 0
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)
    assert (encoder.load.matched, encoder.load.expected, encoder.dim) == (120, 120, 512)
    assert encoder.name == "resnet18"


def test_prefix_and_heads_are_named(tmp_path: Path, resnet: nn.Module) -> None:
    encoder = load_encoder(save(tmp_path / "m.pth", HEADS["SimSiam"](resnet.state_dict())))
    assert encoder.load.prefix == "module.encoder."
    assert encoder.load.ignored == ("encoder.fc (1 tensor)", "predictor (1 tensor)", "optimizer")
    assert any("ImageNet mean and std" in assumption for assumption in encoder.load.assumptions)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "layer3.1.bn2.weight"}, "matched 119 of 120"),
        (
            lambda s: {**s, "conv1.weight": torch.zeros(48, 3, 7, 7)},
            "conv1.weight: (48, 3, 7, 7) in the file, (64, 3, 7, 7) wanted",
        ),
        (lambda s: {f"x{k}": v for k, v in s.items()}, "matched 0 of"),
        (lambda s: {**s, "conv1.weight": torch.zeros(64, 4, 7, 7)}, "takes 4 channels"),
        (lambda s: {k.lstrip("conv"): v for k, v in s.items()}, "matched 119 of 120"),
        (
            lambda s: {**s, "layer1.0.bn1.bias": torch.full((64,), float("nan"))},
            "'layer1.0.bn1.bias' hold NaN",
        ),
    ],
)
def test_anything_less_than_all_is_refused(tmp_path: Path, resnet: nn.Module, damage, said: str) -> None:
    ref = save(tmp_path / "m.pth", damage(resnet.state_dict()))
    with pytest.raises(WeightsMismatch) as caught:
        load_encoder(ref)
    assert said in str(caught.value)
    assert ref in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 10


def test_the_tensors_win_over_a_stated_architecture(tmp_path: Path) -> None:
    """A ResNet-34 holds every tensor of a ResNet-18 and must not pass for one."""
    state = torchvision.models.resnet34(weights=None).state_dict()
    path = save(tmp_path / "m.pth", state)
    assert load_encoder(path).name == "resnet34"
    with pytest.raises(WeightsMismatch, match=r"too many: layer1\.2"):
        load_encoder(f"file,arch=resnet18:{path}")


def test_cifar_stem_is_told_by_the_shape(tmp_path: Path) -> None:
    model = torchvision.models.resnet18(weights=None)
    model.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    model.maxpool = nn.Identity()
    model.fc = nn.Identity()
    encoder = load_encoder(save(tmp_path / "m.pth", model.state_dict()))
    small = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(small), model.eval()(small))
    assert encoder.preprocess.size == (32, 32)
    assert any("CIFAR stem" in assumption for assumption in encoder.load.assumptions)


def test_two_backbones_in_one_file_are_not_guessed_between(tmp_path: Path, resnet: nn.Module) -> None:
    state = resnet.state_dict()
    other = {k: v + 1 for k, v in state.items()}
    path = save(tmp_path / "m.pth", {"left": state, "right": other})
    with pytest.raises(WeightsMismatch, match="more than one complete backbone") as caught:
        load_encoder(path)
    assert f"file,key=right:{path}" in str(caught.value)
    right = load_encoder(f"file,key=right:{path}")
    assert torch.equal(right.module.state_dict()["conv1.weight"], other["conv1.weight"])
    assert right.digest != load_encoder(f"file,key=left:{path}").digest


def test_options_are_checked(tmp_path: Path, resnet: nn.Module) -> None:
    path = save(tmp_path / "m.pth", resnet.state_dict())
    with pytest.raises(UsageError, match="no option 'archh'"):
        load_encoder(f"file,archh=resnet18:{path}")
    with pytest.raises(UsageError, match="neither N nor HEIGHTxWIDTH"):
        load_encoder(f"file,size=big:{path}")
    with pytest.raises(RefError, match="Did you mean 'resnet18'"):
        load_encoder(f"file,arch=resnet19:{path}")
    assert load_encoder(f"file,size=96:{path}").preprocess.size == (96, 96)


def test_the_untrained_copy_is_the_architecture_with_seeded_weights(
    tmp_path: Path, resnet: nn.Module
) -> None:
    path = save(tmp_path / "m.pth", resnet.state_dict())
    before = torch.random.get_rng_state()
    first, again, other = (load_untrained(path, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.digest == again.digest != other.digest
    assert first.dim == 512
    assert first.preprocess == load_encoder(path).preprocess
    assert load_encoder(f"untrained,seed=3:{path}").digest == first.digest


def test_timm_architecture_by_name(tmp_path: Path, images: Tensor) -> None:
    import timm

    torch.manual_seed(1)
    model = timm.create_model("mobilenetv2_050", pretrained=False).eval()
    path = save(tmp_path / "m.bin", {f"backbone.{k}": v for k, v in model.state_dict().items()})
    encoder = load_encoder(f"file,arch=timm:mobilenetv2_050:{path}")
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(images), pre_logits=True)
        torch.testing.assert_close(encoder.embed(images), expected)
    assert encoder.preprocess.source == "assumed: timm's record of the architecture"
    assert encoder.load.ignored == ("backbone.classifier (2 tensors)",)
