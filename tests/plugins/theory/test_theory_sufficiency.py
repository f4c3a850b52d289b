"""Refining with labels or not: the rule, the measured errors, and the sentence that comes of them."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from sslaudit.results import Estimate, Interval
from sslaudit_theory.metrics import downstream_sufficiency
from sslaudit_theory.metrics.downstream_sufficiency import Compared, sufficiency_of, verdict
from sslaudit_theory.metrics.pretext_pairs import Pairs
from sslaudit_theory.pretext.sufficiency import (
    PENALTIES,
    AtSize,
    Sufficiency,
    refining,
    rule,
)

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def world(seed: int = 0, *, train: int = 200, held_out: int = 100, d: int = 12, classes: int = 3) -> Arrays:
    """f = (class, nuisance, noise), z = class + nuisance: z says of f what the label does, and more."""
    rng = np.random.default_rng(seed)
    n = train + held_out
    labels = np.arange(n) % classes
    own = np.eye(classes)[labels] + 0.5 * rng.normal(size=(n, classes))
    nuisance = rng.normal(size=(n, 3))
    f = np.concatenate([own, nuisance, rng.normal(size=(n, d - classes - 3))], axis=1)
    z = np.concatenate([np.eye(classes)[labels] + 0.3 * rng.normal(size=(n, classes)), 2 * nuisance], axis=1)
    return f, z, labels, np.arange(n) < train


def measured(arrays: Arrays, *, lam: float = 0.02, repeats: int = 1) -> Sufficiency:
    return refining(*arrays, np.random.default_rng(0), lam=lam, repeats=repeats)


def pairs_of(arrays: Arrays, target: str) -> Pairs:
    f, z, labels, train = arrays
    return Pairs(
        target=target,
        images=np.arange(len(f)),
        f=f,
        z=z,
        floor=f[:, :1],
        labels=labels,
        names=tuple(f"c{k}" for k in range(int(labels.max()) + 1)),
        train=train,
    )


def estimate_of(arrays: Arrays, *, lam: float = 0.02, target: str = "disjoint-crop") -> Estimate:
    return sufficiency_of(pairs_of(arrays, target), np.random.default_rng(0), lam=lam)


@pytest.mark.parametrize(
    ("n0", "said"),
    [
        (8, "refinement carries no label information"),
        (9, "refinement carries weak label information"),
        (16, "refinement carries weak label information"),
        (17, "below 100 d_f: harm is to be expected"),
        (799, "below 100 d_f: harm is to be expected"),
        (800, "above 100 d_f: refinement may help for small lambda"),
    ],
)
def test_the_rule_compares_labels_with_dimensions(n0: int, said: str) -> None:
    assert rule(n0, 8) == said


@pytest.mark.parametrize(("n0", "dim"), [(0, 3), (3, 0)])
def test_the_rule_takes_labels_and_dimensions(n0: int, dim: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        rule(n0, dim)


def test_sizes_rise_from_half_of_the_dimensions_to_all_labels() -> None:
    found = measured(world(), repeats=2)
    assert [size.n0 for size in found.sizes] == [6, 14, 35, 83, 200]
    assert [size.plain.shape for size in found.sizes] == [(100, 2)] * 4 + [(100, 1)]
    assert (found.dim, found.kept, found.refined) == (12, 12, 3)
    for size in found.sizes:
        assert set(np.unique([size.plain, size.refined])) <= {0.0, 1.0}


def test_with_all_labels_the_plain_error_is_that_of_a_naive_ridge_head() -> None:
    """The unit and the penalty with the least squared error when each label in turn is left out."""
    f, z, labels, train = world(1, train=40, held_out=60)
    offset = f - f[train].mean(axis=0)
    scores = offset @ np.linalg.svd(offset[train], full_matrices=False)[2].T
    signs = 2 * np.eye(3)[labels[train]] - 1

    def fit(rows: np.ndarray, targets: np.ndarray, at: np.ndarray, penalty: float) -> np.ndarray:
        centre = rows.mean(axis=0)
        moment = (rows - centre).T @ (rows - centre) + penalty * np.eye(rows.shape[1])
        weights = np.linalg.solve(moment, (rows - centre).T @ (targets - targets.mean(axis=0)))
        answer: np.ndarray = targets.mean(axis=0) + (at - centre) @ weights
        return answer

    found = []
    for unit in (np.sqrt(scores[train].var(axis=0).mean()), scores[train].std(axis=0)):
        bank, query = scores[train] / unit, scores[~train] / unit
        for penalty in PENALTIES:
            missed = [
                fit(np.delete(bank, i, 0), np.delete(signs, i, 0), bank[i], 40 * penalty) - signs[i]
                for i in range(40)
            ]
            found.append((np.square(missed).mean(), fit(bank, signs, query, 40 * penalty).argmax(axis=1)))
    expected = min(found, key=lambda one: one[0])[1] != labels[~train]
    np.testing.assert_array_equal(measured((f, z, labels, train)).sizes[-1].plain[:, 0], expected)


def test_labels_no_more_than_dimensions_harm() -> None:
    """Labels fit for nothing, so refining removes what z has in common with the label."""
    found = measured(world(2, train=400, held_out=400, d=24), lam=0.1, repeats=2)
    first = found.sizes[0]
    assert first.n0 == found.dim // 2
    assert first.refined.mean() > first.plain.mean() + 0.05


def test_harm_falls_as_labels_grow() -> None:
    found = measured(world(3, train=600, held_out=400, d=24), repeats=2)
    harm = [float((size.refined - size.plain).mean()) for size in found.sizes]
    assert harm[-1] < harm[0] - 0.05
    assert harm[-1] < 0.02


def test_dimensions_are_the_rank_where_features_repeat() -> None:
    f, z, labels, train = world(4)
    found = measured((np.concatenate([f, 3 * f], axis=1), z, labels, train))
    assert (found.dim, found.kept) == (12, 12)


def test_all_dimensions_count_where_no_more_images_than_these_could_show_them() -> None:
    """30 images span 29 dimensions whatever f is: their labels are no more than its 40 dimensions."""
    rng = np.random.default_rng(6)
    labels, train = np.arange(60) % 2, np.arange(60) < 30
    found = measured((rng.normal(size=(60, 40)) + labels[:, None], rng.normal(size=(60, 2)), labels, train))
    assert (found.dim, found.kept) == (40, 29)
    last_size = found.sizes[-1]
    assert rule(last_size.n0, found.dim) == "refinement carries no label information"


def test_wide_features_are_cut_to_their_leading_components() -> None:
    rng = np.random.default_rng(5)
    f, z, labels, train = world(5, train=110, held_out=20)
    wide = np.concatenate([3 * f, rng.normal(size=(130, 88))], axis=1)
    estimate = estimate_of((wide, z, labels, train))
    assert [estimate.details[name] for name in ("d_f", "kept", "refined", "n0")] == [100, 64, 3, 110]
    assert "when the 64 leading components of f are refined to 3 dimensions" in estimate.note
    assert "refining the 64 leading ones" in estimate.headline["REFINING"]


def test_the_estimate_is_the_difference_with_all_labels() -> None:
    estimate = estimate_of(world(6), target="rotation")
    details = estimate.details
    assert estimate.value == pytest.approx(
        float(details["error_refined_5"] or 0) - float(details["error_plain_5"] or 0)
    )
    assert details["n0_5"] == details["n0"] == 200
    assert details["reading"] == "16.7 labels a dimension"
    assert details["rule"] == "below 100 d_f: harm is to be expected"
    assert estimate.interval is not None
    assert estimate.interval.low <= float(estimate.value or 0) <= estimate.interval.high
    assert estimate.label == "refining with labels"
    assert "z = rotation, lambda = 0.02" in estimate.note
    (figure,) = estimate.figures
    assert [len(series.x) for series in figure.series] == [5, 5]  # type: ignore[union-attr]
    assert all(math.isfinite(value) for value in details.values() if isinstance(value, float))


def test_equal_inputs_give_equal_estimates() -> None:
    small = world(7, train=24, held_out=12, d=7)
    assert estimate_of(small) == estimate_of(small)


def test_predictions_that_never_differ_are_not_certain() -> None:
    f, z, labels, train = world(8)
    apart = np.eye(3)[labels] * 50
    estimate = estimate_of((np.concatenate([apart, f[:, 3:]], axis=1), z, labels, train))
    assert estimate.value == 0
    assert estimate.interval is not None
    assert estimate.interval.low == -estimate.interval.high
    assert estimate.interval.high == pytest.approx(1 - 0.025 ** (1 / 100))
    assert estimate.headline["REFINING"].startswith("no gain shown, so do not")


def test_a_class_without_training_images_counts_as_error() -> None:
    f, z, labels, train = world(9)
    found = measured((f, z, labels, train & (labels != 2)))
    assert found.sizes[-1].plain.mean() > 2 / 3 * 100 / 200
    assert found.sizes[-1].n0 == int((train & (labels != 2)).sum())


def test_a_rare_class_may_be_missing_among_few_labels() -> None:
    f, z, _, train = world(10, train=300, held_out=50)
    rare = np.where(np.arange(350) % 100 == 0, 1, 0)
    found = measured((f, z, rare, train))
    assert found.sizes[0].n0 == 6
    assert np.isfinite(found.sizes[0].refined).all()


def test_the_metric_speaks_about_the_first_target(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = world(12, train=24, held_out=12, d=7)
    both = (pairs_of(arrays, "rotation"), pairs_of(arrays, "color"))
    monkeypatch.setattr(downstream_sufficiency, "of_targets", lambda _, measure: measure(both))
    inputs = SimpleNamespace(options={"lam": 0.1}, rng=lambda: np.random.default_rng(0))
    found = downstream_sufficiency.compute(inputs)  # type: ignore[arg-type]
    assert found == {"rotation": estimate_of(arrays, lam=0.1, target="rotation")}


def last(n0: int, difference: float, low: float, high: float) -> Compared:
    return Compared(n0, 0.2, 0.2 + difference, difference, Interval(low=low, high=high, method="test"))


def sufficiency(dim: int, kept: int) -> Sufficiency:
    size = AtSize(n0=1, plain=np.zeros((2, 1)), refined=np.zeros((2, 1)))
    return Sufficiency(sizes=(size,), dim=dim, kept=kept, refined=kept)


@pytest.mark.parametrize(
    ("dim", "kept", "compared", "sentence"),
    [
        (
            128,
            64,
            last(1258, 0.031, 0.01, 0.052),
            "do not: with 1,258 labels (9.8 x 128 dimensions) refining the 64 leading ones "
            "changes the error of a linear head "
            "by +3.1 points [+1.0, +5.2]",
        ),
        (
            8,
            8,
            last(1000, -0.02, -0.03, -0.01),
            "yes: with 1,000 labels (125.0 x 8 dimensions) refining them "
            "changes the error of a linear head by -2.0 points "
            "[-3.0, -1.0]",
        ),
        (
            8,
            8,
            last(100, -0.002, -0.01, 0.006),
            "no gain shown, so do not: with 100 labels (12.5 x 8 dimensions) refining them "
            "changes the error of a linear head "
            "by -0.2 points [-1.0, +0.6]",
        ),
        (
            512,
            64,
            last(400, -0.02, -0.03, -0.01),
            "yes, with care: in 512 dimensions 400 labels are fitted as well when they are wrong, yet "
            "refining the 64 leading ones changes the error of a linear head by -2.0 points [-3.0, -1.0]",
        ),
        (
            512,
            17,
            last(18, 0.0, -0.459, 0.459),
            "do not: in 512 dimensions 18 labels are fitted as well when they are wrong; "
            "refining the 17 leading ones changes the error of a linear head by +0.0 points [-45.9, +45.9]",
        ),
        (
            512,
            64,
            last(400, 0.02, 0.01, 0.03),
            "do not: in 512 dimensions 400 labels are fitted as well when they are wrong; "
            "refining the 64 leading ones changes the error of a linear head by +2.0 points [+1.0, +3.0]",
        ),
    ],
)
def test_the_sentence_says_what_to_do_with_the_labels(
    dim: int, kept: int, compared: Compared, sentence: str
) -> None:
    assert verdict(sufficiency(dim, kept), compared) == sentence


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f, z, y, t: (f, z, np.zeros_like(y), t), "one class only"),
        (lambda f, z, y, t: (f, z, np.where(t, 0, y), t), "the training images are of one class only"),
        (lambda f, z, y, t: (np.ones_like(f), z, y, t), "features of the training images are constant"),
        (lambda f, z, y, t: (f, np.ones_like(z), y, t), "z is constant"),
        (lambda f, z, y, t: (f, np.full_like(z, np.nan), y, t), "z are not all finite"),
        (lambda f, z, y, t: (f, z[:, :0], y, t), "there are no columns of z: nothing varies"),
        (lambda f, z, y, t: (f, z, y, np.ones(len(y), dtype=bool)), "0 held-out images"),
    ],
)
def test_what_means_nothing_has_a_reason(change: Callable[..., Arrays], reason: str) -> None:
    estimate = estimate_of(change(*world(11)))
    assert estimate.value is None
    assert estimate.verdict == "not-applicable"
    assert reason in estimate.reason
