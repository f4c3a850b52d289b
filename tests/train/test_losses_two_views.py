"""InfoNCE, negative cosine and VICReg against float64 loops; and what every loss of two views owes."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslaudit.train.losses import barlow_twins, info_nce, negative_cosine, nt_xent, vicreg

FIXED = torch.randn(9, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nt_xent": nt_xent,
    "barlow_twins": barlow_twins,
    "negative_cosine": negative_cosine,
    "vicreg": vicreg,
    "info_nce": lambda a, b: info_nce(a, b, FIXED.to(a.dtype), temperature=0.2),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def batch(n: int, d: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, d, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0


def naive_info_nce(q: np.ndarray, k: np.ndarray, negatives: np.ndarray, temperature: float) -> float:
    total = 0.0
    for query, key in zip(q, k, strict=True):
        scores = [cosine(query, other) / temperature for other in (key, *negatives)]
        top = max(scores)
        total += top + math.log(sum(math.exp(s - top) for s in scores)) - scores[0]
    return total / len(q)


def naive_vicreg(a: np.ndarray, b: np.ndarray, weights: tuple[float, float, float]) -> float:
    n, d = a.shape
    invariance = sum((a[i, j] - b[i, j]) ** 2 for i in range(n) for j in range(d)) / (n * d)
    variance = covariance = 0.0
    for z in (a, b):
        means = [sum(z[:, j]) / n for j in range(d)]
        for j in range(d):
            for other in range(d):
                c = sum((z[i, j] - means[j]) * (z[i, other] - means[other]) for i in range(n)) / (n - 1)
                if j == other:
                    variance += max(0.0, 1 - math.sqrt(c + 1e-4)) / d
                else:
                    covariance += c**2 / d
    return weights[0] * invariance + weights[1] * variance + weights[2] * covariance


@pytest.mark.parametrize("temperature", [1.0, 0.07, 1e-3])
@pytest.mark.parametrize(("n", "m"), [(1, 4), (5, 1), (5, 9)])
def test_info_nce_is_the_loop(n: int, m: int, temperature: float) -> None:
    (q, k), negatives = batch(n, seed=n), FIXED[:m]
    expected = naive_info_nce(q.numpy(), k.numpy(), negatives.numpy(), temperature)
    loss = info_nce(q, k, negatives, temperature=temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    single = info_nce(q.float(), k.float(), negatives.float(), temperature=temperature)
    assert single.item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_info_nce_counts_only_what_it_is_told_to() -> None:
    q, k = batch(5)
    counted = torch.tensor([True, False, True, True] + [False] * 5)
    some = info_nce(q, k, FIXED, counted=counted)
    assert some.item() == pytest.approx(info_nce(q, k, FIXED[counted]).item(), rel=1e-12)
    q.requires_grad_()
    for nothing in (info_nce(q, k, FIXED[:0]), info_nce(q, k, FIXED, counted=torch.zeros(9, dtype=bool))):
        assert nothing.item() == 0
        nothing.backward()
        assert q.grad.abs().max() == 0


def test_info_nce_closed_forms() -> None:
    """Equal vectors give log(M + 1); a key at cosine 1 among M at cosine 0 gives log(1 + M e^(-1/t))."""
    one = torch.ones(3, 10)
    assert info_nce(one, one, torch.ones(7, 10), temperature=0.2).item() == pytest.approx(math.log(8))
    eye = torch.eye(8)
    assert info_nce(eye[:3], eye[:3], eye[3:], temperature=0.5).item() == pytest.approx(
        math.log(1 + 5 * math.exp(-2)), rel=1e-6
    )


def test_negative_cosine_is_the_loop_and_half_the_distance_of_byol() -> None:
    p, z = batch(7, seed=2)
    loss = negative_cosine(p, z).item()
    assert loss == pytest.approx(-np.mean([cosine(a, b) for a, b in zip(p.numpy(), z.numpy(), strict=True)]))
    unit = [row / row.norm(dim=1, keepdim=True) for row in (p, z)]
    assert 2 + 2 * loss == pytest.approx((unit[0] - unit[1]).square().sum(dim=1).mean().item(), rel=1e-12)
    assert negative_cosine(p, 3 * p).item() == pytest.approx(-1)
    assert negative_cosine(p, -p).item() == pytest.approx(1)


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("n", [2, 11])
def test_vicreg_is_the_loop(n: int, weights: tuple[float, float, float]) -> None:
    a, b = (0.7 * z for z in batch(n, 4, seed=3))
    loss = partial(vicreg, invariance=weights[0], variance=weights[1], covariance=weights[2])
    expected = naive_vicreg(a.numpy(), b.numpy(), weights)
    assert loss(a, b).item() == pytest.approx(expected, rel=1e-9)
    assert loss(a.float(), b.float()).item() == pytest.approx(expected, rel=1e-5)


def test_vicreg_closed_forms() -> None:
    """Wide uncorrelated dimensions cost nothing. Collapse costs mu 2 (1 - 0.01), as does one image."""
    rows = [[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
    white = torch.tensor(rows, dtype=torch.float64)  # unbiased variance 4/3
    assert vicreg(white, white).item() == pytest.approx(0, abs=1e-12)
    for n in (1, 5):
        same = torch.full((n, 3), 2.0)
        assert vicreg(same, same).item() == pytest.approx(25 * 2 * 0.99, rel=1e-6)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_loss_in_half_precision_and_under_autocast(
    loss: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype
) -> None:
    a, b = batch(16, seed=5, dtype=torch.float32)
    full = loss(a, b)
    assert full.dtype is torch.float32
    x = a.to(dtype).requires_grad_()
    half = loss(x, b.to(dtype))
    assert half.dtype is torch.float32
    assert half.item() == pytest.approx(full.item(), rel=1e-2, abs=1e-2)
    half.backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().max() > 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(a, b).item() == full.item()


@every_loss
def test_a_loss_has_the_gradient_of_its_values(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    a, b = (z.requires_grad_() for z in batch(5, seed=6))
    assert torch.autograd.gradcheck(loss, (a, b))


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 4])
def test_a_loss_of_one_image_or_of_zero_rows_is_finite(
    loss: Callable[[Tensor, Tensor], Tensor], n: int, dtype: torch.dtype
) -> None:
    for a, b in (batch(n, dtype=dtype), (torch.zeros(n, 6, dtype=dtype),) * 2):
        a[0] = 0
        x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
        value = loss(x, y)
        value.backward()
        for found in (value, x.grad, y.grad):
            assert torch.isfinite(found).all()
            assert found.abs().max() < 200


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 8), seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_symmetry_order_and_scale(n: int, seed: int, scale: float) -> None:
    a, b = batch(n, seed=seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    for loss in LOSSES.values():
        assert loss(a[order], b[order]).item() == pytest.approx(loss(a, b).item(), rel=1e-9, abs=1e-9)
    for loss in (vicreg, negative_cosine):
        assert loss(b, a).item() == pytest.approx(loss(a, b).item(), rel=1e-9, abs=1e-9)
    for loss in (negative_cosine, LOSSES["info_nce"]):
        assert loss(a * scale, b / scale).item() == pytest.approx(loss(a, b).item(), rel=1e-9, abs=1e-9)
    shifted = vicreg(a + scale, b + scale, covariance=2.0)  # all three terms are blind to one shift of both
    assert shifted.item() == pytest.approx(vicreg(a, b, covariance=2.0).item(), rel=1e-6)
