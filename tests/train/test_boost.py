"""Minimisers of the pretext loss against brute force, exact worlds, and what must not change them."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from torch import nn

from sslaudit.errors import TrainingError
from sslaudit.train.boost import Refinement, finite, network, refine
from sslaudit.train.boost.finite import minimise
from sslaudit.train.boost.linear import closed_form, pretext_moments, whitener
from sslaudit.train.losses import pretext_loss
from sslaudit.train.losses.pretext import residual


def samples(n: int, n0: int, D: int = 6, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Pretext features and targets, downstream features and labels; both depend on the features."""
    rng = np.random.default_rng(seed)
    to_z, to_y = rng.standard_normal((D, 3)), rng.standard_normal((D, 2))
    scales = rng.uniform(0.5, 3, D)
    x, x_down = (rng.standard_normal((m, D)) * scales + 1 for m in (n, n0))
    z = x @ to_z + rng.standard_normal((n, 3))
    y = x_down @ to_y + 2 * rng.standard_normal((n0, 2))
    return x, z, x_down, y


def loss_of(weight: np.ndarray, x, z, x_down, y, lam: float, intercept: bool = True) -> float:
    f_down, f_pre = (torch.from_numpy(a @ weight.T) for a in (x_down, x))
    return float(
        pretext_loss(f_down, torch.from_numpy(y), f_pre, torch.from_numpy(z), lam, intercept=intercept)
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), dim=st.integers(1, 4), lam=st.floats(0.01, 2))
def test_no_other_linear_f_beats_the_closed_form(seed: int, dim: int, lam: float) -> None:
    x, z, _, _ = samples(30, 1, seed=seed)
    y = np.random.default_rng(seed).standard_normal((30, 2)) + x[:, :2]
    pair = pretext_moments(x, z), pretext_moments(x, y)
    best = closed_form(pair[0].xx, pair[1].xz, pair[0].xz, lam=lam, dim=dim)
    assert best @ pair[0].xx @ best.T == pytest.approx(np.eye(dim), abs=1e-9)
    loss = loss_of(best, x, z, x, y, lam)
    rng = np.random.default_rng(seed + 1)
    for size in (1e-3, 0.1, 1, 100):
        other = best + size * rng.standard_normal(best.shape)
        assert loss_of(other, x, z, x, y, lam) >= loss - 1e-9 * abs(loss)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("n0", [3, 7, 20])
def test_the_objective_and_its_gradient_are_those_of_the_loss(n0: int, intercept: bool) -> None:
    x, z, x_down, y = samples(40, n0)
    moments = pretext_moments(x, z, intercept=intercept)
    whitening = whitener(moments.xx)
    down, labels = (x_down - x_down.mean(0), y - y.mean(0)) if intercept else (x_down, y)
    objective = finite._Objective(whitening, moments, down, labels, 0.3, 2)
    U = torch.randn(6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    f_down, f_pre = (torch.from_numpy(a @ whitening.T) @ U for a in (x_down, x))
    loss = pretext_loss(f_down, torch.from_numpy(y), f_pre, torch.from_numpy(z), 0.3, intercept=intercept)
    loss.backward()
    value, gradient = objective(U.detach().numpy().ravel())
    assert value == pytest.approx(loss.item(), rel=1e-9)
    np.testing.assert_allclose(gradient.reshape(6, 2), U.grad.numpy(), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("n0", [4, 9, 30])
def test_no_nearby_or_random_f_beats_the_minimiser(n0: int, intercept: bool) -> None:
    data = samples(60, n0, seed=n0)
    found = minimise(
        pretext_moments(*data[:2], intercept=intercept), *data[2:], lam=0.2, dim=2, intercept=intercept,
        rng=np.random.default_rng(0), starts=2,
    )  # fmt: skip
    assert loss_of(found.weight, *data, 0.2, intercept) == pytest.approx(found.loss, rel=1e-7)
    assert found.loss == pytest.approx(found.label_term - 0.2 * found.pretext_term, rel=1e-12)
    rng = np.random.default_rng(1)
    for size in np.tile([1e-3, 0.03, 1, 30], 50):
        other = found.weight + size * rng.standard_normal(found.weight.shape)
        assert loss_of(other, *data, 0.2, intercept) >= found.loss - 1e-6 * abs(found.loss)


def test_with_all_samples_the_minimiser_is_the_closed_form() -> None:
    x, z, _, y = samples(50, 50)
    labels = pretext_moments(x, y)
    moments = pretext_moments(x, z)
    expected = closed_form(moments.xx, labels.xz, moments.xz, lam=0.1, dim=2)
    found = minimise(moments, x, y, lam=0.1, dim=2, rng=np.random.default_rng(0))
    assert found.loss == pytest.approx(loss_of(expected, x, z, x, y, 0.1), rel=1e-9)


@pytest.mark.parametrize("intercept", [True, False])
def test_few_labels_say_nothing(intercept: bool) -> None:
    """n0 <= d_f, or d_f + 1 with an intercept: label term 0, and the same f whatever the labels are."""
    x, z, x_down, y = samples(60, 3 + intercept)
    found = [
        refine(x, z, x_down, labels, lam=0.1, dim=3, intercept=intercept)
        for labels in (y, -5 * y[::-1], 0 * y)
    ]
    assert [one.label_term for one in found] == pytest.approx([0] * 3, abs=1e-9)
    for one in found[1:]:
        assert torch.equal(one.module[0].weight, found[0].module[0].weight)
    x, z, x_down, y = samples(60, 20)
    a, b = (refine(x, z, x_down, labels, lam=0.1, dim=3, intercept=intercept) for labels in (y, y[::-1]))
    assert min(a.label_term, b.label_term) > 0.1
    assert not torch.equal(a.module[0].weight, b.module[0].weight)


def test_as_many_labels_as_features_are_fitted_too() -> None:
    x, z, x_down, y = samples(200, 20, D=24)
    rng = np.random.default_rng(0)
    wild = rng.standard_normal(y.shape)
    assert refine(x, z, x_down, wild, lam=1e-4, dim=8).label_term < 0.02 * np.var(wild) * 2


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_refine_tells_what_its_module_reaches(kind: str) -> None:
    x, z, x_down, y = samples(80, 30)
    seen = []
    found = refine(
        x, z, x_down, y, lam=0.2, dim=2, network=kind, seed=3, steps=40,
        on_step=lambda number, loss: seen.append((number, loss)),
    )  # fmt: skip
    assert isinstance(found, Refinement)
    assert (found.lam, found.dim, found.n0, found.network) == (0.2, 2, 30, kind)
    f_down, f_pre = (found.module(torch.from_numpy(a)) for a in (x_down, x))
    assert f_pre.shape == (80, 2)
    assert f_pre.dtype == torch.float32
    assert not f_pre.requires_grad
    label, pretext = float(residual(torch.from_numpy(y), f_down)), float(residual(torch.from_numpy(z), f_pre))
    assert (found.label_term, found.pretext_term) == (label, pretext)
    assert found.loss == label - 0.2 * pretext
    assert [number for number, _ in seen] == list(range(1, len(seen) + 1))
    assert all(math.isfinite(loss) for _, loss in seen)
    assert {type(layer) for layer in found.module} <= {nn.Linear, nn.ReLU}
    for copied in (copy.deepcopy(found.module), pickle.loads(pickle.dumps(found.module))):
        assert torch.equal(copied(torch.from_numpy(x).float()), f_pre)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_equal_input_gives_equal_weights_and_leaves_generators_alone(kind: str) -> None:
    data = samples(80, 30)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    a, b = (refine(*data, lam=0.2, dim=2, network=kind, seed=1, steps=20).module for _ in range(2))
    tensors = refine(*map(torch.from_numpy, data), lam=0.2, dim=2, network=kind, seed=1, steps=20).module
    assert torch.equal(before, torch.get_rng_state())
    for one, other, third in zip(a.parameters(), b.parameters(), tensors.parameters(), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)


def test_arrays_of_any_kind_are_read() -> None:
    data = [a.astype(np.float32) for a in samples(80, 30)]
    plain = refine(*data, lam=0.2, dim=2).loss
    for array in data:
        array.flags.writeable = False
    assert refine(*data, lam=0.2, dim=2).loss == plain
    assert refine(*(a[::-1][::-1] for a in data), lam=0.2, dim=2).loss == plain
    assert refine(*(torch.tensor(a, requires_grad=True) for a in data), lam=0.2, dim=2).loss == plain
    halves = [torch.tensor(a).bfloat16() for a in data]
    assert refine(*halves, lam=0.2, dim=2).loss == pytest.approx(plain, rel=0.2)
    labels = (data[3] > 0).astype(np.int64)
    assert refine(*data[:3], labels, lam=0.2, dim=2).label_term < 0.5


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_units_and_constant_features_do_not_matter(kind: str) -> None:
    x, z, x_down, y = samples(80, 30)
    plain = refine(x, z, x_down, y, lam=0.2, dim=2, network=kind, steps=50)
    units = np.array([0.1, 1, 10, 1, 100, 1])
    scaled = refine(x * units - 3, z, x_down * units - 3, y, lam=0.2, dim=2, network=kind, steps=50)
    assert scaled.loss == pytest.approx(plain.loss, rel=1e-3)
    dead, dead_down = (np.hstack([a, np.full((len(a), 1), 0.1)]) for a in (x, x_down))
    found = refine(dead, z, dead_down, y, lam=0.2, dim=2, network=kind, steps=50)
    if kind == "linear":
        assert found.loss == pytest.approx(plain.loss, rel=1e-5)
    changed = dead.copy()
    changed[:, -1] = 7
    assert torch.equal(found.module(torch.from_numpy(dead)), found.module(torch.from_numpy(changed)))


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_rounding_of_a_constant_is_no_feature(kind: str) -> None:
    """A dead unit whose value differs by batch, in the last place of single precision: it fits no labels."""
    x, z, x_down, y = (a.astype(np.float32) for a in samples(80, 30))
    plain = refine(x, z, x_down, y, lam=0.2, dim=2, network=kind, steps=50)
    rng = np.random.default_rng(0)
    values = np.nextafter(np.float32(0.3), np.array([0, 1], np.float32))
    noisy, noisy_down = (np.hstack([a, rng.choice(values, (len(a), 1))]) for a in (x, x_down))
    for dtype in (np.float32, np.float64):
        found = refine(
            noisy.astype(dtype), z, noisy_down.astype(dtype), y, lam=0.2, dim=2, network=kind, steps=50
        )
        assert not found.module[0].weight[:, -1].any()
        if kind == "linear":
            assert found.loss == pytest.approx(plain.loss, rel=1e-5)


@pytest.mark.parametrize("n0", [4, 5, 8, 12])
def test_the_minimum_is_that_of_many_starts(n0: int) -> None:
    """Of the raw loss: least squares of numpy, and derivatives by differences. D = 5, d_f = 2."""
    x, z, x_down, y = samples(40, n0, D=5, seed=n0)

    def left(t: np.ndarray, f: np.ndarray) -> float:
        t, f = t - t.mean(0), f - f.mean(0)
        return float(np.square(t - f @ np.linalg.lstsq(f, t, rcond=1e-10)[0]).sum() / len(t))

    def loss(flat: np.ndarray) -> float:
        A = flat.reshape(5, 2)
        return left(y, x_down @ A) - 0.3 * left(z, x @ A)

    rng = np.random.default_rng(0)
    ends = [optimize.minimize(loss, rng.standard_normal(10), method="L-BFGS-B").fun for _ in range(6)]
    found = minimise(pretext_moments(x, z), x_down, y, lam=0.3, dim=2, rng=rng)
    assert found.loss <= min(ends) + 1e-4 * abs(min(ends))
    assert loss(found.weight.T.ravel()) == pytest.approx(found.loss, rel=1e-6)


def test_true_labels_are_fitted_no_better_than_shuffled_ones_up_to_the_number_of_features() -> None:
    """With fewer dimensions than the labels have, too: then the label term is not 0, and the same."""
    for dim in (2, 1):
        x, z, x_down, y = samples(200, 12, D=12)
        terms = [
            refine(x, z, x_down, labels, lam=1e-6, dim=dim).label_term
            for labels in (y, y[np.random.default_rng(1).permutation(12)])
        ]
        spread = np.linalg.eigvalsh(np.cov(y.T, bias=True))
        assert terms == pytest.approx([spread[: 2 - dim].sum()] * 2, abs=1e-3 * spread.sum())


def test_a_network_fits_any_labels_of_more_than_twice_as_many_images_as_features() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((200, 16)), np.eye(3)[rng.integers(0, 3, 200)]
    z = x[:, :4] + rng.standard_normal((200, 4))
    linear, mlp = (
        refine(x, z, x, labels, lam=0.02, dim=3, network=kind).label_term for kind in ("linear", "mlp")
    )
    assert mlp < 0.05 < 0.5 < linear


def test_batches_grow_with_the_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a batch of d_f samples W* would fit any labels, and the labels would teach nothing."""
    monkeypatch.setattr(network, "BATCH", 8)
    sizes = []
    loss = network.pretext_loss
    monkeypatch.setattr(
        network,
        "pretext_loss",
        lambda f, y, g, z, lam, **said: (sizes.append((len(f), len(g))), loss(f, y, g, z, lam, **said))[1],
    )
    refine(*samples(80, 30), lam=0.2, dim=4, network="mlp", steps=2)
    assert sizes == [(30, 32)] * 2


def test_dependent_features_are_no_further_dimensions() -> None:
    x, z, x_down, y = samples(80, 30)
    plain = refine(x, z, x_down, y, lam=0.2, dim=2)
    twice, twice_down = (np.hstack([a, a @ np.ones((6, 6)), a]) for a in (x, x_down))
    assert refine(twice, z, twice_down, y, lam=0.2, dim=2).loss == pytest.approx(plain.loss, rel=1e-5)
    with pytest.raises(ValueError, match="1 to 6 dimensions, the rank"):
        refine(twice, z, twice_down, y, lam=0.2, dim=7)


def test_a_network_finds_what_no_linear_f_has() -> None:
    """y is the product of two features."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 4))
    y, z = x[:, :1] * x[:, 1:2], x[:, 2:] + 0.1 * rng.standard_normal((600, 2))
    linear = refine(x, z, x, y, lam=0.05, dim=2)
    mlp = refine(x, z, x, y, lam=0.05, dim=2, network="mlp", steps=300)
    assert linear.label_term > 0.9 * float(y.var())
    assert mlp.label_term < 0.2 * float(y.var())
    assert mlp.loss < linear.loss


def test_a_network_sees_batches_of_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "BATCH", 25)
    data = samples(80, 30)
    a, b = (refine(*data, lam=0.2, dim=2, network="mlp", steps=100, seed=seed) for seed in (0, 1))
    assert a.loss == pytest.approx(b.loss, rel=0.2)
    assert not torch.equal(a.module[0].weight, b.module[0].weight)


def test_a_network_that_diverges_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LEARNING_RATE", 1e30)
    with pytest.raises(TrainingError, match="no longer finite"):
        refine(*samples(80, 30), lam=0.2, dim=2, network="mlp", steps=20)


def test_constant_targets_and_labels_are_no_obstacle() -> None:
    x, z, x_down, y = samples(80, 30)
    found = refine(x, np.ones_like(z), x_down, y, lam=0.2, dim=2)
    assert found.pretext_term == pytest.approx(0, abs=1e-12)
    f_down = torch.from_numpy(x_down)
    assert found.label_term == pytest.approx(float(residual(torch.from_numpy(y), f_down)), rel=1e-5)
    assert refine(x, z, x_down, np.ones_like(y), lam=0.2, dim=2).label_term == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lam": 0}, "lambda"),
        ({"lam": math.nan}, "lambda"),
        ({"dim": 0}, "dimensions"),
        ({"dim": 7}, "1 to 6 dimensions, the rank"),
        ({"dim": 79}, "N = 80 samples"),
        ({"network": "tree"}, "none of linear, mlp"),
        ({"steps": 0}, "1 step or more"),
        ({"z": np.ones((79, 3))}, "do not fit"),
        ({"y": np.ones((30, 0))}, "y has two axes"),
        ({"y": np.ones(30)}, "y has two axes"),
        ({"x_down": np.ones((30, 5))}, "do not fit"),
        ({"x_pre": np.full((80, 6), np.nan)}, "x_pre is not all finite"),
        ({"x_pre": np.ones((80, 6))}, "the rank of the features"),
    ],
)
def test_what_means_nothing_is_refused(change: dict, words: str) -> None:
    given = dict(zip(("x_pre", "z", "x_down", "y"), samples(80, 30), strict=True)) | {"lam": 0.2, "dim": 2}
    with pytest.raises(ValueError, match=words):
        refine(**(given | change))
