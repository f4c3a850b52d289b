"""Backbones, projectors, and the methods made of them."""

import copy

import pytest
import torch
from torch import nn

from sslaudit.errors import UsageError
from sslaudit.train.backbones import BACKBONES, build_backbone
from sslaudit.train.heads import barlow_twins_projector, simclr_projector
from sslaudit.train.losses import barlow_twins as barlow_twins_loss
from sslaudit.train.losses import nt_xent
from sslaudit.train.methods import Method, barlow_twins, simclr


@pytest.mark.parametrize(
    ("name", "size", "dim", "parameters"),
    [
        # Convolutions 27*32 + 288*64 + 576*128, batch norm 2*(32+64+128).
        ("conv3", 8, 128, 864 + 18_432 + 73_728 + 448),
        ("conv3", 1, 128, 93_472),
        ("resnet18", 64, 512, 11_176_512),
        ("resnet18-cifar", 32, 512, 11_168_832),
    ],
)
def test_a_backbone_embeds(name: str, size: int, dim: int, parameters: int) -> None:
    net = build_backbone(name, seed=0)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    images = torch.rand(2, 3, size, size, requires_grad=True)
    h = net(images)
    assert h.shape == (2, dim)
    h.sum().backward()
    assert torch.isfinite(images.grad).all()


def test_every_backbone_has_a_summary() -> None:
    assert all(build_backbone(name, seed=0) and summary for name, summary in BACKBONES.items())


def test_the_cifar_stem_keeps_the_resolution() -> None:
    """A plain ResNet-18 would pool 32 pixels down to a single cell before the last stage."""
    net = build_backbone("resnet18-cifar", seed=0).eval()
    sides = []
    for stage in (net.layer1, net.layer4):
        stage.register_forward_hook(lambda module, args, out: sides.append(tuple(out.shape[-2:])))
    with torch.inference_mode():
        net(torch.zeros(1, 3, 32, 32))
    assert sides == [(32, 32), (4, 4)]


@pytest.mark.parametrize("name", BACKBONES)
def test_a_seed_repeats_and_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    a, b, c = (build_backbone(name, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


def test_without_a_seed_the_global_generator_decides() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        drawn = build_backbone("conv3").state_dict()
        again = build_backbone("conv3").state_dict()
    seeded = build_backbone("conv3", seed=5).state_dict()
    assert torch.equal(drawn["0.weight"], seeded["0.weight"])
    assert not torch.equal(drawn["0.weight"], again["0.weight"])


def test_an_unknown_backbone_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no backbone 'resnet18_cifar'\. Did you mean 'resnet18-cifar'\?"):
        build_backbone("resnet18_cifar")


def layers(net: nn.Sequential) -> list[str]:
    return [type(layer).__name__ for layer in net]


def test_projectors_have_the_layers_of_the_papers() -> None:
    two = simclr_projector(16)
    assert layers(two) == ["Linear", "ReLU", "Linear"]
    assert two(torch.zeros(3, 16)).shape == (3, 128)
    assert simclr_projector(16, hidden=5, out=7)[0].weight.shape == (5, 16)
    three = barlow_twins_projector(16)
    assert layers(three) == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear"]
    assert [net.weight.shape for net in three if isinstance(net, nn.Linear)] == [(32, 16), (32, 32), (32, 32)]
    assert barlow_twins_projector(16, hidden=5, out=7)(torch.zeros(3, 16)).shape == (3, 7)


@pytest.mark.parametrize("name", ["simclr", "barlow-twins"])
def test_the_loss_compares_the_projections_of_the_two_views(name: str) -> None:
    backbone = build_backbone("conv3", seed=0)
    if name == "simclr":
        method: Method = simclr(backbone, 128, temperature=0.3)
    else:
        method = barlow_twins(backbone, 128, lambd=0.1)
    a, b = torch.rand(2, 6, 3, 8, 8)
    twin = copy.deepcopy(method)  # the batch norm of both sees a first, then b
    z_a, z_b = twin.projector(twin.backbone(a)), twin.projector(twin.backbone(b))
    expected = (
        nt_xent(z_a, z_b, temperature=0.3) if name == "simclr" else barlow_twins_loss(z_a, z_b, lambd=0.1)
    )
    loss = method.loss(a, b)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert method.backbone is backbone


def test_options_that_mean_nothing_are_refused() -> None:
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="temperature"):
            simclr(nn.Identity(), 4, temperature=temperature)
    with pytest.raises(UsageError, match="lambd"):
        barlow_twins(nn.Identity(), 4, lambd=-1e-3)
