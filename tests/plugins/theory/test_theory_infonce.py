"""The InfoNCE loss and its parts against loops, closed forms and the promises of the metric."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.results import Estimate
from sslaudit_theory.losses import infonce
from sslaudit_theory.losses.infonce import (
    InfoNCE,
    infonce_interval,
    infonce_split,
    nt_xent,
    positive_products,
)

Measure = Callable[..., Estimate]


def sphere(generator: np.random.Generator, n: int, v: int, d: int, length: float = 1.0) -> np.ndarray:
    views = generator.normal(size=(n, 1, d)) + 0.5 * generator.normal(size=(n, v, d))
    return length * views / np.linalg.norm(views, axis=2, keepdims=True)


def by_loops(views: np.ndarray) -> list[float]:
    """Loss, alignment part, regularisation and L_align, over all triples of views."""
    loss, alignment, regularisation, spread, lengths = [], [], [], [], []
    for image in views:
        for anchor in image:
            lengths.append(anchor @ anchor)
            for positive in image:
                close = anchor @ positive
                alignment.append(-close)
                spread.append((anchor - positive) @ (anchor - positive))
                for other in views:
                    for negative in other:
                        far = anchor @ negative
                        most = max(close, far)
                        both = most + math.log(math.exp(close - most) + math.exp(far - most))
                        regularisation.append(both)
                        loss.append(both - close)
    parts = np.mean(loss), np.mean(alignment), np.mean(regularisation), np.mean(spread)
    assert parts[1] == pytest.approx(parts[3] / 2 - np.mean(lengths), abs=1e-9 * max(1, np.max(lengths)))
    return [float(part) for part in parts]


def parts_of(split: InfoNCE) -> list[float]:
    return [split.loss, split.alignment_part, split.regularisation, split.alignment]


def test_two_aligned_orthogonal_images() -> None:
    views = np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    expected = [0.503204434039084, -1, 1.503204434039084, 0]
    assert parts_of(infonce_split(views)) == pytest.approx(expected, abs=1e-9)


def test_total_collapse_costs_log_2() -> None:
    views = np.tile([1.0, 0.0], (3, 2, 1))
    assert infonce_split(views).loss == pytest.approx(math.log(2), abs=1e-12)


@given(
    st.integers(0, 2**31),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([1e-3, 0.5, 1.0, 8.0, 13.0, 40.0]),
)
def test_against_loops(seed: int, n: int, v: int, d: int, length: float) -> None:
    views = sphere(np.random.default_rng(seed), n, v, d, length)
    split = infonce_split(views)
    scale = max(1.0, length**2)
    assert parts_of(split) == pytest.approx(by_loops(views), rel=1e-9, abs=1e-12 * scale)
    assert split.loss == pytest.approx(split.alignment_part + split.regularisation, abs=1e-12 * scale)
    assert split.alignment_part == pytest.approx(split.alignment / 2 - length**2, abs=1e-12 * scale)


@given(st.integers(0, 2**31))
def test_features_of_different_lengths(seed: int) -> None:
    generator = np.random.default_rng(seed)
    views = generator.normal(size=(3, 2, 3)) * generator.exponential(size=(3, 2, 1))
    assert parts_of(infonce_split(views)) == pytest.approx(by_loops(views), rel=1e-9, abs=1e-11)


def test_many_views_go_in_groups_that_float64_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    views = sphere(np.random.default_rng(0), 3, 40, 3)
    whole = infonce_split(views).pairs
    monkeypatch.setattr(infonce, "_LARGEST_EXPONENT", 16.0)  # seven factors at a time
    np.testing.assert_allclose(infonce_split(views).pairs, whole, rtol=1e-12)
    monkeypatch.setattr(infonce, "_LARGEST_EXPONENT", 1.0)  # one exponential for each triple
    np.testing.assert_allclose(infonce_split(views).pairs, whole, rtol=1e-12)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    views = sphere(np.random.default_rng(0), 7, 3, 5)
    whole = infonce_split(views).pairs
    monkeypatch.setattr(infonce, "_PRODUCTS", 100)
    monkeypatch.setattr(infonce, "_CACHED", 50)
    np.testing.assert_allclose(infonce_split(views).pairs, whole, rtol=1e-12)


@given(st.integers(0, 2**31))
def test_rotations_and_orders_do_not_matter(seed: int) -> None:
    generator = np.random.default_rng(seed)
    views = sphere(generator, 5, 3, 4)
    split = infonce_split(views)
    rotation = np.linalg.qr(generator.normal(size=(4, 4)))[0]
    order = generator.permutation(5)
    for same in (views @ rotation, views[order], views[:, generator.permutation(3)]):
        assert parts_of(infonce_split(same)) == pytest.approx(parts_of(split), rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(
        infonce_split(views[order]).pairs, split.pairs[np.ix_(order, order)], rtol=1e-12
    )


@given(st.integers(0, 2**31))
def test_jensen_keeps_the_regularisation_above_the_alignment(seed: int) -> None:
    split = infonce_split(sphere(np.random.default_rng(seed), 4, 3, 3))
    assert split.regularisation >= math.log(1 + math.exp(-split.alignment_part)) - 1e-12


def test_negatives_of_other_images() -> None:
    views = sphere(np.random.default_rng(0), 4, 2, 3)
    split = infonce_split(views)
    others = [split.pairs[i, j] for i in range(4) for j in range(4) if i != j]
    assert split.distinct == pytest.approx(np.mean(others), rel=1e-12)
    assert infonce_split(views[:1]).distinct is None


def test_products_of_positives() -> None:
    views = sphere(np.random.default_rng(0), 4, 3, 3)
    expected = [np.mean([a @ b for a in image for b in image]) for image in views]
    np.testing.assert_allclose(positive_products(views), expected, rtol=1e-12)


def test_bad_views_are_refused() -> None:
    with pytest.raises(ValueError, match="not all finite"):
        infonce_split(np.full((2, 2, 2), np.nan))
    with pytest.raises(ValueError, match=r"\(N, V, D\)"):
        infonce_split(np.ones((2, 2)))
    with pytest.raises(ValueError, match="one image"):
        infonce_interval(infonce_split(np.ones((1, 2, 2))), np.random.default_rng(0))


def nt_xent_by_loops(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    rows = [row / math.sqrt(row @ row) for row in (*first, *second)]
    n, total = len(first), 0.0
    for i, row in enumerate(rows):
        others = [math.exp(row @ rows[j] / temperature) for j in range(2 * n) if j != i]
        total += math.log(sum(others)) - row @ rows[(i + n) % (2 * n)] / temperature
    return total / (2 * n)


@settings(deadline=None)  # the first call imports torch
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(2, 4), st.sampled_from([0.1, 0.5, 1.0]))
def test_nt_xent_against_loops(seed: int, n: int, v: int, temperature: float) -> None:
    views = np.random.default_rng(seed).normal(size=(n, v, 3))
    first = 0 if v == 2 else 1
    expected = nt_xent_by_loops(views[:, first], views[:, first + 1], temperature)
    assert nt_xent(views, temperature) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_nt_xent_needs_two_views_and_a_temperature() -> None:
    with pytest.raises(ValueError, match="two views"):
        nt_xent(np.ones((2, 1, 2)))
    with pytest.raises(ValueError, match="above 0"):
        nt_xent(np.ones((2, 2, 2)), 0.0)


def test_the_interval_of_equal_losses_has_no_width() -> None:
    limits = infonce_interval(infonce_split(np.tile([1.0, 0.0], (3, 2, 1))), np.random.default_rng(0))
    assert limits.high - limits.low == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("runs", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_the_interval_covers(runs: int) -> None:
    generator = np.random.default_rng(5)
    centres = generator.normal(size=(4, 6))

    def draw(n: int) -> np.ndarray:
        views = centres[generator.integers(0, 4, n)][:, None] + generator.normal(size=(n, 2, 6))
        return views / np.linalg.norm(views, axis=2, keepdims=True)

    truth = infonce_split(draw(3000)).distinct
    assert truth is not None
    covered = 0
    for _ in range(runs):
        limits = infonce_interval(infonce_split(draw(60)), generator, draws=400)
        covered += limits.low <= truth <= limits.high
    assert covered / runs >= 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / runs)


def labelled(n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    generator, labels = np.random.default_rng(2), np.arange(n) % 3
    views = generator.normal(size=(3, 4))[labels][:, None] + 0.2 * generator.normal(size=(n, 3, 4))
    return views.astype(np.float32).astype(np.float64), labels


def test_the_metric_gives_the_parts_and_the_training_loss_apart(measure_term: Measure) -> None:
    views, labels = labelled()
    unit = views / np.linalg.norm(views, axis=2, keepdims=True)
    split = infonce_split(unit)
    found = measure_term("infonce-split(temperature=0.2)", views, labels, range(6), range(6, 12))
    assert found.value == pytest.approx(split.loss, rel=1e-12)
    assert found.interval is not None
    assert found.interval.low < found.value < found.interval.high
    details = found.details
    assert details["alignment_part"] == pytest.approx(split.alignment_part, rel=1e-12)
    assert details["regularisation"] == pytest.approx(split.regularisation, rel=1e-12)
    assert details["distinct_images"] == pytest.approx(split.distinct, rel=1e-12)
    assert details["nt_xent"] == pytest.approx(nt_xent(views, 0.2), rel=1e-9)
    assert details["nt_xent_negatives"] == 22
    assert str(details["theorem3"]).startswith("vacuous, gives no guarantee")
    assert "trivial bound 1" in str(details["theorem3"])
    assert float(str(details["regularisation_floor"])) <= split.regularisation
    assert "not the training loss" in found.note


def test_without_labels_the_loss_is_the_same(measure_term: Measure) -> None:
    views, labels = labelled()
    with_labels = measure_term("infonce-split", views, labels, range(6), range(6, 12))
    found = measure_term("infonce-split", views)
    assert (found.value, found.interval) == (with_labels.value, with_labels.interval)
    assert found.details["theorem3"] == "not applicable: no labels"
    assert "regularisation_floor" not in found.details


def test_one_class_bounds_no_pair(measure_term: Measure) -> None:
    views, labels = labelled()
    found = measure_term("infonce-split", views, np.zeros_like(labels), range(6), range(6, 12))
    assert found.details["theorem3_sharp"] == "not applicable: fewer than two classes have images"


def test_too_many_images_are_drawn_from(measure_term: Measure) -> None:
    views, labels = labelled(30)
    found = measure_term("infonce-split(images=10)", views, labels, range(6), range(6, 12))
    again = measure_term("infonce-split(images=10)", views, labels, range(6), range(6, 12))
    other = measure_term("infonce-split(images=10)", views, labels, range(6), range(6, 12), seed=1)
    assert found == again
    assert found.value != other.value
    assert found.details["images"] == 10
    assert "10 images of 30" in found.note


def test_features_as_they_are(measure_term: Measure) -> None:
    views, labels = labelled()
    found = measure_term("infonce-split(norm=as-is)", views, labels, range(6), range(6, 12))
    assert found.value == pytest.approx(infonce_split(views).loss, rel=1e-12)
    assert str(found.details["theorem3"]).startswith(
        "not applicable: the theorem is about features of length"
    )
    longest = float(np.square(views).sum(axis=2).max())
    assert f"trivial bound {longest:.4g}" in str(found.details["theorem3_sharp"])


def test_hopeless_features(measure_term: Measure) -> None:
    constant = measure_term("infonce-split", np.ones((4, 2, 3)), [0, 0, 1, 1], [0], [1, 2, 3])
    assert constant.value == pytest.approx(math.log(2), abs=1e-9)
    assert constant.note.endswith("trivial: features are constant")
    single = measure_term("infonce-split", np.ones((1, 2, 3)))
    assert (single.value, single.verdict) == (None, "not-applicable")
    zero = measure_term("infonce-split(norm=as-is)", np.zeros((4, 2, 3)))
    assert zero.reason == "all embeddings are zero"
