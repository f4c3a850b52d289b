"""Losses against naive float64 loops, closed forms, and what must not change them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslaudit.train.losses import barlow_twins, nt_xent
from sslaudit.train.losses.barlow_twins import cross_correlation


def batch(n: int, d: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, d, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))


def naive_nt_xent(a: np.ndarray, b: np.ndarray, temperature: float) -> float:
    """Double loops in float64, the largest term taken out of each sum of exponentials."""
    z = [row / max(np.linalg.norm(row), 1e-12) for row in np.concatenate([a, b])]
    n, total = len(a), 0.0
    for i in range(2 * n):
        others = [float(z[i] @ z[j]) / temperature for j in range(2 * n) if j != i]
        top = max(others)
        positive = float(z[i] @ z[(i + n) % (2 * n)]) / temperature
        total += top + math.log(sum(math.exp(s - top) for s in others)) - positive
    return total / (2 * n)


def naive_barlow(a: np.ndarray, b: np.ndarray, lambd: float) -> float:
    """Double loops in float64."""
    n, d = a.shape
    a, b = ((z - z.mean(0)) / z.std(0) for z in (a, b))
    total = 0.0
    for i in range(d):
        for j in range(d):
            c = sum(a[k, i] * b[k, j] for k in range(n)) / n
            total += (1 - c) ** 2 if i == j else lambd * c**2
    return total


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.07, 0.01, 1e-3])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_nt_xent_is_the_double_loop(n: int, temperature: float) -> None:
    a, b = batch(n, 5, seed=n)
    expected = naive_nt_xent(a.numpy(), b.numpy(), temperature)
    assert float(nt_xent(a, b, temperature=temperature)) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    single = float(nt_xent(a.float(), b.float(), temperature=temperature))
    assert single == pytest.approx(expected, rel=1e-5, abs=1e-5)
    half = float(nt_xent(a.bfloat16(), b.bfloat16(), temperature=1.0))
    assert half == pytest.approx(naive_nt_xent(a.numpy(), b.numpy(), 1.0), rel=1e-2, abs=1e-2)


PUBLISHED_A = """
 0.034193  1.359748  1.224721 -0.510307 -0.297970 -0.527384  0.569726 -0.056064
 0.746886 -1.847325  1.566549 -0.096432  0.680378 -0.136566 -0.379099  0.463110
 0.824514 -0.202530 -0.152786  0.685699 -0.870341 -1.514384  0.394982 -0.670566
-1.920341 -0.814054 -0.467598 -1.193202 -1.492464  0.036638  0.897249 -0.233132
-0.743596  0.384994  0.717236 -0.300011  0.544668  1.042875 -0.206956 -0.813516
 0.347651  0.247546  1.098813 -1.284581 -0.661613 -0.838167 -1.734015  0.126435"""
PUBLISHED_B = """
 0.527804 -0.738790  1.385647  0.821924  0.627376  0.401707  0.955670 -1.331980
 0.613930  0.602777 -1.767719  0.347030 -0.250421  0.781523 -0.439062 -0.018241
 0.342852 -0.876262  0.598597 -0.104963  0.492483 -0.521838  1.086202  0.605202
-0.178025  0.631957  1.259755  1.791176 -1.573576  0.883132  0.465069 -0.093861
-1.006665  1.257189 -1.261738  0.566945  1.301868 -1.599669 -0.302518 -1.309217
 0.244054  1.514375  2.023556 -1.778114 -0.574949  0.703545  1.579373  0.421211"""


@pytest.mark.parametrize(
    ("rows", "temperature", "scales", "zero", "expected"),
    [
        (6, 0.5, (1, 1), None, 2.5279858492595797),
        (6, 0.1, (1, 1), None, 4.977421949949677),
        (6, 0.01, (1, 1), None, 44.339393650927555),
        (6, 1e-3, (1, 1), None, 443.3202230753713),
        (6, 0.5, (100, 0.01), None, 2.5279964625979185),
        (6, 0.5, (1, 1), 2, 2.573329729301903),
        (2, 0.1, (1, 1), None, 4.201311719202744),
        (1, 0.1, (1, 1), None, 0.0),
    ],
)
def test_nt_xent_has_its_known_values(
    rows: int, temperature: float, scales: tuple[float, float], zero: int | None, expected: float
) -> None:
    """Values to 16 digits, from float64 loops; the scaled inputs are rounded to six places."""
    a, b = (
        torch.tensor([float(x) for x in text.split()], dtype=torch.float64).reshape(6, 8)[:rows] * scale
        for text, scale in zip((PUBLISHED_A, PUBLISHED_B), scales, strict=True)
    )
    a, b = a.round(decimals=6), b.round(decimals=6)
    if zero is not None:
        a[zero] = 0
    for dtype, rel in ((torch.float64, 1e-12), (torch.float32, 1e-5), (torch.float16, 1e-2)):
        x, y = a.to(dtype, copy=True).requires_grad_(), b.to(dtype)
        for first, second in ((x, y), (y, x)):
            loss = nt_xent(first, second, temperature=temperature)
            assert loss.item() == pytest.approx(expected, rel=rel, abs=1e-7)
        loss.backward()
        assert torch.isfinite(x.grad).all()


def test_nt_xent_closed_forms() -> None:
    same = torch.ones(8, 10)
    assert float(nt_xent(same, same, temperature=0.07)) == pytest.approx(math.log(15), rel=1e-6)
    eye = torch.eye(3)  # positives at cosine 1, four negatives at 0
    expected = math.log(math.e + 4) - 1
    assert float(nt_xent(eye, eye, temperature=1.0)) == pytest.approx(expected, rel=1e-6)
    assert float(nt_xent(*batch(1, 6), temperature=0.5)) == pytest.approx(0, abs=1e-12)


def test_nt_xent_of_orthonormal_pairs_at_the_default_temperature() -> None:
    eye = torch.eye(4)  # positives at cosine 1, six negatives at 0
    assert float(nt_xent(eye, eye)) == pytest.approx(math.log(1 + 6 * math.exp(-2)), rel=1e-6)


def test_nt_xent_normalises_rows_of_any_length() -> None:
    a, b = batch(6, 8, seed=4, dtype=torch.float32)
    expected = naive_nt_xent(a.double().numpy(), b.double().numpy(), 0.5)
    assert float(nt_xent(a * 100, b * 0.01)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_nt_xent_with_a_zero_row(dtype: torch.dtype) -> None:
    """The zero row has cosine 0 with everything, and its gradient is no larger than that of a unit row."""
    a, b = batch(4, 8, dtype=dtype)
    a[0] = 0
    a.requires_grad_()
    temperature = 1e-3
    loss = nt_xent(a, b, temperature=temperature)
    loss.backward()
    expected = naive_nt_xent(a.detach().double().numpy(), b.double().numpy(), temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-2 if dtype is torch.bfloat16 else 1e-5)
    assert torch.isfinite(a.grad).all()
    assert 0 < a.grad[0].norm() <= 4 / temperature


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 9), d=st.integers(2, 6), seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_nt_xent_is_symmetric_and_blind_to_order_and_scale(n: int, d: int, seed: int, scale: float) -> None:
    a, b = batch(n, d, seed)
    loss = float(nt_xent(a, b))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    for other in (nt_xent(b, a), nt_xent(a[order], b[order]), nt_xent(a * scale, b)):
        assert float(other) == pytest.approx(loss, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("lambd", [0.0, 5e-3, 1.0])
def test_barlow_twins_is_the_double_loop(lambd: float) -> None:
    a, b = batch(11, 4, seed=3)
    assert float(barlow_twins(a, b, lambd=lambd)) == pytest.approx(
        naive_barlow(a.numpy(), b.numpy(), lambd), rel=1e-9
    )
    assert float(barlow_twins(a.float(), b.float(), lambd=lambd)) == pytest.approx(
        naive_barlow(a.numpy(), b.numpy(), lambd), rel=1e-5
    )


def test_barlow_twins_closed_forms() -> None:
    """Exactly whitened features cost nothing; a flipped feature costs (1 + 1)^2."""
    rows = [[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
    white = torch.tensor(rows, dtype=torch.float64)
    assert float(barlow_twins(white, white, lambd=5e-3)) == pytest.approx(0, abs=1e-12)
    flipped = white * torch.tensor([-1.0, 1.0, 1.0])
    assert float(barlow_twins(white, flipped, lambd=5e-3)) == pytest.approx(4, rel=1e-12)


def test_cross_correlation_of_aligned_views_has_ones_on_the_diagonal() -> None:
    """With the unbiased variance it would be (N - 1) / N = 0.75."""
    z, _ = batch(4, 3)
    torch.testing.assert_close(torch.diagonal(cross_correlation(z, z)), torch.ones(3, dtype=z.dtype))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(3, 9), d=st.integers(1, 5), seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6))
def test_barlow_twins_is_symmetric_and_blind_to_affine_changes(
    n: int, d: int, seed: int, scale: float
) -> None:
    a, b = batch(n, d, seed)
    loss = float(barlow_twins(a, b))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    for other in (barlow_twins(b, a), barlow_twins(a[order], b[order]), barlow_twins((a + 3) * scale, b)):
        assert float(other) == pytest.approx(loss, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("constant", [0.0, 2.0, 0.1, 1e-8, 12345.678])
def test_barlow_twins_gives_a_dead_dimension_correlation_0(constant: float) -> None:
    """Also where the mean of equal numbers is off by a rounding, which must not be scaled up to 1."""
    a, b = batch(7, 3, dtype=torch.float32)
    a[:, 1] = b[:, 1] = constant
    c = cross_correlation(a, b)
    assert c[1].tolist() == c[:, 1].tolist() == [0, 0, 0]
    a.requires_grad_()
    barlow_twins(a, b).backward()
    assert torch.isfinite(a.grad).all()
    assert a.grad[:, 1].tolist() == [0] * 7


def test_barlow_twins_of_one_image_has_no_correlation() -> None:
    assert float(barlow_twins(*batch(1, 5))) == 5
