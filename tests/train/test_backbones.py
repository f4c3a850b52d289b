"""Backbones: what they embed, what a seed and a size decide, and what is refused."""

from pathlib import Path

import pytest
import torch

from sslaudit import load_dataset, load_encoder
from sslaudit.data import subset
from sslaudit.errors import UsageError
from sslaudit.registry import installed
from sslaudit.train.backbones import BACKBONES, build_backbone
from sslaudit.train.choices import Choices
from sslaudit.train.loop import train


@pytest.mark.parametrize(
    ("name", "size", "dim", "parameters"),
    [
        # Convolutions 27*32 + 288*64 + 576*128, batch norm 2*(32+64+128).
        ("conv3", 8, 128, 864 + 18_432 + 73_728 + 448),
        ("conv3", 1, 128, 93_472),
        ("conv4", 32, 256, 93_472 + 1152 * 256 + 512),
        ("resnet18", 64, 512, 11_176_512),
        ("resnet18-cifar", 32, 512, 11_168_832),
        ("torchvision:resnet18", 64, 512, 11_176_512),
        ("timm:resnet18-cifar", 32, 512, 11_168_832),
        ("torchvision:mobilenet_v3_small", 32, 1024, 1_517_856),
        ("torchvision:densenet121", 32, 1024, 6_953_856),
        ("torchvision:squeezenet1_1", 32, 512, 722_496),
        ("torchvision:googlenet", 32, 1024, None),
        ("torchvision:regnet_y_400mf", 32, 440, None),
        ("timm:test_vit", 32, 64, None),
        ("timm:levit_128s", 64, 384, None),
    ],
)
def test_a_backbone_embeds(name: str, size: int, dim: int, parameters: int | None) -> None:
    net = build_backbone(name, seed=0, size=size)
    if parameters is not None:
        assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    images = torch.rand(2, 3, size, size, requires_grad=True)
    assert net.training
    h = net(images)
    assert h.shape == (2, dim)
    h.sum().backward()
    assert torch.isfinite(images.grad).all()


def test_every_own_name_has_a_summary() -> None:
    assert list(BACKBONES) == ["conv3", "conv4", "resnet18", "resnet18-cifar"]
    assert all(build_backbone(name) and summary for name, summary in BACKBONES.items())


@pytest.mark.parametrize(
    "name", ["resnet18-cifar", "torchvision:resnet34-cifar", "timm:resnet18-cifar", "timm:resnet10t-cifar"]
)
def test_the_cifar_stem_keeps_the_resolution(name: str) -> None:
    """A plain ResNet would pool 32 pixels down to a single cell before the last stage."""
    net = build_backbone(name, seed=0, size=32).eval()
    sides = []
    for stage in (net.layer1, net.layer4):
        stage.register_forward_hook(lambda module, args, out: sides.append(tuple(out.shape[-2:])))
    with torch.inference_mode():
        net(torch.zeros(1, 3, 32, 32))
    assert sides == [(32, 32), (4, 4)]
    assert (net.conv1.kernel_size, net.conv1.stride, net.conv1.bias) == ((3, 3), (1, 1), None)


@pytest.mark.parametrize("name", ["torchvision:googlenet", "torchvision:mobilenet_v2", "torchvision:alexnet"])
def test_no_classifier_is_left_nor_its_dropout_nor_what_helped_it(name: str) -> None:
    net = build_backbone(name, seed=0)
    assert not any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in net.modules())
    assert not any(getattr(module, "out_features", 0) == 1000 for module in net.modules())
    net.train()
    images = torch.rand(3, 3, 64, 64)
    assert isinstance(net(images), torch.Tensor)


@pytest.mark.parametrize("name", [*BACKBONES, "torchvision:resnet18-cifar", "timm:test_vit"])
def test_a_seed_repeats_and_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    a, b, c = (build_backbone(name, seed=seed, size=32).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


def test_without_a_seed_the_global_generator_decides() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        drawn = build_backbone("conv3", size=8).state_dict()
        again = build_backbone("conv3").state_dict()
    seeded = build_backbone("conv3", seed=5).state_dict()
    assert torch.equal(drawn["0.weight"], seeded["0.weight"])
    assert not torch.equal(drawn["0.weight"], again["0.weight"])


def test_own_resnets_are_those_of_torchvision() -> None:
    own, named = (build_backbone(f"{library}resnet18-cifar", seed=3) for library in ("", "torchvision:"))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(own(images), named(images))


@pytest.mark.parametrize("name", ["timm:test_vit", "torchvision:regnet_x_400mf", "timm:resnet18-cifar"])
def test_a_skeleton_without_memory_has_the_shapes_of_the_network(name: str) -> None:
    with torch.device("meta"):
        skeleton = build_backbone(name, size=48)
    shapes, expected = (
        {key: tensor.shape for key, tensor in net.state_dict().items()}
        for net in (skeleton, build_backbone(name, seed=0, size=48))
    )
    assert shapes == expected


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("resnet18_cifar", None, r"no backbone 'resnet18_cifar'\. Did you mean 'resnet18-cifar'\?"),
        ("resnet50", None, r"Did you mean 'torchvision:resnet50'\?.*timm:NAME"),
        ("resnet50-cifar", None, r"Did you mean 'torchvision:resnet50-cifar'\?"),
        ("convnext_atto", None, r"Did you mean 'timm:convnext_atto'\?"),
        ("hub:resnet50", None, "no backbone 'hub:resnet50'"),
        ("", None, "no backbone ''"),
        ("torchvision:", None, "no backbone 'torchvision:'"),
        ("conv3-cifar", None, "no backbone 'conv3-cifar'"),
        ("timm:", None, "timm has no model ''"),
        ("timm:resnet18x", None, r"timm has no model 'resnet18x'\. Did you mean '\w*resnet\w*'\?"),
        ("timm:resnet18.a1_in1k", None, r"'\.a1_in1k' names pretrained weights.*write timm:resnet18"),
        ("torchvision:resnet19", None, r"no image classifier 'resnet19'\. Did you mean 'resnet1?"),
        ("torchvision:fasterrcnn_resnet50_fpn", None, "no image classifier 'fasterrcnn_resnet50_fpn'"),
        ("torchvision:raft_small", None, "no image classifier 'raft_small'"),
        ("timm:test_vit-cifar", None, "-cifar is the stem of a ResNet, and this is none"),
        ("torchvision:mobilenet_v3_small-cifar", 32, "-cifar is the stem of a ResNet, and this is none"),
        ("timm:vit_tiny_patch16_224", 8, "'timm:vit_tiny_patch16_224' cannot be used for images of 8 x 8"),
        ("torchvision:vit_b_32", 24, "cannot be used for images of 24 x 24 pixels; try another --size"),
        ("torchvision:squeezenet1_0", 8, "cannot be used for images of 8 x 8 pixels"),
    ],
)
def test_what_cannot_be_trained_is_refused(name: str, size: int | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build_backbone(name, size=size)


def test_a_network_that_gives_maps_is_no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timm.create_model", lambda name, **options: torch.nn.Conv2d(3, 5, 3))
    with pytest.raises(UsageError, match=r"no encoder: it returns \(1, 5, 6, 6\) for one image"):
        build_backbone("timm:resnet18", size=8)


@pytest.mark.parametrize("name", ["timm:test_vit", "torchvision:regnet_x_400mf", "timm:resnet10t-cifar"])
def test_a_checkpoint_brings_its_backbone_back(tmp_path: Path, name: str) -> None:
    """Also where the weights depend on the size of the images."""
    registry = installed()
    train(
        registry.methods.get("simclr"),
        subset(load_dataset("digits"), max_images=12),
        output=tmp_path / "x.pt",
        named=registry.recipes.usable(),
        choices=Choices(backbone=name, size=32, recipe="crop", epochs=1, batch_size=4, precision="fp32"),
    )
    encoder = load_encoder(str(tmp_path / "x.pt"), device="cpu")
    net = build_backbone(name, size=32)
    net.load_state_dict(torch.load(tmp_path / "x.pt", weights_only=True)["backbone"])
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(images), net.eval()(images))
    assert encoder.preprocess.size == (32, 32)
