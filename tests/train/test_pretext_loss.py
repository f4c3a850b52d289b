"""The pretext loss against naive float64 loops, exact values, and what its gradient must be."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslaudit.train.losses import pretext_loss
from sslaudit.train.losses.pretext import best_linear, population_loss, population_residual, residual

COVARIANCE = torch.tensor(
    [[2.0, 0.0, 1.0, 1.0], [0.0, 1.5, 0.0, 2.0], [1.0, 0.0, 1.0, 1.0], [1.0, 2.0, 1.0, 5.0]],
    dtype=torch.float64,
)
"""Of (a, b, y, z): a = y + e1, b = zeta + e2, z = y + 2 zeta."""
A, B, Y, Z = 0, 1, 2, 3


def draw(n: int, *columns: int, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, d, generator=generator, dtype=torch.float64) for d in columns)


def naive_residual(targets: np.ndarray, features: np.ndarray, intercept: bool) -> float:
    """W from the uncentred moments, a constant appended; sums by double loops."""
    if intercept:
        features = np.hstack([features, np.ones((len(features), 1))])
    n, d, k = len(features), features.shape[1], targets.shape[1]
    ff, tf = np.zeros((d, d)), np.zeros((k, d))
    for i in range(n):
        for a in range(d):
            for b in range(d):
                ff[a, b] += features[i, a] * features[i, b] / n
            for j in range(k):
                tf[j, a] += targets[i, j] * features[i, a] / n
    weight = tf @ np.linalg.pinv(ff, rcond=1e-12)
    return sum(
        (targets[i, j] - sum(weight[j, a] * features[i, a] for a in range(d))) ** 2 / n
        for i in range(n)
        for j in range(k)
    )


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 12), d=st.integers(1, 5), k=st.integers(1, 3), seed=st.integers(0, 10**6),
    intercept=st.booleans(),
)  # fmt: skip
def test_the_residual_is_the_double_loop(n: int, d: int, k: int, seed: int, intercept: bool) -> None:
    targets, features = draw(n, k, d, seed=seed)
    features = features + 3
    expected = naive_residual(targets.numpy(), features.numpy(), intercept)
    assert float(residual(targets, features, intercept=intercept)) == pytest.approx(
        expected, rel=1e-9, abs=1e-9
    )
    weight = best_linear(targets, features, intercept=intercept)
    assert weight.shape == (k, d + intercept)
    seen = torch.cat([features, torch.ones(n, 1, dtype=torch.float64)], dim=1) if intercept else features
    left = (targets - seen @ weight.T).square().sum(dim=1).mean()
    assert float(left) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_an_intercept_is_said() -> None:
    f, y = torch.tensor([[1.0], [1.0], [2.0]]), torch.tensor([[1.0], [1.0], [0.0]])
    assert float(residual(y, f, intercept=False)) == pytest.approx(4 / 9, rel=1e-12)
    assert float(residual(y, f)) == pytest.approx(0, abs=1e-12)
    assert best_linear(y, f).tolist() == [[pytest.approx(-1), pytest.approx(2)]]
    assert best_linear(y, f, intercept=False).tolist() == [[pytest.approx(1 / 3)]]


def test_no_more_samples_than_dimensions_fit_any_labels() -> None:
    features = torch.tensor([[1.0, 2.0, 0.0, 1.0], [0.0, 1.0, 1.0, 3.0], [2.0, 0.0, 1.0, 1.0]])
    labels = torch.tensor([[1.0], [-4.0], [2.5]])
    assert float(residual(labels, features, intercept=False)) == pytest.approx(0, abs=1e-12)
    for seed in range(5):
        wild, f = draw(8, 2, 8, seed=seed)
        assert float(residual(1e3 * wild, f, intercept=False)) == pytest.approx(0, abs=1e-12)
        assert float(residual(1e3 * wild, f[:, :7])) == pytest.approx(0, abs=1e-12)
        assert float(residual(wild, f[:, :7], intercept=False)) > 1e-6


def test_expected_errors_of_gaussian_designs() -> None:
    """n = 40, d = 15, variance 2: 2 (n - d)/n = 1.25 in-sample, 2 (1 + d/(n - d - 1)) = 3.25 new."""
    rng = np.random.default_rng(0)
    inside, new = [], []
    for _ in range(600):
        f, e = torch.from_numpy(rng.standard_normal((40, 15))), torch.from_numpy(rng.standard_normal((40, 1)))
        e = e * 2**0.5
        inside.append(float(residual(e, f, intercept=False)))
        new.append(2 + float(best_linear(e, f, intercept=False).square().sum()))
    for values, expected in ((inside, 1.25), (new, 3.25)):
        assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / len(values) ** 0.5)


def test_exact_residuals_and_losses_of_a_gaussian_world() -> None:
    def left(t: int, *f: int) -> float:
        f = list(f)
        return float(population_residual(COVARIANCE[[t]][:, [t]], COVARIANCE[[t]][:, f], COVARIANCE[f][:, f]))

    got = [left(t, *f) for f, t in (((A,), Y), ((A,), Z), ((A, B), Y), ((A, B), Z), ((B,), Y), ((B,), Z))]
    assert got == pytest.approx([0.5, 4.5, 0.5, 11 / 6, 1.0, 7 / 3], rel=1e-9)
    losses = [float(population_loss(COVARIANCE, f, [Y], [Z], 0.2)) for f in ([A], [A, B], [B])]
    assert losses == pytest.approx([-0.4, 2 / 15, 8 / 15], rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(d=st.integers(1, 4), k=st.integers(1, 3), seed=st.integers(0, 10**6), lam=st.floats(0, 3))
def test_samples_are_a_population_and_the_loss_is_a_trace(d: int, k: int, seed: int, lam: float) -> None:
    """L = const - ||E y u'||^2 + lam ||E z u'||^2 with u = M_ff^{-1/2} f."""
    f, y, z = draw(20, d, k, 2, seed=seed)
    joint = torch.cat([f, y, z], dim=1)
    moments = joint.T @ joint / 20
    places = range(d), range(d, d + k), range(d + k, d + k + 2)
    loss = float(pretext_loss(f, y, f, z, lam, intercept=False))
    assert float(population_loss(moments, *places, lam)) == pytest.approx(loss, rel=1e-9, abs=1e-9)
    values, vectors = np.linalg.eigh(moments[:d, :d].numpy())
    u = f.numpy() @ vectors / np.sqrt(values)
    yu, zu = y.numpy().T @ u / 20, z.numpy().T @ u / 20
    constant = float(y.square().sum() - lam * z.square().sum()) / 20
    trace = constant - np.square(yu).sum() + lam * np.square(zu).sum()
    assert loss == pytest.approx(trace, rel=1e-9, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6))
def test_only_the_span_of_f_counts(seed: int, scale: float) -> None:
    f_down, y, mix = draw(9, 3, 2, 3, seed=seed)
    f_pre, z = draw(15, 3, 2, seed=seed + 1)
    mix = mix[:3] + 4 * torch.eye(3)
    loss = float(pretext_loss(f_down, y, f_pre, z, 0.3))
    uneven = torch.tensor([1.0, scale, 1.0])
    for change in (mix, uneven.diag().double()):
        assert float(pretext_loss(f_down @ change + 5, y, f_pre @ change - 2, z, 0.3)) == pytest.approx(
            loss, rel=1e-7, abs=1e-9
        )


def test_the_gradient_is_that_of_the_value() -> None:
    f_down, y = draw(9, 3, 2, seed=1)
    f_pre, z = draw(15, 3, 2, seed=2)
    inputs = tuple(t.requires_grad_() for t in (f_down, y, f_pre, z))
    for intercept in (True, False):
        assert torch.autograd.gradcheck(lambda *t, i=intercept: pretext_loss(*t, 0.3, intercept=i), inputs)
    factor = draw(6, 6, seed=3)[0].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda m: population_loss(m @ m.T, [0, 1], [2, 3], [4, 5], 0.3), (factor,)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spoil", ["dependent", "constant", "all zero", "few", "near constant"])
def test_gradients_are_finite(spoil: str, dtype: torch.dtype) -> None:
    f, y = (t.to(dtype) for t in draw(3 if spoil == "few" else 10, 4, 2, seed=5))
    if spoil == "dependent":
        f[:, 1] = 2 * f[:, 0]
    if spoil == "constant":
        f[:, 1] = 0.1
    if spoil == "all zero":
        f = torch.zeros_like(f)
    if spoil == "near constant":
        f[:, 1] = 1 + 1e-6 * f[:, 1]
    f.requires_grad_()
    for intercept in (True, False):
        residual(y, f, intercept=intercept).backward()
    assert torch.isfinite(f.grad).all()
    assert f.grad.abs().max() < 1e8


@pytest.mark.parametrize("constant", [0.1, 1e-8, 12345.678])
def test_rounding_of_a_constant_predicts_nothing(constant: float) -> None:
    y = draw(7, 1, seed=1)[0]
    f = torch.full((7, 1), constant, dtype=torch.float64)
    variance = float((y - y.mean()).square().mean())
    assert float(residual(y, f)) == pytest.approx(variance, rel=1e-12)
    assert best_linear(y, f)[0, 0] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_of_dependent_features_predicts_nothing(dtype: torch.dtype) -> None:
    f, y = (t.to(dtype) for t in draw(30, 3, 1, seed=4))
    more = torch.cat([f + 3, (f @ f[:3] + 1) / 3], dim=1)
    assert float(residual(y, more)) == pytest.approx(float(residual(y, f)), rel=1e-5)
    two = draw(2, 2, 1, seed=3)
    assert float(residual(two[1], two[0] + 3)) == pytest.approx(0, abs=1e-12)


def test_lambda_weighs_the_pretext_term() -> None:
    f_down, y = draw(9, 3, 2, seed=1)
    f_pre, z = draw(15, 3, 2, seed=2)
    label, pretext = float(residual(y, f_down)), float(residual(z, f_pre))
    assert float(pretext_loss(f_down, y, f_pre, z, 0.0)) == label
    assert float(pretext_loss(f_down, y, f_pre, z, 2.0)) == pytest.approx(label - 2 * pretext, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f, y: residual(y[:5], f), "rows in common"),
        (lambda f, y: residual(y[:, 0], f), "rows in common"),
        (lambda f, y: residual(y[:0], f[:0]), "rows in common"),
        (lambda f, y: residual(y * torch.nan, f), "not all finite"),
        (lambda f, y: best_linear(y, f / 0), "not all finite"),
        (lambda f, y: pretext_loss(f, y, f, y, -0.1), "lambda"),
        (lambda f, y: pretext_loss(f, y, f, y, float("nan")), "lambda"),
        (lambda f, y: pretext_loss(f, y, f[:, :2], y, 0.1), "one dimension"),
        (lambda f, y: population_residual(y.T @ y, y.T @ f, y.T @ y), "do not fit"),
        (lambda f, y: population_residual(y.T @ y, y.T @ f * torch.inf, f.T @ f), "not all finite"),
    ],
)
def test_what_means_nothing_is_refused(call, words: str) -> None:
    f, y = draw(6, 3, 2)
    with pytest.raises(ValueError, match=words):
        call(f, y)
