"""Rotation and BiGAN, the methods of one view: values, gradients, learning."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sslaudit.errors import UsageError
from sslaudit.train.backbones import build_backbone
from sslaudit.train.generator import Discriminator, Generator
from sslaudit.train.losses.adversarial import adversarial
from sslaudit.train.methods import Method, bigan, rotation

BUILDERS = {"rotation": rotation, "bigan": lambda net, dim: bigan(net, dim, latent=5, width=6)}


def built(name: str, seed: int = 0) -> Method:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BUILDERS[name](build_backbone("conv3"), 128)


def images(n: int, side: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def loss_of(method: Method, view: Tensor, seed: int = 0) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return method(view)


def test_the_rotation_loss_is_that_of_the_definition() -> None:
    """Every image in all four turns, counter-clockwise, against double loops on NumPy arrays."""
    method = rotation(nn.Flatten(), 27).double()
    view = images(5, 3).double()
    W, b = (p.detach().numpy() for p in method.projector.parameters())
    losses = []
    for image in view.numpy():
        for turn in range(4):
            turned = image.copy()
            for _ in range(turn):  # the last column becomes the first row
                turned = np.stack([channel.T[::-1] for channel in turned])
            scores = W @ turned.ravel() + b
            losses.append(math.log(sum(math.exp(score) for score in scores)) - scores[turn])
    assert method.loss(view).item() == pytest.approx(np.mean(losses), rel=1e-12)


def test_a_guess_costs_log_4_and_all_turns_share_a_batch() -> None:
    seen: list[Tensor] = []

    class Watched(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            seen.append(batch)
            return batch.flatten(1) * 0

    method = rotation(Watched(), 12)
    nn.init.zeros_(method.projector.bias)
    view = images(3, 2)
    assert method.loss(view).item() == pytest.approx(math.log(4), rel=1e-6)
    (batch,) = seen
    assert batch.shape == (12, 3, 2, 2)
    assert torch.equal(batch[:3], view)
    assert torch.equal(batch[6:9], view.flip(2, 3))


@given(
    logits=st.lists(st.tuples(st.floats(-300, 300), st.floats(-300, 300)), min_size=1, max_size=8),
    shift=st.floats(0, 5),
)
def test_the_adversarial_loss_is_minus_the_value_of_the_game(
    logits: list[tuple[float, float]], shift: float
) -> None:
    encoded, generated = torch.tensor(logits, dtype=torch.float64).T

    def minus_log_sigmoid(x: float) -> float:
        return math.log1p(math.exp(-x)) if x > 0 else -x + math.log1p(math.exp(x))

    naive = sum(minus_log_sigmoid(r) + minus_log_sigmoid(-f) for r, f in logits) / len(logits)
    loss = adversarial(encoded, generated)
    assert loss.item() == pytest.approx(naive, rel=1e-12, abs=1e-12)
    assert adversarial(encoded + shift, generated - shift) <= loss + 1e-9  # surer and right
    # Swapped labels and swapped signs are one thing.
    torch.testing.assert_close(adversarial(generated, encoded), adversarial(-encoded, -generated))


def test_a_discriminator_that_cannot_tell_loses_4_log_2() -> None:
    method = built("bigan")
    last = method.discriminator.pair[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    assert loss_of(method, images(4, 8)).item() == pytest.approx(4 * math.log(2), rel=1e-6)


def test_each_part_of_bigan_has_the_gradient_of_its_own_loss() -> None:
    """The discriminator by the loss of telling and its penalty, the others by that of fooling, done apart."""
    method = built("bigan").double()
    view, twin = images(6, 8).double(), copy.deepcopy(method)
    loss_of(method, view, seed=7).backward()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        z = torch.rand(6, 5, dtype=torch.float64) * 2 - 1
    z_x, x_z = twin.projector(twin.backbone(view)), twin.generator(z, 8)
    d = twin.discriminator
    fooling = -torch.log(1 - d(view, z_x).sigmoid()).mean() - torch.log(d(x_z, z).sigmoid()).mean()
    others = {name: p for name, p in twin.named_parameters() if not name.startswith("discriminator")}
    apart = dict(zip(others, torch.autograd.grad(fooling, others.values(), retain_graph=True), strict=True))
    x, e = view.clone().requires_grad_(), z_x.detach().requires_grad_()
    telling = -torch.log(d(x, e).sigmoid()).mean() - torch.log(1 - d(x_z.detach(), z).sigmoid()).mean()
    slopes = torch.autograd.grad(d(x, e).sum(), (x, e), create_graph=True)
    telling = telling + 0.25 * sum(slope.square().sum() for slope in slopes) / 6
    names = [f"discriminator.{name}" for name, _ in d.named_parameters()]
    apart |= dict(zip(names, torch.autograd.grad(telling, d.parameters()), strict=True))
    assert set(apart) == {name for name, _ in method.named_parameters()}
    for name, parameter in method.named_parameters():
        torch.testing.assert_close(parameter.grad, apart[name])


# In bfloat16 oneDNN does not write the gradient of a convolution of stride 2 on maps of one pixel.
@pytest.mark.parametrize(
    ("side", "autocast"), [(1, False), *((s, cast) for s in (8, 20, 32, 97) for cast in (False, True))]
)
@pytest.mark.parametrize("name", BUILDERS)
def test_any_size_gives_every_parameter_a_finite_gradient(name: str, side: int, autocast: bool) -> None:
    method = built(name)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = loss_of(method, images(2, side))
    assert loss.dtype == torch.float32
    assert loss.ndim == 0
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in method.parameters())


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_constant_and_huge_views_stay_finite(scale: float) -> None:
    for name in BUILDERS:
        method = built(name)
        loss = loss_of(method, images(3, 8) * scale)
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(parameter.grad).all() for parameter in method.parameters())


def test_the_generator_makes_and_the_discriminator_takes_any_side() -> None:
    generator, discriminator = Generator(5, 6), Discriminator(5, 6)
    z = torch.rand(3, 5)
    for side in (1, 2, 3, 5, 8, 13, 32):
        made = generator(z, side)
        assert made.shape == (3, 3, side, side)
        assert made.abs().max() <= 1
        assert discriminator(made, z).shape == (3, 1)


def test_latents_come_from_the_global_generator_alone() -> None:
    method, view = built("bigan").eval(), images(4, 8)
    assert loss_of(method, view, seed=1) == loss_of(method, view, seed=1) != loss_of(method, view, seed=2)


def test_options_that_mean_nothing_are_refused() -> None:
    for option in ("latent", "width"):
        with pytest.raises(UsageError, match=f"bigan: option {option}=0 must be at least 1"):
            bigan(nn.Flatten(), 12, **{option: 0})
    narrow = bigan(nn.Flatten(), 12, latent=1, width=1)
    assert torch.isfinite(loss_of(narrow, images(2, 2)))
