"""The cross-correlation loss and its parts against loops, closed forms and the promises of the metric."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit.results import Estimate
from sslaudit_theory.losses.cross_correlation import (
    cross_correlation,
    cross_correlation_loss,
    cross_correlation_split,
    loss_influence,
    standardise,
    view_moments,
)
from sslaudit_theory.losses.theorem4 import within_class_scatter
from sslaudit_theory.positives.pairs import alignment

Measure = Callable[..., Estimate]

WHITE = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
FLIPPED = WHITE * [-1.0, 1.0, 1.0]
THREE_IMAGES = np.array(
    [
        [[1.6237976320958223, 0.2006700186271953], [0.7577722283113837, 1.1036851024495744]],
        [[-1.2990381056766578, 0.9030150838223789], [-0.6495190528383289, -1.4046901303903672]],
        [[0.3247595264191644, -1.3043551210767697], [-0.7577722283113837, 0.5016750465679882]],
    ]
)


def draw(generator: np.random.Generator, n: int, v: int, d: int) -> np.ndarray:
    mixing = generator.normal(size=(d, d))
    return generator.normal(size=(n, 1, d)) @ mixing + generator.normal(size=(n, v, d)) + 3.0


def by_loops(views: np.ndarray, lam: float, *, different: bool) -> tuple[np.ndarray, float, float, float]:
    """C, the loss and its two parts."""
    n, v, d = views.shape
    features = np.empty(views.shape)
    for i in range(d):
        column = [views[x, a, i] for x in range(n) for a in range(v)]
        mean = sum(column) / len(column)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in column) / len(column))
        features[:, :, i] = (views[:, :, i] - mean) / deviation
    c = np.zeros((d, d))
    for i in range(d):
        for j in range(d):
            pairs = [
                features[x, a, i] * features[x, b, j]
                for x in range(n)
                for a in range(v)
                for b in range(v)
                if not (different and a == b)
            ]
            c[i, j] = sum(pairs) / len(pairs)
    diagonal = sum((1 - c[i, i]) ** 2 for i in range(d))
    beside = sum(c[i, j] ** 2 for i in range(d) for j in range(d) if i != j)
    return c, diagonal + lam * beside, diagonal, diagonal + beside


@pytest.mark.parametrize("form", ["U", "V"])
def test_white_features_with_equal_views_cost_nothing(form: str) -> None:
    assert cross_correlation_loss(WHITE.T @ WHITE / 4).loss == pytest.approx(0, abs=1e-12)
    views = np.stack([WHITE, WHITE], axis=1)
    assert cross_correlation_split(views, form=form).loss == pytest.approx(0, abs=1e-12)  # type: ignore[arg-type]


def test_a_feature_that_flips_its_sign_costs_four() -> None:
    assert cross_correlation_loss(WHITE.T @ FLIPPED / 4, 0.005).loss == pytest.approx(4, abs=1e-12)
    views = np.stack([WHITE, FLIPPED], axis=1)
    assert cross_correlation_split(views, 0.005, form="U").loss == pytest.approx(4, abs=1e-12)
    # With replacement half the pairs are of one view with itself, so C_11 is 0 and not -1.
    assert cross_correlation_split(views, 0.005).loss == pytest.approx(1, abs=1e-12)


def test_lemma_on_three_images() -> None:
    split = cross_correlation_split(THREE_IMAGES)
    found = [alignment(THREE_IMAGES, "V"), split.alignment, split.alignment_bound]
    expected = [1.957739093959731, 1.9577390939597323, 2.2840466169114113]
    assert found == pytest.approx(expected, abs=1e-12)


@given(
    st.integers(0, 2**31),
    st.integers(2, 6),
    st.integers(1, 3),
    st.integers(1, 7),
    st.sampled_from([0, 0.005, 1]),
)
def test_against_loops(seed: int, n: int, v: int, d: int, lam: float) -> None:
    views = draw(np.random.default_rng(seed), n, v, d)
    for form in ("V", "U") if v > 1 else ("V",):
        c, loss, diagonal, whole = by_loops(views, lam, different=form == "U")
        split = cross_correlation_split(views, lam, form)  # type: ignore[arg-type]
        np.testing.assert_allclose(split.correlation, c, rtol=1e-9, atol=1e-9)
        found = [split.loss, split.alignment_part, split.regularisation]
        assert found == pytest.approx([loss, diagonal, whole], rel=1e-9, abs=1e-9)
        parts = (1 - lam) * split.alignment_part + lam * split.regularisation
        assert split.loss == pytest.approx(parts, rel=1e-12, abs=1e-14)
        features = standardise(views)
        assert split.alignment == pytest.approx(alignment(features, form), rel=1e-9, abs=1e-12 * d)  # type: ignore[arg-type]
        assert split.alignment <= split.alignment_bound * (1 + 1e-12) + 1e-12


def test_an_unbiased_deviation_would_cost_perfect_features() -> None:
    n = 8
    views = np.random.default_rng(0).normal(size=(n, 1, 3)).repeat(2, axis=1)
    np.testing.assert_allclose(np.diagonal(cross_correlation(views)), 1, rtol=1e-12)
    one = views[:, 0]
    careless = (one - one.mean(axis=0)) / one.std(axis=0, ddof=1)
    np.testing.assert_allclose(np.diagonal(careless.T @ careless / n), (n - 1) / n, rtol=1e-12)


@given(st.integers(0, 2**31))
def test_shifts_scales_and_orders_do_not_matter(seed: int) -> None:
    generator = np.random.default_rng(seed)
    views = draw(generator, 6, 3, 4)
    loss = cross_correlation_split(views).loss
    order = generator.permutation(4)
    moved = views * generator.uniform(0.1, 5, 4) * generator.choice([-1, 1], 4) + generator.normal(size=4)
    for same in (moved, views[:, :, order], views[generator.permutation(6)], views[:, ::-1]):
        assert cross_correlation_split(same).loss == pytest.approx(loss, rel=1e-9)


def test_standardised_features() -> None:
    features = standardise(draw(np.random.default_rng(0), 9, 3, 4) + 1e6)
    np.testing.assert_allclose(features.mean(axis=(0, 1)), 0, atol=1e-9)
    np.testing.assert_allclose(np.square(features).mean(axis=(0, 1)), 1, rtol=1e-9)


@given(st.integers(0, 2**31))
def test_moments_of_blocks_are_those_of_the_whole(seed: int) -> None:
    generator = np.random.default_rng(seed)
    views = draw(generator, 11, 2, 3) + 100
    whole, blocks = view_moments([views]), view_moments([views[:1], views[1:5], views[5:]])
    for name in ("mean", "variance", "between"):
        np.testing.assert_allclose(getattr(blocks, name), getattr(whole, name), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(whole.correlation(), cross_correlation(views), atol=1e-12)


def test_bad_views_are_refused() -> None:
    views = draw(np.random.default_rng(0), 4, 2, 3)
    views[:, :, 1] = 0.1
    with pytest.raises(ValueError, match=r"dimensions \[1\] are constant"):
        cross_correlation_split(views)
    views[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="not all finite"), np.errstate(invalid="ignore"):
        standardise(views)
    with pytest.raises(ValueError, match="no views"):
        view_moments([])
    with pytest.raises(ValueError, match="two views"):
        cross_correlation(THREE_IMAGES[:, :1], "U")
    with pytest.raises(ValueError, match="lambda"):
        cross_correlation_loss(np.eye(2), 1.5)


def weighted_correlation(views: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """C when image x counts ``weights[x]``."""
    weights = weights / weights.sum()
    mean = weights @ views.mean(axis=1)
    offset = views - mean
    deviation = np.sqrt(weights @ np.square(offset).mean(axis=1))
    means = offset.mean(axis=1) / deviation
    return (means.T * weights) @ means


def test_influence_is_the_derivative_of_the_loss() -> None:
    n, lam, step = 7, 0.1, 1e-6
    views = draw(np.random.default_rng(0), n, 3, 4)
    split = cross_correlation_split(views, lam)
    found = loss_influence(standardise(views), split)
    weight = np.where(np.eye(4, dtype=bool), 1, lam)
    for image in range(n):
        up, down = np.full(n, 1 / n), np.full(n, 1 / n)
        up[image], down[image] = up[image] + step, down[image] - step
        ahead, behind = weighted_correlation(views, up), weighted_correlation(views, down)
        loss = cross_correlation_loss(ahead, lam).loss - cross_correlation_loss(behind, lam).loss
        assert found.linear[image] == pytest.approx(loss / (2 * step), rel=1e-5, abs=1e-6)
        moved = (ahead - behind) / (2 * step)
        assert found.square[image] == pytest.approx((weight * moved**2).sum(), rel=1e-5, abs=1e-6)
    assert found.linear.mean() == pytest.approx(0, abs=1e-12)


def world(generator: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    dim = len(mixing)
    return (generator.normal(size=(n, 1, dim)) @ mixing) + 0.5 * generator.normal(size=(n, 3, dim))


@pytest.mark.parametrize("runs", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_the_interval_covers_and_the_noise_is_told(measure_term: Measure, runs: int) -> None:
    generator = np.random.default_rng(3)
    mixing = generator.normal(size=(10, 10))
    truth = cross_correlation_loss(
        view_moments(world(generator, 20_000, mixing) for _ in range(3)).correlation()
    ).loss
    covered, values, noise = 0, [], []
    for _ in range(runs):
        found = measure_term("cross-correlation-split(norm=as-is)", world(generator, 80, mixing))
        assert found.interval is not None
        covered += found.interval.low <= truth <= found.interval.high
        values.append(found.value)
        noise.append(found.details["sampling_noise"])
    assert covered / runs >= 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / runs)
    spread = np.std(values) / math.sqrt(runs)
    assert np.mean(values) - truth == pytest.approx(np.mean(noise), abs=3 * spread + 0.3 * np.mean(noise))


def labelled(n: int = 30, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator, labels = np.random.default_rng(2), np.arange(n) % 3
    views = 2 * generator.normal(size=(3, d))[labels][:, None] + generator.normal(size=(n, 3, d))
    return views.astype(np.float32).astype(np.float64), labels


@pytest.mark.parametrize("norm", ["sphere", "as-is"])
def test_the_metric_gives_the_parts_and_the_bounds(measure_term: Measure, norm: str) -> None:
    views, labels = labelled()
    term = f"cross-correlation-split(norm={norm})"
    found = measure_term(term, views, labels, range(15), range(15, 30))
    if norm == "sphere":
        views = views / np.linalg.norm(views, axis=2, keepdims=True)
    split = cross_correlation_split(views)
    assert found.value == pytest.approx(split.loss, rel=1e-10)
    details = found.details
    for name in ("alignment_part", "regularisation", "alignment_bound"):
        assert details[name] == pytest.approx(getattr(split, name), rel=1e-10)
    assert details["alignment_v"] == pytest.approx(alignment(standardise(views), "V"), rel=1e-10)
    scatter = within_class_scatter(standardise(views), labels, 3)
    assert details["tau_prime"] == pytest.approx(np.square(scatter).sum(), rel=1e-10)
    assert float(str(details["root_sum"])) >= float(str(details["least_root_sum"])) == math.sqrt(3)
    assert str(details["theorem4_at_best"]).startswith("d = 5, K^2 = 9: vacuous even for the smallest L2")
    assert str(details["theorem4"]).startswith("vacuous, gives no guarantee")
    assert "incompatible" in str(details["whitening"])
    assert found.interval is not None
    assert found.interval.low <= found.value <= found.interval.high


def white_with_classes(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Uncorrelated features of length 1 in d dimensions, three of which tell four classes apart."""
    labels = np.arange(n) % 4
    columns = np.random.default_rng(0).normal(size=(n, d + 1))
    columns[:, :4] = np.eye(4)[labels]
    within = np.linalg.qr(columns)[0][:, 4:]
    return np.concatenate([WHITE[labels], math.sqrt(n) * within], axis=1), labels


def test_white_features_whose_classes_fill_their_dimensions_are_bounded(measure_term: Measure) -> None:
    features, labels = white_with_classes(40, 20)
    views = features[:, None].repeat(2, axis=1)
    term = "cross-correlation-split(norm=as-is)"
    found = measure_term(term, views, labels, range(20), range(20, 40))
    assert found.value == pytest.approx(0, abs=1e-9)
    assert found.details["tau_prime"] == pytest.approx(17, rel=1e-5)
    assert found.details["root_sum"] == pytest.approx(math.sqrt(17), rel=1e-5)
    assert found.details["largest_centre_product"] == pytest.approx(-1, abs=1e-5)
    assert found.details["centre_share"] == pytest.approx(3 / 20, rel=1e-5)
    for name in ("theorem4", "theorem4_tight", "theorem4_centred"):
        assert str(found.details[name]).startswith("holds: below the trivial bound 20 for 6 of 6 pairs")
    assert str(found.details["theorem4_at_best"]).startswith("d = 20, K^2 = 16: the smallest L2")


def test_without_labels_the_loss_is_the_same(measure_term: Measure) -> None:
    views, labels = labelled()
    with_labels = measure_term("cross-correlation-split", views, labels, range(15), range(15, 30))
    found = measure_term("cross-correlation-split", views)
    assert (found.value, found.interval) == (with_labels.value, with_labels.interval)
    assert found.details["theorem4"] == "not applicable: no labels"
    assert "tau_prime" not in found.details
    alone = measure_term("cross-correlation-split", views, np.zeros(30), range(15), range(15, 30))
    assert alone.details["theorem4"] == "not applicable: fewer than two classes have images"


def test_constant_dimensions_are_left_out_and_told(measure_term: Measure) -> None:
    views, labels = labelled()
    wider = np.concatenate([views, np.full((30, 3, 2), 0.1)], axis=2)
    found = measure_term("cross-correlation-split(norm=as-is)", wider, labels, range(15), range(15, 30))
    assert found.value == pytest.approx(cross_correlation_split(views).loss, rel=1e-10)
    assert found.details["constant_dimensions"] == 2
    assert "2 constant ones left out" in found.note


def test_more_dimensions_than_images_are_mostly_noise(measure_term: Measure) -> None:
    views = np.random.default_rng(0).normal(size=(10, 1, 60)).repeat(2, axis=1)
    found = measure_term("cross-correlation-split", views, np.arange(10) % 2, range(5), range(5, 10))
    assert found.note.endswith("Mostly sampling noise: 10 images are few for it.")
    assert found.interval is not None
    assert found.interval.low < found.value / 2


def test_hopeless_features(measure_term: Measure) -> None:
    constant = measure_term("cross-correlation-split", np.ones((4, 2, 3)), [0, 0, 1, 1], [0], [1, 2, 3])
    assert (constant.value, constant.reason) == (None, "features are constant")
    zero = measure_term("cross-correlation-split(norm=as-is)", np.zeros((4, 2, 3)))
    assert zero.reason == "features are constant"
    single = measure_term("cross-correlation-split", np.ones((1, 2, 3)))
    assert (single.value, single.verdict) == (None, "not-applicable")
