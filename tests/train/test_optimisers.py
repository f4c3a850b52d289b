"""Optimisers against naive references in float64, what they leave alone, and how the learning rate goes."""

import copy
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sslaudit.errors import TrainingError
from sslaudit.train.choices import Choices
from sslaudit.train.optimisers import TRUST, build_optimiser, rate

KINDS = ("adamw", "sgd", "lars")


def network(layout: torch.memory_format = torch.contiguous_format) -> nn.Module:
    """A matrix, a bias, a scale and a shift, and a layer that is frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    net[3].requires_grad_(False)
    return net.to(memory_format=layout)


def gradients(net: nn.Module, seed: int) -> None:
    """Those of a sum of squares on random images, as training makes them."""
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    net.zero_grad()
    net(images).square().mean().backward()


def learned(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy().copy() for name, p in net.named_parameters() if p.requires_grad}


def adamw(w: np.ndarray, g: np.ndarray, held: dict[str, Any], choices: Choices, decay: float) -> np.ndarray:
    """Loshchilov and Hutter, ICLR 2019, Algorithm 2."""
    t = held["t"] = held.get("t", 0) + 1
    held["m"] = 0.9 * held.get("m", 0) + 0.1 * g
    held["v"] = 0.999 * held.get("v", 0) + 0.001 * g**2
    m, v = held["m"] / (1 - 0.9**t), held["v"] / (1 - 0.999**t)
    return w - choices.lr * (m / (np.sqrt(v) + 1e-8) + decay * w)


def sgd(w: np.ndarray, g: np.ndarray, held: dict[str, Any], choices: Choices, decay: float) -> np.ndarray:
    held["u"] = choices.momentum * held.get("u", 0) + g + decay * w
    return w - choices.lr * held["u"]


def lars(w: np.ndarray, g: np.ndarray, held: dict[str, Any], choices: Choices, decay: float) -> np.ndarray:
    """You et al., 2017, Eq. 6, with the learning rate outside of the momentum; vectors as by SGD."""
    local = 1.0
    if w.ndim > 1:
        local = TRUST * np.linalg.norm(w) / (np.linalg.norm(g) + decay * np.linalg.norm(w))
    held["u"] = choices.momentum * held.get("u", 0) + local * (g + decay * w)
    return w - choices.lr * held["u"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_the_paper(kind: Any, weight_decay: float, layout: torch.memory_format) -> None:
    choices = Choices(optimiser=kind, lr=0.05, momentum=0.8, weight_decay=weight_decay)
    net = network(layout)
    frozen = net[3].weight.clone()
    optimiser = build_optimiser(net, choices)
    wanted, held = learned(net), {name: {} for name in learned(net)}
    for step in range(3):
        gradients(net, step)
        for name, p in net.named_parameters():
            if p.requires_grad:
                decay = weight_decay if p.ndim > 1 else 0.0
                g = p.grad.double().numpy()
                wanted[name] = globals()[kind](wanted[name], g, held[name], choices, decay)
        optimiser.step()
        for name, found in learned(net).items():
            np.testing.assert_allclose(found, wanted[name], rtol=2e-5, atol=2e-6, err_msg=name)
    assert torch.equal(net[3].weight, frozen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_optimiser_goes_on_to_the_same_bits(kind: Any) -> None:
    choices = Choices(optimiser=kind, weight_decay=0.1)

    def go_on(net: nn.Module, optimiser: torch.optim.Optimizer, steps: range) -> dict[str, Tensor]:
        for step in steps:
            for group in optimiser.param_groups:
                group["lr"] = choices.lr * rate(step, 6, choices)
            gradients(net, step)
            optimiser.step()
        return net.state_dict()

    net = network()
    optimiser = build_optimiser(net, choices)
    go_on(net, optimiser, range(3))
    file = io.BytesIO()
    torch.save(optimiser.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(net)
    resumed = build_optimiser(other, choices)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    wanted, found = go_on(net, optimiser, range(3, 6)), go_on(other, resumed, range(3, 6))
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_what_takes_no_gradient_is_nobody_s_business(kind: Any) -> None:
    choices = Choices(optimiser=kind)
    groups = build_optimiser(network(), choices).param_groups
    assert [[p.ndim for p in group["params"]] for group in groups] == [[4], [1, 1, 1]]
    assert [group["weight_decay"] for group in groups] == [choices.weight_decay, 0]
    with pytest.raises(TrainingError, match="nothing to train"):
        build_optimiser(network().requires_grad_(False), choices)


@given(
    steps=st.integers(1, 300),
    warm_up=st.floats(0, 1),
)
def test_the_learning_rate_rises_to_its_peak_and_falls(steps: int, warm_up: float) -> None:
    choices = Choices(warm_up=warm_up)
    shares = [rate(step, steps, choices) for step in range(steps)]
    rise = round(warm_up * steps)
    assert all(0 < share <= 1 for share in shares)
    assert max(shares) == 1
    np.testing.assert_allclose(shares[:rise], np.arange(1, rise + 1) / max(1, rise))
    assert shares[rise:] == sorted(shares[rise:], reverse=True)
    assert all(b < a for a, b in zip(shares[rise:], shares[rise + 1 :], strict=False))


def test_the_cosine_is_half_a_period() -> None:
    choices = Choices(warm_up=0.1)
    assert [rate(step, 100, choices) for step in (0, 4, 9, 10)] == [0.1, 0.5, 1, 1]
    assert rate(55, 100, choices) == pytest.approx(0.5)
    assert rate(99, 100, choices) == pytest.approx((1 + math.cos(math.pi * 89 / 90)) / 2)
    assert [rate(0, 1, Choices(warm_up=share)) for share in (0, 1)] == [1, 1]
