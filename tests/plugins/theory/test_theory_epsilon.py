"""eps_CI: closed forms, the population value, what each estimate does to it, and the metric."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.numbers import number
from sslaudit_theory.metrics import ci_epsilon
from sslaudit_theory.metrics.pretext_pairs import Pairs
from sslaudit_theory.pretext.epsilon import (
    eps_ci,
    eps_ci_cross_fitted,
    eps_ci_plug_in,
    obstacle,
    partial_covariance,
    plug_in_bias,
    within_classes,
)

MIXTURE = 0.375
"""eps_CI^2 of the mixture: .5^2 tr (I + B)^{-1} with B = diag(1, 0); tr S_z|y is 1."""


def mixture(n: int, rng: np.random.Generator, noise: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X1 (with columns of noise), X2 = (X2hat + X1) / 2 and labels: two classes at (0, 0) and (2, 0)."""
    labels = rng.integers(0, 2, n)
    centres = np.array([[0.0, 0.0], [2.0, 0.0]])[labels]
    x1, other = centres + rng.normal(size=(n, 2)), centres + rng.normal(size=(n, 2))
    return np.hstack([x1, rng.normal(size=(n, noise))]), (other + x1) / 2, labels


def pairs_of(
    f: np.ndarray,
    z: np.ndarray,
    labels: np.ndarray,
    floor: np.ndarray | None = None,
    target: str = "rotation",
) -> Pairs:
    n = len(f)
    names = tuple(f"class {k}" for k in range(int(labels.max()) + 1))
    return Pairs(
        target, np.arange(n), f, z, f if floor is None else floor, labels, names, np.ones(n, dtype=bool)
    )


def test_the_population_value_of_the_mixture() -> None:
    between = np.diag([1.0, 0.0])
    one_hot = np.array([[0.25, -0.25], [-0.25, 0.25]])
    to_label = np.array([[-0.5, 0.5], [0.0, 0.0]])
    x2_x1 = 0.5 * np.eye(2) + between
    partial = partial_covariance(x2_x1, to_label, one_hot, to_label.T)
    np.testing.assert_allclose(partial, 0.5 * np.eye(2), atol=1e-12)
    assert eps_ci(np.eye(2) + between, partial) == pytest.approx(0.6123724356957945, rel=1e-9)


def test_opposite_classes_cancel() -> None:
    f = np.array([[0.0], [1.0], [2.0], [0.0], [1.0], [2.0]])
    z = np.array([[0.0], [1.0], [2.0], [2.0], [1.0], [0.0]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    by_class = [np.cov(f[labels == k, 0], z[labels == k, 0], bias=True)[0, 1] for k in (0, 1)]
    assert np.mean(np.square(by_class)) == pytest.approx(0.4444444444444444, abs=1e-12)
    assert eps_ci_plug_in(f, z, labels) == pytest.approx(0.0, abs=1e-12)
    many = eps_ci_cross_fitted(
        np.tile(f, (20, 1)), np.tile(z, (20, 1)), np.tile(labels, 20), rng=np.random.default_rng(0)
    )
    assert many.share < 0.02


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), d_f=st.integers(1, 5), d_z=st.integers(1, 4), k=st.integers(1, 4))
def test_plug_in_against_loops_and_two_regressions(seed: int, d_f: int, d_z: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    n = 30
    labels = np.r_[np.arange(k), rng.integers(0, k, n - k)]
    f = rng.normal(size=(n, d_f)) + labels[:, None]
    z = f[:, :1] + rng.normal(size=(n, d_z)) - 2 * labels[:, None]
    value = eps_ci_plug_in(f, z, labels)

    residual = np.empty_like(z)
    for i in range(n):
        members = [j for j in range(n) if labels[j] == labels[i]]
        for c in range(d_z):
            residual[i, c] = z[i, c] - sum(z[j, c] for j in members) / len(members)
    np.testing.assert_allclose(within_classes(z, labels), residual, atol=1e-12)
    design = np.hstack([np.ones((n, 1)), f])
    fitted = design @ np.linalg.lstsq(design, residual, rcond=None)[0]
    explained = sum(fitted[i, c] ** 2 for i in range(n) for c in range(d_z)) / n
    assert value**2 == pytest.approx(explained, rel=1e-9, abs=1e-14)

    one_hot = np.eye(k)[labels]
    joint = np.cov(np.hstack([f, z, one_hot]).T, bias=True).reshape(d_f + d_z + k, -1)
    ff, zz, yy = slice(0, d_f), slice(d_f, d_f + d_z), slice(d_f + d_z, None)
    partial = partial_covariance(joint[ff, zz], joint[ff, yy], joint[yy, yy], joint[yy, zz])
    assert value == pytest.approx(eps_ci(joint[ff, ff], partial), rel=1e-9, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999))
def test_directions_without_variance_and_changes_of_basis(seed: int) -> None:
    rng = np.random.default_rng(seed)
    f, z, labels = mixture(60, rng, noise=1)
    value = eps_ci_plug_in(f, z, labels)
    basis = rng.normal(size=(3, 3)) + 3 * np.eye(3)
    assert eps_ci_plug_in(f @ basis + 5, z, labels) == pytest.approx(value, rel=1e-7)
    assert eps_ci_plug_in(np.hstack([f, f[:, :1], np.ones((60, 1))]), z, labels) == pytest.approx(
        value, rel=1e-7
    )
    assert eps_ci_plug_in(f, 3 * z, labels) == pytest.approx(3 * value, rel=1e-9)
    assert eps_ci(np.zeros((2, 2)), np.zeros((2, 3))) == 0


def test_fewer_samples_than_features_explain_everything_in_sample() -> None:
    rng = np.random.default_rng(0)
    f, z, labels = rng.normal(size=(20, 50)), rng.normal(size=(20, 2)), np.arange(20) % 2
    within = np.square(within_classes(z, labels)).sum(axis=1).mean()
    assert eps_ci_plug_in(f, z, labels) ** 2 == pytest.approx(within, rel=1e-9)
    assert plug_in_bias(50, within, 20) == within
    found = eps_ci_cross_fitted(f, z, labels, rng=rng)
    assert found.share < 0.3
    assert found.eps_ci_squared == max(0.0, found.raw)


def test_cross_fitting_by_hand() -> None:
    """The folds are recovered from the seed, and each ridge is solved anew in float64."""
    from sklearn.model_selection import StratifiedKFold

    f, z, labels = mixture(80, np.random.default_rng(1), noise=3)
    found = eps_ci_cross_fitted(f, z, labels, rng=np.random.default_rng(2))
    seed = int(np.random.default_rng(2).integers(2**32))
    explained = np.full(80, np.nan)
    for fit, held in StratifiedKFold(5, shuffle=True, random_state=seed).split(f, labels):
        means = {k: z[[i for i in fit if labels[i] == k]].mean(axis=0) for k in (0, 1)}
        residual = np.array([z[i] - means[labels[i]] for i in fit])
        centre = f[fit].mean(axis=0)
        unit = len(fit) * f[fit].var(axis=0).mean()
        X = f[fit] - centre
        weights = np.empty((f.shape[1], z.shape[1]))
        for c in range(z.shape[1]):
            best = np.inf
            for penalty in unit * np.logspace(-6, 2, 9):
                inverse = np.linalg.inv(X.T @ X + penalty * np.eye(X.shape[1]))
                hat = X @ inverse @ X.T + 1 / len(fit)
                left = (residual[:, c] - hat @ residual[:, c]) / (1 - np.diag(hat))
                if np.mean(left**2) < best:
                    best, weights[:, c] = np.mean(left**2), inverse @ X.T @ residual[:, c]
        for i in held:
            r = z[i] - means[labels[i]]
            explained[i] = r @ r - np.sum((r - (f[i] - centre) @ weights) ** 2)
    np.testing.assert_allclose(found.explained, explained, rtol=1e-9, atol=1e-12)
    assert found.raw == pytest.approx(explained.mean(), rel=1e-9)


def test_one_estimate_errs_downwards_and_the_other_upwards() -> None:
    n, noise, runs = 400, 40, 25
    cross, plug = np.empty(runs), np.empty(runs)
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        f, z, labels = mixture(n, rng, noise)
        found = eps_ci_cross_fitted(f, z, labels, rng=rng)
        cross[seed], plug[seed] = found.raw, eps_ci_plug_in(f, z, labels) ** 2
    error = plug.std() / runs**0.5
    assert cross.mean() < MIXTURE - 3 * cross.std() / runs**0.5
    assert plug.mean() == pytest.approx(
        MIXTURE + plug_in_bias(2 + noise, 1 - MIXTURE, n), abs=3 * error + 0.005
    )
    independent = [
        eps_ci_plug_in(rng.normal(size=(n, 40)), rng.normal(size=(n, 3)), np.arange(n) % 4) ** 2
        for rng in map(np.random.default_rng, range(runs))
    ]
    assert np.mean(independent) == pytest.approx(plug_in_bias(40, 3.0, n), rel=0.05)


def test_cross_fitting_converges() -> None:
    f, z, labels = mixture(20_000, np.random.default_rng(0), noise=10)
    found = eps_ci_cross_fitted(f, z, labels, rng=np.random.default_rng(0))
    assert found.eps_ci == pytest.approx(0.6123724356957945, abs=0.01)
    assert found.share == pytest.approx(MIXTURE, abs=0.01)
    interval = found.interval(np.random.default_rng(1))
    assert interval.low < MIXTURE < interval.high
    assert interval.high - interval.low < 0.03


@pytest.mark.slow
def test_the_interval_covers_where_fitting_costs_nothing() -> None:
    runs, missed = 300, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        found = eps_ci_cross_fitted(*mixture(400, rng), rng=rng)
        interval = found.interval(rng, draws=500)
        missed += not interval.low <= MIXTURE <= interval.high
    assert missed <= 0.05 * runs + 3 * (0.05 * 0.95 * runs) ** 0.5


def test_more_dimensions_than_samples_take_the_shorter_way_to_one_number() -> None:
    rng = np.random.default_rng(8)
    base, z, labels = rng.normal(size=(30, 6)), rng.normal(size=(30, 3)), np.arange(30) % 3
    turn = np.linalg.qr(rng.normal(size=(90, 6)))[0].T
    assert eps_ci_plug_in(base @ turn, z, labels) == pytest.approx(eps_ci_plug_in(base, z, labels), rel=1e-9)
    wide, centred = rng.normal(size=(30, 90)), z - z.mean(axis=0)
    assert eps_ci_plug_in(wide, z, np.zeros(30)) ** 2 == pytest.approx(
        sum(float(row @ row) for row in centred) / 30, rel=1e-9
    )
    assert eps_ci_plug_in(np.ones((30, 90)), z, labels) == 0


def test_rotations_leave_it_unchanged_and_small_classes_are_left_out() -> None:
    rng = np.random.default_rng(3)
    f, z, labels = mixture(100, rng, noise=3)
    labels[:3] = 7
    found = eps_ci_cross_fitted(f, z, labels, rng=np.random.default_rng(0))
    assert found.rows.tolist() == list(range(3, 100))
    assert found.dims == (5, 2)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    turned = eps_ci_cross_fitted(2 * f @ turn - 1, z, labels, rng=np.random.default_rng(0))
    np.testing.assert_allclose(turned.explained, found.explained, rtol=1e-7, atol=1e-9)
    assert turned.penalty == pytest.approx(found.penalty)
    again = eps_ci_cross_fitted(f, z, labels, rng=np.random.default_rng(0))
    assert (again.explained == found.explained).all()


def test_what_cannot_be_measured() -> None:
    rng = np.random.default_rng(0)
    f, z, labels = rng.normal(size=(40, 3)), rng.normal(size=(40, 2)), np.arange(40) % 4
    by_class = rng.normal(size=(4, 3))[labels]
    assert obstacle(f, z, labels) == ""
    assert obstacle(f, z, np.arange(40) % 20) == "no class has 5 images, one for each fold"
    assert obstacle(np.full((40, 3), 0.1), z, labels) == "trivial: f is constant"
    assert obstacle(f, np.full((40, 2), 0.1), labels) == "trivial: z is constant"
    assert obstacle(f[:, :0], z, labels) == "trivial: f is constant"
    assert obstacle(f, z[:, :0], labels) == "trivial: z is constant"
    assert obstacle(by_class, z, labels) == "trivial: f is constant within classes"
    assert obstacle(f, by_class, labels) == "trivial: z is constant within classes"
    one = np.full((40, 3), 0.1)
    one[7] = 2.0
    assert eps_ci_cross_fitted(one, z, labels, rng=rng).share < 0.2  # constant in some fitting folds
    assert 0 <= eps_ci_cross_fitted(f, one, labels, rng=rng).interval(rng).low <= 1
    with pytest.raises(ValueError, match="cannot be measured: trivial: z is constant within classes"):
        eps_ci_cross_fitted(f, by_class, labels, rng=rng)
    with pytest.raises(ValueError, match="f is not all finite"):
        eps_ci_cross_fitted(np.where(f > 1, np.nan, f), z, labels, rng=rng)
    with pytest.raises(ValueError, match="z is a matrix"):
        eps_ci_plug_in(f, z[:, 0], labels)
    with pytest.raises(ValueError, match="not of the same samples"):
        eps_ci_plug_in(f, z[:-1], labels)
    with pytest.raises(ValueError, match="not of the same samples"):
        obstacle(f, z, labels[:, None])
    with pytest.raises(ValueError, match="is no covariance"):
        eps_ci(-np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match="does not fit"):
        eps_ci(np.eye(3), np.eye(2))
    with pytest.raises(ValueError, match="do not fit"):
        partial_covariance(np.eye(2), np.eye(3), np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match="no covariance"):
        plug_in_bias(3, 1.0, 0)


def test_the_metric() -> None:
    rng = np.random.default_rng(0)
    f, z, labels = mixture(1500, rng, noise=4)
    labels[:2] = 2
    answer = ci_epsilon.of_pairs(
        pairs_of(f, z, labels, floor=f[:, 2:], target="disjoint-crop"), np.random.default_rng(1)
    )
    details = answer.details
    assert answer.value == pytest.approx(MIXTURE, abs=0.04)
    assert answer.interval.low < answer.value < answer.interval.high
    assert "1,498 images" in answer.interval.method
    assert answer.bias == "under"
    assert answer.paper == "eps_CI^2, z = disjoint-crop"
    assert details["eps_ci"] == pytest.approx(MIXTURE**0.5, abs=0.03)
    assert details["reading"] == f"raw pixels {number(details['pixels'])}"
    assert details["eps_ci"] ** 2 == pytest.approx(details["eps_ci_squared"]) == pytest.approx(details["raw"])
    assert details["eps_ci"] < details["plug_in"]
    assert answer.value < details["plug_in_share"] < 0.5
    assert details["pixels"] <= details["pixels_high"] < 0.03
    assert details["pixels_low"] >= 0
    assert 0.5 < details["canonical_correlation"] < 0.8  # 1 / sqrt(2) before shrinkage
    assert (details["images"], details["dim"], details["target_dim"]) == (1498, 6, 2)
    assert details["penalty"] > 0
    assert "ci-condition" in answer.note
    assert "the interval is about images, for the maps at hand" in answer.note
    assert answer.note.endswith("Left out, for want of images: class 2 (1 class).")
    assert answer == ci_epsilon.of_pairs(
        pairs_of(f, z, labels, floor=f[:, 2:], target="disjoint-crop"), np.random.default_rng(1)
    )


def test_the_metric_has_nothing_to_say() -> None:
    rng = np.random.default_rng(0)
    f, z, labels = mixture(60, rng)

    def reason(*given: np.ndarray) -> str:
        answer = ci_epsilon.of_pairs(pairs_of(*given), np.random.default_rng(1))
        assert (answer.value, answer.verdict) == (None, "not-applicable")
        return answer.reason

    assert reason(f, z, np.zeros(60, dtype=np.int64)) == "one class only: there is nothing to condition on"
    assert reason(f, z, np.minimum(np.arange(60), 3)) == "fewer than two classes have 5 images"
    assert reason(f, np.ones((60, 1)), labels) == "trivial: z is constant"
    assert reason(f, np.ones((60, 0)), labels) == "trivial: z is constant"
    assert reason(labels[:, None] * np.ones((60, 2)), z, labels) == "trivial: f is constant within classes"
    wide = ci_epsilon.of_pairs(pairs_of(np.hstack([f] * 6), z, labels), np.random.default_rng(1))
    assert wide.details["canonical_correlation"] is None
    assert wide.details["canonical_missing"] == "60 images are less than 5 for each of 14 dimensions"
    floorless = ci_epsilon.of_pairs(pairs_of(f, z, labels, floor=np.ones((60, 3))), np.random.default_rng(1))
    assert floorless.value > 0
    assert floorless.details["pixels"] is None
    assert "reading" not in floorless.details
    assert floorless.details["pixels_missing"] == "trivial: f is constant"


def test_one_target_does_not_move_another(monkeypatch: pytest.MonkeyPatch) -> None:
    f, z, labels = mixture(80, np.random.default_rng(0))
    both = (pairs_of(f, z[:, :1], labels, target="color"), pairs_of(f, z, labels, target="rotation"))
    inputs = SimpleNamespace(rng=lambda: np.random.default_rng(4), labels_if_any=both[0].labels)
    monkeypatch.setattr(ci_epsilon, "of_targets", lambda _, measure: measure(both))
    answer = ci_epsilon.compute(inputs)
    assert list(answer) == ["color", "rotation"]
    assert answer["rotation"] == ci_epsilon.of_pairs(both[1], np.random.default_rng(4))
