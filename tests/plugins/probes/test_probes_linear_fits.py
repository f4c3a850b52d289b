"""Logistic regression: equal to scikit-learn, to loops, and to itself under scale, shift and rotation."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sslaudit_probes.classifiers.logistic import Design, Probe, fit_logistic


def clouds(
    seed: int, n: int, d: int, classes: int, apart: float = 0.5, decay: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds (n, d) float32 whose axes shrink like i^-decay, turned and shifted; labels."""
    generator = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), generator.integers(0, classes, n - classes)]
    axes = np.arange(1, d + 1.0) ** -decay
    centres = generator.normal(size=(classes, d)) * axes * apart
    rows = centres[labels] + generator.normal(size=(n, d)) * axes
    turn = np.linalg.qr(generator.normal(size=(d, d)))[0]
    return (rows @ turn + generator.normal(size=d)).astype(np.float32), labels


def standardised(features: np.ndarray, like: np.ndarray) -> np.ndarray:
    like = like.astype(np.float64)
    rows: np.ndarray = (features - like.mean(axis=0)) / like.std(axis=0)
    return rows


def objective(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, penalty: float) -> float:
    """By loops: the mean of -log softmax(z)[y], and penalty / (2 N) times the sum of squares."""
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        top = max(row)
        total += top + math.log(sum(math.exp(z - top) for z in row)) - row[label]
    return (total + penalty / 2 * sum(w * w for w in weights.ravel())) / len(labels)


@pytest.mark.parametrize(
    ("n", "d", "classes", "penalty"),
    [
        (600, 20, 4, 1e3),
        (600, 20, 4, 1.0),
        (600, 20, 4, 1e-6),
        (600, 20, 2, 3.0),
        (600, 20, 2, 1e-2),
        (60, 120, 5, 10.0),
        (60, 120, 5, 0.1),
        (400, 30, 40, 1.0),
    ],
)
def test_loss_and_accuracy_are_those_of_scikit_learn(n: int, d: int, classes: int, penalty: float) -> None:
    features, labels = clouds(1, 2 * n, d, classes)
    rows, unseen, truth = features[:n], features[n:], labels[n:]
    labels = labels[:n]
    ours = fit_logistic(rows, labels, classes, penalty)
    # For two classes scikit-learn fits one vector w for our pair +-w/2, with half of the squares.
    theirs = LogisticRegression(C=(2 if classes == 2 else 1) / penalty, tol=1e-9, max_iter=10_000)
    theirs.fit(standardised(rows, rows), labels)
    weights, bias = theirs.coef_, theirs.intercept_
    if classes == 2:
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    expected = objective(standardised(rows, rows) @ weights.T + bias, labels, weights, penalty)
    scale = rows.astype(np.float64).std(axis=0)
    assert ours.converged
    assert ours.loss == pytest.approx(
        objective(ours.logits(rows), labels, ours.weights * scale, penalty), abs=1e-6
    )
    assert ours.loss == pytest.approx(expected, abs=1e-6)
    predicted = ours.logits(unseen).argmax(axis=1)
    np.testing.assert_array_equal(predicted, theirs.predict(standardised(unseen, rows)))
    assert (predicted == truth).mean() > 1.3 / classes


def test_the_objective_and_its_gradient_by_differences() -> None:
    features, labels = clouds(2, 50, 7, 3)
    design = Design.of(features, labels, 3)
    found = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 8))).float()
    state = design._objective(found, 5.0)
    logits = design.rows.numpy() @ found[:, :-1].numpy().T + found[:, -1].numpy()
    assert state.loss == pytest.approx(objective(logits, labels, found[:, :-1].numpy(), 5.0), rel=1e-6)
    exact = Design(
        design.rows.double(),
        *(getattr(design, name) for name in ("labels", "classes", "variances", "axes", "mean", "scale")),
    )
    for place in [(0, 0), (1, 3), (2, 7)]:
        step = torch.zeros(3, 8, dtype=torch.float64)
        step[place] = 1e-5
        ahead, behind = (exact._objective(found.double() + sign * step, 5.0).loss for sign in (1, -1))
        assert float(state.gradient[place]) == pytest.approx((ahead - behind) / 2e-5, abs=1e-5)


def test_a_row_that_is_all_but_certain_keeps_its_loss() -> None:
    """float32 takes 1 - 1e-12 for 1; the sum of the other probabilities does not."""
    design = Design.of(np.array([[-1.0], [1.0]], dtype=np.float32), np.array([0, 1]), 2)
    found = torch.tensor([[-14.0, 0.0], [14.0, 0.0]]) * torch.sign(design.axes.float())[0, 0]
    state = design._objective(found, 1e-30)
    assert state.loss == pytest.approx(math.log1p(math.exp(-28)), rel=1e-5)
    assert float(state.gradient[1, 0].abs()) == pytest.approx(math.exp(-28), rel=1e-5)


def test_where_it_starts_does_not_matter() -> None:
    features, labels = clouds(3, 400, 12, 5)
    cold = fit_logistic(features, labels, 5, 0.3)
    far = fit_logistic(features, labels, 5, 1e4)
    warm = fit_logistic(features, labels, 5, 0.3, far)
    again = fit_logistic(features, labels, 5, 0.3, cold)
    assert warm.loss == pytest.approx(cold.loss, abs=1e-7)
    np.testing.assert_allclose(warm.logits(features), cold.logits(features), atol=2e-2)
    assert again.steps <= 2


@pytest.mark.parametrize("change", ["small", "large", "offset", "one dimension", "turned in pairs"])
def test_scale_and_offset_do_not_matter(change: str) -> None:
    features, labels = clouds(4, 1200, 16, 3, decay=0.2)
    changed = {
        "small": features * 1e-4,
        "large": features * 1e3,
        "offset": features + np.float32(1e3),
        "one dimension": features * np.r_[1e4, np.ones(15)],
        "turned in pairs": features[:, ::-1],
    }[change].astype(np.float32)
    plain = fit_logistic(features[:800], labels[:800], 3, 1.0)
    other = fit_logistic(changed[:800], labels[:800], 3, 1.0)
    tolerance = 1e-4 if change == "offset" else 1e-6  # an offset of 1e3 leaves features 6e-5 coarse
    assert other.loss == pytest.approx(plain.loss, abs=tolerance)
    logits = plain.logits(features[800:]), other.logits(changed[800:])
    np.testing.assert_allclose(*logits, atol=2e-2 if change == "offset" else 3e-3)
    assert (logits[0].argmax(axis=1) == logits[1].argmax(axis=1)).mean() > 0.99


def test_constant_features_say_nothing() -> None:
    features, labels = clouds(5, 300, 6, 3)
    with_constants = np.c_[features, np.full(300, 1e3, dtype=np.float32), np.zeros(300, dtype=np.float32)]
    plain, more = fit_logistic(features, labels, 3, 2.0), fit_logistic(with_constants, labels, 3, 2.0)
    np.testing.assert_array_equal(more.weights[:, 6:], 0)
    np.testing.assert_allclose(more.weights[:, :6], plain.weights, atol=1e-3)
    none = fit_logistic(with_constants[:, 6:], labels, 3, 2.0)
    shares = np.bincount(labels) / 300
    np.testing.assert_array_equal(none.weights, 0)
    np.testing.assert_allclose(
        none.bias - none.bias.mean(), np.log(shares) - np.log(shares).mean(), atol=1e-4
    )
    assert none.loss == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-7)
    from_more = fit_logistic(with_constants[:, 6:], labels, 3, 2.0, replace_weights(more, 2))
    np.testing.assert_array_equal(from_more.weights, 0)


def replace_weights(probe: Probe, d: int) -> Probe:
    """A start whose weights are of constant features here."""
    return Probe(
        weights=probe.weights[:, :d], bias=probe.bias, penalty=1.0, converged=True, steps=0, loss=0.0
    )


@pytest.mark.parametrize("n", [2, 3, 30])
def test_fewer_rows_than_dimensions_and_doubled_features(n: int) -> None:
    features, labels = clouds(6, max(n, 4), 40, 2)
    features, labels = features[:n], labels[:n]
    probe = fit_logistic(np.c_[features, features], labels, 2, 0.5)
    assert probe.converged
    assert np.isfinite(probe.weights).all()
    np.testing.assert_allclose(probe.weights[:, :40], probe.weights[:, 40:], atol=1e-4)
    # Each pair of equal features shares the squares of one: as if the penalty were half of it.
    np.testing.assert_allclose(
        probe.logits(np.c_[features, features]),
        fit_logistic(features, labels, 2, 0.25).logits(features),
        atol=1e-2,
    )


def test_one_class_and_one_rank() -> None:
    probe = fit_logistic(
        np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32), np.zeros(5, dtype=int), 1, 1.0
    )
    assert (probe.loss, probe.converged) == (0, True)
    generator = np.random.default_rng(7)
    line = np.outer(generator.normal(size=100), generator.normal(size=64)).astype(np.float32)
    flat = fit_logistic(line, np.arange(100) % 4, 4, 1e-3)
    assert flat.converged
    assert flat.loss < math.log(4)


def test_not_converging_is_a_field_and_no_warning() -> None:
    features, labels = clouds(8, 300, 30, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe = fit_logistic(features, labels, 5, 1e-3, steps=3)
    assert (probe.converged, probe.steps) == (False, 3)


def test_tensors_and_arrays_are_one() -> None:
    features, labels = clouds(9, 200, 10, 3)
    features.flags.writeable = False
    probe = fit_logistic(features, labels, 3, 1.0)
    other = fit_logistic(torch.tensor(features), torch.tensor(labels), 3, 1.0)
    np.testing.assert_array_equal(probe.weights, other.weights)
    logits = probe.logits(torch.tensor(features))
    assert isinstance(logits, torch.Tensor)
    np.testing.assert_allclose(logits.numpy(), probe.logits(features), rtol=1e-12)
    np.testing.assert_allclose(
        probe.logits(features)[0], probe.weights @ features[0].astype(float) + probe.bias
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x, y: (x * np.where(np.arange(200)[:, None] == 7, np.nan, 1), y, 1.0),
            "1 rows are not finite: 7",
        ),
        (
            lambda x, y: (x + np.where(np.isin(np.arange(200), [7, 33, 150])[:, None], np.inf, 0), y, 1.0),
            "3 rows are not finite: 7, 33, 150",
        ),
        (lambda x, y: (x, y + 1, 1.0), "labels are integers 0..2"),
        (lambda x, y: (x, y * 0, 1.0), "2 of 3 classes have no rows"),
        (lambda x, y: (x, y[:5], 1.0), "with labels"),
        (lambda x, y: (x[:0], y[:0], 1.0), "with labels"),
        (lambda x, y: (x, y, 0.0), "penalty is positive"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    features, labels, penalty = change(*clouds(10, 200, 8, 3))
    with pytest.raises(ValueError, match=message):
        fit_logistic(features, labels, 3, penalty)


@pytest.mark.gpu
def test_a_device_gives_the_same_probe() -> None:
    features, labels = clouds(11, 2000, 40, 6)
    here = fit_logistic(features, labels, 6, 0.5)
    there = fit_logistic(torch.tensor(features).cuda(), labels, 6, 0.5)
    assert there.loss == pytest.approx(here.loss, abs=1e-6)
    np.testing.assert_allclose(there.logits(features), here.logits(features), atol=1e-2)
    np.testing.assert_allclose(
        there.logits(torch.tensor(features).cuda()).cpu().numpy(), there.logits(features), atol=1e-9
    )
