"""Projected gradient steps against classifiers whose worst images are known."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sslaudit_probes.change.attack import margins, pgd, random_starts

DIGESTS = [f"{k:064x}" for k in range(16)]


def images(n: int = 16, seed: int = 0) -> Tensor:
    """Pixels of [0, 1] with black and white among them."""
    drawn = torch.rand(n, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    return (1.6 * drawn - 0.3).clamp(0, 1)


def linear(classes: int, seed: int = 1, scale: float = 1.0) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(60, classes)).eval()
    with torch.no_grad():
        network[1].weight.mul_(scale)
        network[1].bias.zero_()
    return network


def test_margins_are_those_of_a_loop() -> None:
    logits = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 5
    for row, label, found in zip(logits, labels, margins(logits, labels), strict=True):
        assert float(found) == max(float(row[k] - row[label]) for k in range(5) if k != label)
    with pytest.raises(ValueError, match="two classes or more"):
        margins(logits[:, :1], labels * 0)


@pytest.mark.parametrize("scale", [1.0, 1e6])
@pytest.mark.parametrize("start", [False, True])
def test_against_a_linear_classifier_it_is_the_sign_step(scale: float, start: bool) -> None:
    """Also where cross-entropy is so sure that its gradient is zero in float32."""
    network, x, eps = linear(2, scale=scale), images(), 0.03
    labels = network(x).argmax(dim=1)
    towards = network[1].weight.detach().view(2, 3, 4, 5)
    sign = (towards[1 - labels] - towards[labels]).sign()
    wanted = (x + eps * sign).clamp(0, 1)
    starts = random_starts("pgd", DIGESTS, (3, 4, 5), eps) if start else None
    found, margin = pgd(network, x, labels, eps=eps, steps=10, starts=starts)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        margin, margins(network(wanted), labels).detach(), rtol=1e-4, atol=1e-4 * scale
    )
    assert bool((margin > 0).any())


@pytest.mark.parametrize("eps", [0.004, 0.3, 1.0])
def test_it_stays_in_its_box_and_in_the_pixels(eps: float) -> None:
    torch.manual_seed(4)
    network = nn.Sequential(nn.Flatten(), nn.Linear(60, 20), nn.Tanh(), nn.Linear(20, 4)).eval()
    x, seen = images(seed=2), []

    def logits(pixels: Tensor) -> Tensor:
        seen.append(pixels.detach().clone())
        out: Tensor = network(pixels)
        return out

    labels = torch.arange(16) % 4
    starts = random_starts("pgd", DIGESTS, (3, 4, 5), 5 * eps)  # too far, and brought back
    found, margin = pgd(logits, x, labels, eps=eps, steps=7, starts=starts)
    for tried in (*seen, found):
        assert float((tried - x).abs().max()) <= eps + 1e-6
        assert float(tried.min()) >= 0
        assert float(tried.max()) <= 1
    # The largest margin that was seen is kept, with its image; the plain image counts.
    tried_margins = torch.stack([margins(network(tried), labels) for tried in seen]).detach()
    assert len(seen) == 7 + 2
    torch.testing.assert_close(margin, tried_margins.amax(dim=0))
    torch.testing.assert_close(margins(network(found), labels).detach(), margin)


def test_it_keeps_what_a_later_step_spoils() -> None:
    """Two steps from the top of a narrow hill the way leads down again."""

    def logits(pixels: Tensor) -> Tensor:
        height = -((pixels.mean(dim=(1, 2, 3)) - 0.52).abs())
        return torch.stack([torch.zeros_like(height), height], dim=1)

    x = torch.full((1, 3, 4, 5), 0.5)
    found, margin = pgd(logits, x, torch.zeros(1, dtype=torch.long), eps=0.1, steps=5)  # steps of .05
    assert float(margin) == pytest.approx(-0.02, abs=1e-6)
    torch.testing.assert_close(found, x)


def test_without_room_nothing_moves() -> None:
    network, x = linear(3), images()
    labels = torch.arange(16) % 3
    found, margin = pgd(network, x, labels, eps=0.0, steps=3, starts=torch.zeros_like(x))
    assert torch.equal(found, x)
    assert torch.equal(margin, margins(network(x), labels).detach())


def test_images_do_not_influence_each_other_and_the_network_stays_as_it_is() -> None:
    network, x = linear(3), images()
    labels = network(x).argmax(dim=1)
    starts = random_starts("pgd", DIGESTS, (3, 4, 5), 0.1)
    found, _ = pgd(network, x, labels, eps=0.1, steps=4, starts=starts)
    alone, _ = pgd(network, x[5:6], labels[5:6], eps=0.1, steps=4, starts=starts[5:6])
    torch.testing.assert_close(alone, found[5:6])
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert not network.training
    assert torch.equal(x, images())


def test_starts_are_drawn_by_key_and_content() -> None:
    starts = random_starts("a", DIGESTS, (3, 4, 5), 0.1)
    assert starts.dtype == torch.float32
    assert 0.09 < float(starts.abs().max()) <= 0.1
    assert abs(float(starts.mean())) < 0.01
    assert torch.equal(random_starts("a", DIGESTS[3:5], (3, 4, 5), 0.1), starts[3:5])
    assert not torch.equal(random_starts("b", DIGESTS, (3, 4, 5), 0.1), starts)


def test_an_attack_that_cannot_be_is_refused() -> None:
    x, labels = images(), torch.zeros(16, dtype=torch.long)
    with pytest.raises(ValueError, match="no gradient flows"):
        pgd(lambda pixels: linear(2)(pixels).detach(), x, labels, eps=0.1, steps=2)
    for eps, steps in ((-0.1, 2), (0.1, 0)):
        with pytest.raises(ValueError, match="eps >= 0 and a step or more"):
            pgd(linear(2), x, labels, eps=eps, steps=steps)


@pytest.mark.gpu
def test_it_runs_where_the_images_are() -> None:
    network, x = linear(2), images()
    labels = network(x).argmax(dim=1)
    here, margin = pgd(network, x, labels, eps=0.05, steps=5)
    there, other = pgd(network.cuda(), x.cuda(), labels.cuda(), eps=0.05, steps=5)
    assert there.is_cuda
    np.testing.assert_allclose(there.cpu(), here, atol=1e-6)
    np.testing.assert_allclose(other.cpu(), margin, atol=1e-5)
