"""L(f; P) on samples: loops, worlds with exact moments, and what stands beside it."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.results import Estimate, Interval
from sslaudit_theory.metrics import pretext_loss
from sslaudit_theory.metrics.pretext_loss import estimates, pretext_terms
from sslaudit_theory.metrics.pretext_pairs import Pairs
from sslaudit_theory.pretext.predictor import PENALTIES

WORLD = np.array([[2.0, 0, 1, 1], [0, 1.5, 0, 2], [1, 0, 1, 1], [1, 2, 1, 5]])
"""Covariance of a = y + e1, b = zeta + e2, y and z = y + 2 zeta."""


def pairs_of(seed: int = 0, *, n: int = 120, d: int = 4, target: str = "disjoint-crop") -> Pairs:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    f = np.eye(3)[labels] @ rng.normal(size=(3, d)) + rng.normal(size=(n, d))
    return Pairs(
        target=target,
        images=np.arange(n),
        f=f,
        z=f[:, :2] + rng.normal(size=(n, 2)),
        floor=f[:, :1],
        labels=labels,
        names=("a", "b", "c"),
        train=np.arange(n) % 4 > 0,
    )


def changed(pairs: Pairs, **fields: object) -> Pairs:
    return Pairs(**{**{name: getattr(pairs, name) for name in Pairs.__slots__}, **fields})


def estimate_of(pairs: Pairs, results: dict[str, Estimate] | None = None, lam: float = 0.02) -> Estimate:
    found = estimates([pairs], results or {}, lam=lam, rng=np.random.default_rng(0))
    assert list(found) == [pairs.target]
    return found[pairs.target]


def naive_errors(targets: np.ndarray, f: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Normal equations with a column of ones, summed row by row."""
    ones = np.concatenate([f, np.ones((len(f), 1))], axis=1)
    moment, cross = np.zeros((ones.shape[1],) * 2), np.zeros((targets.shape[1], ones.shape[1]))
    for i in np.flatnonzero(train):
        moment += np.outer(ones[i], ones[i])
        cross += np.outer(targets[i], ones[i])
    weights = cross @ np.linalg.inv(moment)
    return np.array(
        [
            sum((t - w @ x) ** 2 for t, w in zip(y, weights, strict=True))
            for y, x in zip(targets, ones, strict=True)
        ]
    )


def naive_ridge(targets: np.ndarray, f: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Each column with the penalty that does best when one training row after the other is left out."""
    rows = np.flatnonzero(train)
    unit = len(rows) * f[rows].var(axis=0).mean()

    def fit(kept: np.ndarray, t: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
        centre, level = f[kept].mean(axis=0), t[kept].mean()
        x = f[kept] - centre
        weight = np.linalg.solve(x.T @ x + penalty * unit * np.eye(x.shape[1]), x.T @ (t[kept] - level))
        return weight, level - weight @ centre

    errors = np.zeros(len(f))
    for t in targets.T:
        left_out = {}
        for penalty in PENALTIES:
            fits = [(i, *fit(rows[rows != i], t, penalty)) for i in rows]
            left_out[penalty] = sum((t[i] - f[i] @ weight - level) ** 2 for i, weight, level in fits)
        weight, level = fit(rows, t, min(left_out, key=lambda penalty: left_out[penalty]))
        errors += (t - f @ weight - level) ** 2
    return errors


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=8, deadline=None)
def test_both_parts_are_those_of_the_loops(seed: int, d: int, d_y: int, d_z: int) -> None:
    rng = np.random.default_rng(seed)
    f, y, z = (rng.normal(size=(24, k)) for k in (d, d_y, d_z))
    train = np.arange(24) % 3 > 0
    terms = pretext_terms(y, z, f, train)
    held_out = [naive_ridge(each, f, train)[~train] for each in (y, z)]
    np.testing.assert_allclose(terms.label, held_out[0], rtol=1e-9)
    np.testing.assert_allclose(terms.pretext, held_out[1], rtol=1e-9)
    np.testing.assert_allclose(terms.losses(0.3), held_out[0] - 0.3 * held_out[1], rtol=1e-9, atol=1e-9)
    label, pretext = naive_errors(y, f, train), naive_errors(z, f, train)
    assert terms.label_in_sample == pytest.approx(label[train].mean(), rel=1e-9)
    assert terms.pretext_in_sample == pytest.approx(pretext[train].mean(), rel=1e-9)
    assert terms.in_sample(0.3) == pytest.approx(label[train].mean() - 0.3 * pretext[train].mean())


@pytest.mark.parametrize(
    ("columns", "label", "pretext", "loss"),
    [
        ([0], 0.5, 4.5, -0.4),
        ([0, 1], 0.5, 1.8333333333333335, 0.1333333333333333),
        ([1], 1.0, 2.3333333333333335, 0.5333333333333334),
    ],
)
def test_samples_with_the_moments_of_the_gaussian_world_have_its_loss(
    columns: list[int], label: float, pretext: float, loss: float
) -> None:
    """The residuals of y and z on a, on (a, b) and on b, and L at lambda = .2."""
    rows = np.random.default_rng(0).normal(size=(40, 4))
    white = np.linalg.qr(rows - rows.mean(axis=0))[0] * np.sqrt(40)
    x = white @ np.linalg.cholesky(WORLD).T
    twice, train = np.concatenate([x, x]), np.arange(80) < 40
    terms = pretext_terms(twice[:, 2:3], twice[:, 3:], twice[:, columns], train)
    assert terms.label_in_sample == pytest.approx(label, rel=1e-9)
    assert terms.pretext_in_sample == pytest.approx(pretext, rel=1e-9)
    assert terms.in_sample(0.2) == pytest.approx(loss, rel=1e-9)
    slack = 1 - 1e-9
    assert slack * label <= terms.label.mean() < 1.2 * label  # a penalty leaves more, and here little
    assert slack * pretext <= terms.pretext.mean() < 1.2 * pretext


def test_the_intercept_takes_what_a_constant_explains() -> None:
    """y = (1, 1, 0) on f = (1, 1, 2): 0 with the constant, 4/9 without."""
    f, y = np.array([[1.0], [1], [2], [1]]), np.array([[1.0], [1], [0], [1]])
    terms = pretext_terms(y, y, f, np.arange(4) < 3)
    assert terms.label_in_sample == pytest.approx(0, abs=1e-12)


def test_labels_no_more_than_dimensions_leave_nothing_in_sample() -> None:
    f = np.array([[1.0, 2, 0, 1], [0, 1, 1, 3], [2, 0, 1, 1], [5, 5, 5, 5]])
    y = np.array([[1.0], [-4], [2.5], [0]])
    terms = pretext_terms(y, y, f, np.arange(4) < 3)
    assert terms.label_in_sample == pytest.approx(0, abs=1e-12)


def test_the_value_is_the_loss_on_held_out_images_with_z_of_unit_variance() -> None:
    pairs = pairs_of()
    train, y = pairs.train, np.eye(3)[pairs.labels]
    centred = pairs.z - pairs.z[train].mean(axis=0)
    z = centred / np.sqrt(np.square(centred[train]).sum(axis=1).mean())
    label, pretext = naive_ridge(y, pairs.f, train), naive_ridge(z, pairs.f, train)
    fitted = naive_errors(y, pairs.f, train) - 0.3 * naive_errors(z, pairs.f, train)
    estimate = estimate_of(pairs, lam=0.3)
    assert estimate.value == pytest.approx((label - 0.3 * pretext)[~train].mean())
    assert estimate.details["label_term"] == pytest.approx(label[~train].mean())
    assert estimate.details["pretext_term"] == pytest.approx(pretext[~train].mean())
    assert estimate.details["in_sample"] == pytest.approx(fitted[train].mean())
    for lam in (0.02, 0.1, 0.5):
        assert estimate.details[f"loss_{lam:g}"] == pytest.approx((label - lam * pretext)[~train].mean())
    assert estimate.interval is not None
    assert estimate.interval.low < float(estimate.value or 0) < estimate.interval.high
    (figure,) = estimate.figures
    assert list(figure.series[0].x) == [0.02, 0.1, 0.3, 0.5]  # type: ignore[union-attr]


def test_the_unit_of_z_does_not_matter() -> None:
    pairs = pairs_of(1)
    first, second = estimate_of(pairs), estimate_of(changed(pairs, z=1000 * pairs.z - 3))
    assert first.value == pytest.approx(second.value, rel=1e-9)
    assert first.details["pretext_term"] == pytest.approx(second.details["pretext_term"], rel=1e-9)


def measured(value: float | None, **details: object) -> Estimate:
    return Estimate(
        value=value,
        reason="" if value is not None else "z is constant",
        interval=None if value is None else Interval(low=value, high=value, method="test"),
        details=details,  # type: ignore[arg-type]
    )


def test_c1_and_c2_stand_beside_the_loss() -> None:
    results = {
        "ci-condition.disjoint-crop": measured(0.04, reading="C1 rejected"),
        "ci-condition.rotation": measured(0.01, reading="C1 not rejected (detectable effect .021)"),
        "predictor-gap": replace(
            measured(0.05, upper=0.21, upper_high=0.25), interval=Interval(low=0.04, high=0.06, method="test")
        ),
    }
    both = estimates(
        [pairs_of(), pairs_of(target="rotation")], results, lam=0.02, rng=np.random.default_rng(0)
    )
    assert list(both) == ["disjoint-crop", "rotation"]
    assert " C1 rejected. C2:" in both["disjoint-crop"].note
    assert " C1 not rejected (detectable effect .021). C2:" in both["rotation"].note
    for estimate in both.values():
        assert "C2: on plain images missed by .040 at least and .250 at most." in estimate.note
        assert "L is a surrogate" in estimate.note
        assert "holds" not in estimate.note
        assert estimate.details["c2_lower"] == 0.05
        assert estimate.details["c2_upper"] == 0.21
    assert both["rotation"].details["c1_effect"] == 0.01


def test_what_was_not_measured_beside_the_loss_is_said() -> None:
    estimate = estimate_of(pairs_of())
    assert "C1: not measured. C2: not measured." in estimate.note
    assert estimate.details["c1"] is None
    refused = estimate_of(pairs_of(), {"ci-condition": measured(None), "predictor-gap": measured(None)})
    assert "C1: z is constant. C2: z is constant." in refused.note


def test_the_metric_reads_its_targets_and_the_results_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretext_loss, "of_targets", lambda _, measure: measure((pairs_of(),)))
    results = {"predictor-gap": measured(0.05, upper=0.21)}
    inputs = SimpleNamespace(options={"lam": 0.1}, results=results, rng=lambda: np.random.default_rng(0))
    found = pretext_loss.compute(inputs)  # type: ignore[arg-type]
    assert found == {"disjoint-crop": estimate_of(pairs_of(), results, lam=0.1)}


def test_the_target_stands_beside_the_symbol() -> None:
    assert estimate_of(pairs_of(target="disjoint-crop")).paper == "L(f; P), z = disjoint-crop"


def test_few_images_in_many_dimensions_are_pointed_out() -> None:
    estimate = estimate_of(pairs_of(2, n=24, d=30))
    assert "In-sample so few images fit any labels." in estimate.note
    assert estimate.details["label_term_in_sample"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("d", [88, 89, 90, 91])
def test_as_many_dimensions_as_training_images_do_not_blow_up(d: int) -> None:
    """Least squares leaves held-out errors in the hundreds here."""
    estimate = estimate_of(pairs_of(6, d=d), lam=0.5)
    assert estimate.details["n_train"] == 90
    assert 0 < float(estimate.details["label_term"] or 0) < 1
    assert 0 < float(estimate.details["pretext_term"] or 0) < 1.5


def test_equal_inputs_give_equal_estimates() -> None:
    assert estimate_of(pairs_of(3)) == estimate_of(pairs_of(3))


def test_a_class_without_training_images_is_an_error_and_no_fault() -> None:
    pairs = pairs_of(4)
    estimate = estimate_of(changed(pairs, train=pairs.train & (pairs.labels != 2)))
    assert float(estimate.details["label_term"] or 0) > 1 / 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: changed(p, labels=np.zeros_like(p.labels)), "one class only"),
        (lambda p: changed(p, z=np.ones_like(p.z)), "z is constant on the training images"),
        (lambda p: changed(p, z=p.z[:, :0]), "there are no columns of z: nothing varies"),
        (lambda p: changed(p, z=np.full_like(p.z, np.nan)), "z are not all finite"),
        (lambda p: changed(p, f=np.ones_like(p.f)), "features of the training images are constant"),
        (lambda p: changed(p, train=np.ones_like(p.train)), "0 held-out images"),
        (lambda p: changed(p, train=np.zeros_like(p.train)), "0 training images"),
    ],
)
def test_what_means_nothing_has_a_reason(change: Callable[[Pairs], Pairs], reason: str) -> None:
    estimate = estimate_of(change(pairs_of(5)))
    assert estimate.value is None
    assert estimate.verdict == "not-applicable"
    assert reason in estimate.reason


@pytest.mark.parametrize("train", [np.ones(4, dtype=bool), np.zeros(4, dtype=bool)])
def test_both_sides_have_images(train: np.ndarray) -> None:
    with pytest.raises(ValueError, match="there are no"):
        pretext_terms(np.eye(4), np.eye(4), np.eye(4), train)
