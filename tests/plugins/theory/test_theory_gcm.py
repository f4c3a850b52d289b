"""Criterion C1 for continuous labels: the statistic, its null distribution, and what each test can see."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit_theory.independence.continuous import Gcm, cross_fitted_residuals, gcm


def confounded(kind: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f and z with means that both depend on y^2, and Cov(f, z | y) as ``kind`` says."""
    y = rng.normal(size=n)
    e, u = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    if kind == "dependent":  # uncorrelated given y, not independent
        u = u * np.abs(e[:, :1])
    if kind == "linear":
        u[:, 0] += 0.4 * e[:, 1]
    if kind == "cancelling":  # Cov(f, z | y) = y, of mean zero
        u[:, 0] += y * e[:, 1]
    f = np.outer(y**2, [1.0, 0.5, -1.0]) + np.sin(2 * y)[:, None] + e
    z = np.outer(y**2, [0.7, 1.0]) + np.cos(y)[:, None] + u
    return f, z, y


def rates(kind: str, n: int, runs: int) -> np.ndarray:
    """How often the plain test, the binned one and both together reject at 5 %."""
    p = np.empty((runs, 3))
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        found = gcm(*confounded(kind, n, rng), rng=rng, draws=199)
        p[seed] = found.p, found.p_binned, found.p_either
    share: np.ndarray = (p <= 0.05).mean(axis=0)
    return share


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 999),
    d_f=st.integers(1, 4),
    d_z=st.integers(1, 3),
    k=st.integers(1, 2),
    bins=st.integers(1, 5),
)
def test_against_double_loops(seed: int, d_f: int, d_z: int, k: int, bins: int) -> None:
    n, draws = 43, 9
    rng = np.random.default_rng(seed)
    f, z, y = rng.normal(size=(n, d_f)), rng.normal(size=(n, d_z)), rng.normal(size=(n, k))
    found = gcm(f, z, y, rng=np.random.default_rng(seed), draws=draws, bins=bins)

    again = np.random.default_rng(seed)
    r = cross_fitted_residuals(np.hstack([f, z]), y, rng=again)
    signs = 2 * again.integers(2, size=(draws, n)) - 1
    parts = [list(range(n))]
    for column in range(k):
        order = sorted(range(n), key=lambda i: y[i, column])
        parts += [[i for place, i in enumerate(order) if place * bins // n == b] for b in range(bins)]

    def largest(part: list[int], sign: np.ndarray) -> float:
        best = 0.0
        for j in range(d_f):
            for m in range(d_z):
                products = [sign[i] * r[i, j] * r[i, d_f + m] for i in part]
                mean = sum(products) / len(part)
                square = sum(product**2 for product in products) / len(part)
                best = max(best, len(part) ** 0.5 * abs(mean) / square**0.5)
        return best

    plain, *binned = (largest(part, np.ones(n)) for part in parts)
    assert found.statistic == pytest.approx(plain, rel=1e-9)
    assert found.statistic_binned == pytest.approx(max(binned), rel=1e-9)
    null = [[largest(part, sign) for part in parts] for sign in signs]
    assert found.p == pytest.approx((1 + sum(row[0] >= plain for row in null)) / (draws + 1))
    assert found.p_binned == pytest.approx(
        (1 + sum(max(row[1:]) >= max(binned) for row in null)) / (draws + 1)
    )
    column, b = found.bin
    assert binned[column * bins + b] == pytest.approx(max(binned), rel=1e-9)


def test_the_mean_vanishes_and_only_the_bins_see_it() -> None:
    plain, binned, either = rates("cancelling", 300, 25)
    assert plain <= 0.28  # 5 % with three standard errors of 25 runs, and y^2 e^2 has heavy tails
    assert binned >= 0.9
    assert either >= 0.9


def test_power_where_the_covariance_is_the_same_for_all_labels() -> None:
    plain, binned, either = rates("linear", 300, 25)
    assert plain >= 0.95
    assert either >= 0.95
    assert binned > 0.4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["independent", "dependent"])
@pytest.mark.parametrize("n", [100, 400])
def test_type_one_error_with_nonlinear_confounding(kind: str, n: int) -> None:
    runs = 400
    assert (rates(kind, n, runs) <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5).all()


def test_residuals_of_what_the_label_explains() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(600, 2))
    smooth = np.stack([y[:, 0] ** 2, np.sin(2 * y[:, 1]), y[:, 0] * y[:, 1]], axis=1)
    r = cross_fitted_residuals(smooth + 0.1 * rng.normal(size=smooth.shape), y, rng=rng)
    assert (r.var(axis=0) < 0.05 * smooth.var(axis=0)).all()
    noisy = smooth + rng.normal(size=smooth.shape)
    shift, scale = np.array([5.0, -3.0, 0.0]), np.array([1e-6, 1e5, 1.0])
    one = cross_fitted_residuals(noisy, y, rng=np.random.default_rng(1))
    two = cross_fitted_residuals(noisy * scale + shift, y, rng=np.random.default_rng(1))
    np.testing.assert_allclose(two / scale, one, rtol=0, atol=1e-6)
    alone = cross_fitted_residuals(noisy[:, 1], y, rng=np.random.default_rng(1))
    np.testing.assert_allclose(alone, one[:, 1:2], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("y", "why"),
    [
        (np.ones(100), "1 distinct value: .* c1_test"),
        (np.arange(100) % 3, "3 distinct values: .* c1_test"),
        (np.r_[np.nan, np.arange(99.0)], "y is not all finite"),
        (np.arange(99.0), "100, 100 and 99 samples"),
        (np.zeros((100, 0)), "y is"),
    ],
)
def test_labels_that_are_refused(y: np.ndarray, why: str) -> None:
    rng = np.random.default_rng(0)
    f, z = rng.normal(size=(100, 2)), rng.normal(size=(100, 2))
    with pytest.raises(ValueError, match=why):
        gcm(f, z, y, rng=rng)


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    f, z, y = rng.normal(size=(39, 2)), rng.normal(size=(39, 2)), rng.normal(size=39)
    with pytest.raises(ValueError, match="39 samples are too few for 5 folds and 5 bins"):
        gcm(f, z, y, rng=rng)
    with pytest.raises(ValueError, match="a bin and a draw"):
        gcm(f, z, y, rng=rng, bins=0)
    with pytest.raises(ValueError, match="f is not all finite"):
        gcm(np.where(f > 1, np.inf, f), z, y, rng=rng)
    with pytest.raises(ValueError, match="z is"):
        gcm(f, z[:, :, None], y, rng=rng)


@pytest.mark.parametrize("constant", ["f", "z"])
@pytest.mark.parametrize("linear", [False, True])
def test_nothing_is_left_given_the_label(constant: str, linear: bool) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=80)
    given = {"f": rng.normal(size=(80, 2)), "z": rng.normal(size=(80, 3))}
    given[constant] = np.stack([3 * y - 1, np.full(80, 0.1)], axis=1) if linear else np.full((80, 1), 0.1)
    found = gcm(**given, y=y, rng=rng)
    assert found.trivial == f"{constant} constant given y"
    assert found.verdict() == f"C1 trivially true ({constant} constant given y)"
    assert found.statistic is found.p is found.p_binned is found.p_either is found.detectable is None


def test_constant_components_are_left_out_and_places_are_kept() -> None:
    rng = np.random.default_rng(3)
    y, e = rng.normal(size=200), rng.normal(size=200)
    f = np.stack([np.full(200, 2.0), rng.normal(size=200), y + e], axis=1)
    z = np.stack([np.full(200, -1.0), rng.normal(size=200), y, e + rng.normal(size=200)], axis=1)
    found = gcm(f, z, np.stack([np.ones(200), y], axis=1), rng=rng, draws=99)
    assert found.component == (2, 3)
    assert found.p == 0.01
    assert found.bin[0] == 1
    assert found.verdict() == "C1 rejected"


def test_words_and_what_could_have_been_found() -> None:
    rng = np.random.default_rng(1)
    f, z, y = confounded("independent", 200, rng)
    found = gcm(f, z, y, rng=rng)
    assert found.p_either > 0.05
    assert found.verdict() == f"C1 not rejected (detectable effect {f'{found.detectable:.3f}'[1:]})"
    assert found.detectable < found.detectable_binned < 1

    assert Gcm(n=9, bins=1, draws=9, alpha=0.05, p=0.6, p_binned=0.7).p_either == 1


def test_the_detectable_effect_is_found_four_times_in_five() -> None:
    n, hits, runs = 150, 0, 40
    effect = 0.3
    reach = []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        y, e = rng.normal(size=n), rng.normal(size=n)
        found = gcm(e + y, effect * e + rng.normal(size=n) + y, y, rng=rng, draws=199)
        hits += found.p <= 0.05
        reach.append(found.detectable)
    # mean / rms of e (.3 e + u) is .3 / sqrt(.27 + 1.09) = .262, a little more than what is found in 80 %
    assert np.mean(reach) == pytest.approx((1.96 + 0.84) / n**0.5, rel=0.05)
    assert 0.7 <= hits / runs <= 1


def test_equal_inputs_give_equal_answers() -> None:
    rng = np.random.default_rng(2)
    f, z, y = confounded("independent", 120, rng)
    one = gcm(f, z, y, rng=np.random.default_rng(5), draws=60)
    assert one == gcm(f, z, y, rng=np.random.default_rng(5), draws=60)
    assert one != gcm(f, z, y, rng=np.random.default_rng(6), draws=60)


def test_the_products_of_all_draws_are_never_held() -> None:
    rng = np.random.default_rng(2)
    n, d_f, d_z, draws = 120, 300, 90, 800
    f, z, y = rng.normal(size=(n, d_f)), rng.normal(size=(n, d_z)), rng.normal(size=n)
    tracemalloc.start()
    found = gcm(f, z, y, rng=rng, draws=draws)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.p > 0.01
    assert peak < 8 * d_f * d_z * draws / 2


@pytest.mark.parametrize("law", ["atom", "heavy", "counts", "binary column", "offset"])
def test_awkward_labels(law: str) -> None:
    rng = np.random.default_rng(4)
    y = {
        "atom": np.maximum(rng.normal(size=300), 0.0),
        "heavy": rng.standard_t(2, size=300),
        "counts": rng.integers(0, 12, 300).astype(float),
        "binary column": np.stack([rng.normal(size=300), rng.integers(0, 2, 300)], axis=1),
        "offset": 1e8 + rng.normal(size=300),
    }[law]
    first = (y if y.ndim == 1 else y[:, 0])[:, None]
    z = first + rng.normal(size=(300, 2))
    found = gcm(first + rng.normal(size=(300, 3)), z, y, rng=rng, draws=99)
    assert found.p > 0.01
    assert found.p_binned > 0.01
