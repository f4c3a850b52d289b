"""ResNets from names and shapes: depth, width, groups, stem, channels, and what no tensor shows."""

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from sslaudit import load_encoder
from sslaudit.errors import WeightsMismatch


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "resnet101"])
def test_torchvision_by_shapes(loads, telling, images: Tensor, name: str) -> None:
    model = telling(torchvision.models.get_model(name, weights=None))
    state = model.state_dict()
    model.fc = nn.Identity()
    encoder = loads(state, model, images)
    assert encoder.name == name
    assert encoder.load.ignored == ("fc (2 tensors)",)


@pytest.mark.parametrize(("name", "called"), [("resnet50d", "resnet50d"), ("seresnet50", "seresnet50")])
def test_timm_by_shapes(loads, telling, images: Tensor, name: str, called: str) -> None:
    model = telling(timm.create_model(name, num_classes=0))
    assert loads(model.state_dict(), model, images).name == called


class Doubled(torchvision.models.ResNet):
    """Every number of channels times two, as SwAV's and SimCLR's ResNet-50 (2x)."""

    def _make_layer(self, block, planes, *args, **kwargs):
        if planes == 64:
            self.inplanes = 128
        return super()._make_layer(block, 2 * planes, *args, **kwargs)


def doubled(block: type, layers: list[int]) -> nn.Module:
    model = Doubled(block, layers)
    model.conv1 = nn.Conv2d(3, 128, 7, stride=2, padding=3, bias=False)
    model.bn1 = nn.BatchNorm2d(128)
    model.fc = nn.Identity()
    return model


def test_published_widths_are_told_from_the_shapes(loads, telling, images: Tensor) -> None:
    model = telling(doubled(torchvision.models.resnet.Bottleneck, [3, 4, 6, 3]))
    encoder = loads(model.state_dict(), model, images)
    assert (encoder.name, encoder.dim) == ("resnet50w2", 4096)


def test_a_width_that_nobody_published_must_be_said(loads, telling, images: Tensor, tmp_path: Path) -> None:
    model = telling(doubled(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2]))
    torch.save({"arch": "resnet18", "state_dict": model.state_dict()}, tmp_path / "wide.pth")
    with pytest.raises(WeightsMismatch) as caught:
        load_encoder(str(tmp_path / "wide.pth"))
    said = str(caught.value)
    assert "conv1.weight has 128 channels, resnet18 has 64" in said
    assert "arch=resnet18w2" in said
    assert len(said.splitlines()) <= 10
    assert loads(model.state_dict(), model, images, options=",arch=resnet18w2").name == "resnet18w2"


def cifar(padding: int = 1) -> nn.Module:
    model = torchvision.models.resnet18(weights=None)
    model.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=padding, bias=False)
    model.maxpool = nn.Identity()
    model.fc = nn.Identity()
    return model


def test_the_cifar_stem_has_no_max_pool(loads, telling) -> None:
    model, small = telling(cifar()), torch.randn(2, 3, 32, 32)
    encoder = loads({"state_dict": model.state_dict()}, model, small)
    assert encoder.preprocess.size == (32, 32)
    assert "CIFAR stem (3x3 conv1, no max-pool) assumed from conv1 shape" in encoder.load.assumptions
    model.maxpool = nn.MaxPool2d(3, 2, 1)
    with torch.inference_mode():
        assert (encoder.embed(small) - model(small)).abs().max() > 0.1


def test_lightning_bolts_says_whether_the_max_pool_stays(loads, telling) -> None:
    """pl_bolts/models/self_supervised/resnets.py: first_conv and maxpool1 are chosen apart."""
    model, small = cifar(), torch.randn(2, 3, 32, 32)
    model.maxpool = nn.MaxPool2d(3, 2, 1)
    content = {
        "state_dict": {f"encoder.{k}": v for k, v in telling(model).state_dict().items()},
        "hyper_parameters": {"first_conv": False, "maxpool1": True},
    }
    assert loads(content, model, small).facts["stem"].endswith("(CIFAR stem), max-pool")


def test_one_input_channel_takes_gray(loads, telling, images: Tensor) -> None:
    model = torchvision.models.resnet18(weights=None)
    model.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    model.fc = nn.Identity()
    telling(model)
    luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)

    class Gray(nn.Module):
        def forward(self, rgb: Tensor) -> Tensor:
            return model((rgb * luma).sum(1, keepdim=True))

    encoder = loads(model.state_dict(), Gray(), images)
    assert "conv1 takes one channel: images are turned to gray" in encoder.load.assumptions


def test_positions_in_sequential(loads, resnet18: nn.Module, images: Tensor) -> None:
    """lightly and sthalles/PyTorch-BYOL: nn.Sequential(*list(resnet.children())[:-1])."""
    whole = nn.Sequential(*list(resnet18.children())[:-1], nn.Flatten())
    encoder = loads(
        {"state_dict": {f"backbone.{k}": v for k, v in whole.state_dict().items()}}, whole, images
    )
    assert encoder.name == "resnet18"
    assert "4 is layer1" in encoder.load.renamed[0]


def test_positions_without_max_pool_are_the_cifar_stem(loads, telling) -> None:
    """leftthomas/SimCLR model.py: the max-pool is left out, so that the stages are 3 to 6."""
    parts = [part for part in cifar().children() if not isinstance(part, nn.Identity)]
    model, small = telling(nn.Sequential(*parts, nn.Flatten())), torch.randn(2, 3, 32, 32)
    encoder = loads({f"f.{k}": v for k, v in model.state_dict().items()}, model, small)
    assert encoder.name == "resnet18, CIFAR stem"


def test_positions_without_relu(loads, telling) -> None:
    """lightly's ResNetGenerator in a Sequential: the ReLU of the stem was in forward, and is lost."""
    parts = [p for p in cifar().children() if not isinstance(p, nn.Identity | nn.ReLU)]
    model, small = telling(nn.Sequential(*parts, nn.Flatten())), torch.randn(2, 3, 32, 32)
    encoder = loads({f"backbone.{k}": v for k, v in model.state_dict().items()}, model, small)
    assert "no ReLU after the first norm: no position is left for one" in encoder.load.assumptions


def test_a_norm_in_front_is_left_out_only_when_it_does_nothing(
    loads, resnet18: nn.Module, images: Tensor, tmp_path: Path
) -> None:
    norm = nn.BatchNorm2d(3, affine=False).eval()
    whole = nn.Sequential(norm, *list(resnet18.children())[:-1], nn.Flatten())
    without = nn.Sequential(*whole[1:])
    encoder = loads({f"model.{k}": v for k, v in whole.state_dict().items()}, without, images)
    assert any("position 0" in assumption for assumption in encoder.load.assumptions)
    norm.running_mean.fill_(0.4)
    torch.save(whole.state_dict(), tmp_path / "m.pt")
    with pytest.raises(WeightsMismatch, match=r"changes the input \(0\.running_mean\)"):
        load_encoder(str(tmp_path / "m.pt"))


def test_padding_as_in_tensorflow_is_the_users_word(loads, telling) -> None:
    """Even sides and stride 2: TensorFlow pads right and below only, which moves every feature map."""
    model, image = telling(torchvision.models.resnet18(weights=None)), torch.randn(1, 3, 64, 64)
    model.fc = nn.Identity()

    class Same(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = nn.functional.conv2d(nn.functional.pad(x, (2, 3, 2, 3)), model.conv1.weight, stride=2)
            x = nn.functional.pad(torch.relu(model.bn1(x)), (0, 1, 0, 1), value=float("-inf"))
            x = model.layer1(nn.functional.max_pool2d(x, 3, 2))
            for stage in (model.layer2, model.layer3, model.layer4):
                first = stage[0]
                y = nn.functional.conv2d(nn.functional.pad(x, (0, 1, 0, 1)), first.conv1.weight, stride=2)
                y = first.bn2(first.conv2(torch.relu(first.bn1(y))))
                x = stage[1](torch.relu(y + first.downsample(x)))
            return x.mean((2, 3))

    loads(model.state_dict(), Same(), image, options=",padding=same")
    with pytest.raises(AssertionError):
        loads(model.state_dict(), Same(), image)


def test_the_profilers_counters_are_no_part_of_the_net(loads, resnet18: nn.Module, images: Tensor) -> None:
    state = {**resnet18.state_dict(), "layer1.total_ops": torch.zeros(1), "total_params": torch.zeros(1)}
    assert loads(state, resnet18, images).load.ignored == ()


def test_files_before_counters_existed(loads, resnet18: nn.Module, images: Tensor) -> None:
    state = {k: v for k, v in resnet18.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert loads(state, resnet18, images).load.matched == 100
