"""Alignment and R_eps against double loops, closed forms, and the metric on features on disk."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.errors import EncoderError, UsageError
from sslaudit.results import Curve, Estimate
from sslaudit.stats import dkw_halfwidth
from sslaudit.store import PART_IMAGES
from sslaudit_theory import alignment, alignment_per_sample, r_eps, sup_alignment

Measure = Callable[..., Estimate]

THREE = [
    [[0.0, 0.0], [3.0, 4.0]],
    [[1.0, 1.0], [1.0, 1.0]],
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
]


def distances(views: np.ndarray, *, different: bool) -> list[list[float]]:
    """All distances between views i and j of each image, one pair at a time."""
    count = views.shape[1]
    return [
        [math.dist(image[i], image[j]) for i in range(count) for j in range(count) if i != j or not different]
        for image in views
    ]


def random_views(seed: int, n: int, v: int, d: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, 1, d)) + generator.normal(scale=0.3, size=(n, v, d))


def on_sphere(views: np.ndarray) -> np.ndarray:
    single = views.astype(np.float32).astype(np.float64)
    return single / np.linalg.norm(single, axis=2, keepdims=True)


shapes = st.tuples(st.integers(0, 2**31), st.integers(1, 6), st.integers(2, 7), st.integers(1, 5))


def test_closed_forms() -> None:
    images = [np.array([views]) for views in THREE]
    assert [sup_alignment(views)[0] for views in images] == pytest.approx([5, 0, math.sqrt(2)], abs=1e-12)
    v_form = np.mean([alignment_per_sample(views, "V")[0] for views in images])
    u_form = np.mean([alignment_per_sample(views)[0] for views in images])
    assert (v_form, u_form) == pytest.approx((4.462962962962963, 8.777777777777777), abs=1e-12)


def test_r_eps_is_strict() -> None:
    sup = np.array([0.2, 0.9, 0.1, 0.5, 0.2])
    np.testing.assert_allclose(r_eps(sup, np.array([0.19, 0.2, 0.5, 0.9])), [0.8, 0.4, 0.2, 0.0], atol=1e-12)
    assert r_eps(sup, 0.2) == pytest.approx(0.4)


@given(shapes)
def test_against_double_loops(shape: tuple[int, int, int, int]) -> None:
    views = random_views(*shape)
    pairs, all_pairs = distances(views, different=True), distances(views, different=False)
    np.testing.assert_allclose(
        alignment_per_sample(views), [np.mean(np.square(d)) for d in pairs], rtol=1e-10
    )
    np.testing.assert_allclose(
        alignment_per_sample(views, "V"), [np.mean(np.square(d)) for d in all_pairs], rtol=1e-10
    )
    np.testing.assert_allclose(sup_alignment(views), [max(d) for d in pairs], rtol=1e-10)
    assert alignment(views) == pytest.approx(np.mean(alignment_per_sample(views)))


@given(shapes, st.floats(-50, 50), st.floats(0.01, 100))
def test_offset_scale_and_order_of_views(
    shape: tuple[int, int, int, int], offset: float, scale: float
) -> None:
    views = random_views(*shape)
    order = np.random.default_rng(shape[0]).permutation(shape[2])
    moved = (views[:, order] + offset) * scale
    np.testing.assert_allclose(alignment_per_sample(moved), scale**2 * alignment_per_sample(views), rtol=1e-7)
    np.testing.assert_allclose(sup_alignment(moved), scale * sup_alignment(views), rtol=1e-7)


@given(shapes)
def test_more_views_never_lower_the_supremum(shape: tuple[int, int, int, int]) -> None:
    views = random_views(*shape)
    assert (sup_alignment(views) >= sup_alignment(views[:, :-1]) * (1 - 1e-12)).all()
    grid = np.linspace(0, 5, 30)
    assert (np.diff(r_eps(sup_alignment(views), grid)) <= 0).all()


def test_close_views_keep_their_digits() -> None:
    views = np.tile([0.6, 0.0, 0.8, 0.1], (1, 3, 1))
    views[0, 1, 1], views[0, 2, 1] = 1e-9, -1e-9
    assert sup_alignment(views)[0] == pytest.approx(2e-9, rel=1e-9)
    assert alignment_per_sample(views)[0] == pytest.approx((1 + 1 + 4) / 3 * 1e-18, rel=1e-9)


def test_one_view_has_no_pair() -> None:
    views = random_views(0, 3, 1, 2)
    with pytest.raises(ValueError, match="two views"):
        alignment(views)
    assert alignment(views, "V") == 0


@pytest.mark.parametrize("images", [5, PART_IMAGES + 3])
def test_the_metric_on_the_sphere(measure_term: Measure, images: int) -> None:
    views = random_views(1, images, 4, 6)
    estimate = measure_term("alignment", views)
    unit = on_sphere(views)
    pairs = distances(unit, different=True)
    per_image, sup = [np.mean(np.square(d)) for d in pairs], np.array([max(d) for d in pairs])
    assert estimate.value == pytest.approx(np.mean(per_image), rel=1e-10)
    assert estimate.samples["alignment"] == pytest.approx(per_image, rel=1e-10)
    assert estimate.samples["sup_alignment"] == pytest.approx(sup, rel=1e-10)
    assert estimate.details["v_form"] == pytest.approx(0.75 * estimate.value, rel=1e-10)
    assert estimate.interval.low < estimate.value < estimate.interval.high
    assert "over" in estimate.interval.method
    for eps in (0.25, 0.5, 1.0):
        above = (sup > eps).mean()
        assert estimate.details[f"R_{eps:g}"] == pytest.approx(above)
        upper = estimate.details[f"R_{eps:g}_upper"]
        assert upper == 1 if above == 1 else upper > above
    for q in (50, 90, 95, 99):
        level = estimate.details[f"sup_q{q}"]
        assert np.mean(sup <= level + 1e-9) >= q / 100 > np.mean(sup < level - 1e-9)
    assert (estimate.claim, estimate.bias) == ("estimate", "none")
    assert "for the 4 drawn views, not for the continuous augmentation" in estimate.note
    assert "trivial" not in estimate.note


def test_the_curve_has_its_band(measure_term: Measure) -> None:
    estimate = measure_term("alignment", random_views(2, 40, 3, 5))
    (curve,) = estimate.figures
    assert isinstance(curve, Curve)
    (series,) = curve.series
    sup = np.array(estimate.samples["sup_alignment"])
    assert series.y == pytest.approx([(sup > eps).mean() for eps in series.x])
    assert series.y[-1] == 0
    assert series.high == pytest.approx(np.minimum(1, np.array(series.y) + dkw_halfwidth(40, 0.05)))


def test_as_is_leaves_the_scale(measure_term: Measure) -> None:
    views = random_views(3, 10, 3, 5)
    estimate = measure_term("alignment(norm=as-is)", views)
    single = views.astype(np.float32).astype(np.float64)
    assert estimate.value == pytest.approx(alignment(single), rel=1e-10)
    assert estimate.details["largest_norm"] == pytest.approx(np.linalg.norm(single, axis=2).max())
    assert not any(name.startswith("R_") for name in estimate.details)
    tripled = measure_term("alignment(norm=as-is)", 3 * views)
    assert tripled.value == pytest.approx(9 * estimate.value, rel=1e-5)
    assert measure_term("alignment", 3 * views).value == pytest.approx(
        measure_term("alignment", views).value, rel=1e-5
    )


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 100))
def test_unit_features_give_the_cosine(seed: int) -> None:
    unit = on_sphere(random_views(seed, 4, 2, 3))
    cosine = (unit[:, 0] * unit[:, 1]).sum(axis=1)
    np.testing.assert_allclose(alignment_per_sample(unit), 2 - 2 * cosine, atol=1e-12)


@pytest.mark.parametrize("norm", ["sphere", "as-is"])
def test_constant_features_are_called_trivial(measure_term: Measure, norm: str) -> None:
    estimate = measure_term(f"alignment(norm={norm})", np.full((30, 4, 7), 0.3))
    assert (estimate.value, estimate.interval.low, estimate.interval.high) == (0, 0, 0)
    assert "trivial: features are constant" in estimate.note


def test_features_on_one_ray_are_constant_on_the_sphere_only(measure_term: Measure) -> None:
    ray = np.random.default_rng(0).uniform(1, 2, (30, 4, 1)) * np.array([1.0, 2.0, 2.0])
    assert "trivial: features are constant" in measure_term("alignment", ray).note
    assert "trivial" not in measure_term("alignment(norm=as-is)", ray).note


def test_equal_views_are_called_trivial(measure_term: Measure) -> None:
    views = np.repeat(random_views(4, 20, 1, 6), 3, axis=1)
    estimate = measure_term("alignment", views)
    assert estimate.value == 0
    assert "trivial: the views of each image are equal" in estimate.note


def test_one_image_has_no_interval(measure_term: Measure) -> None:
    estimate = measure_term("alignment", random_views(5, 1, 3, 4))
    assert estimate.interval is None
    assert estimate.no_interval == "one image only"


def test_refusals(measure_term: Measure) -> None:
    with pytest.raises(UsageError, match="norm=cube is none of sphere, as-is"):
        measure_term("alignment(norm=cube)", random_views(6, 3, 2, 4))
    with pytest.raises(EncoderError, match="1 embeddings are exactly zero"):
        measure_term("alignment", np.array([[[0.0, 0.0], [1.0, 0.0]]]))


def test_the_order_of_images_does_not_matter(measure_term: Measure) -> None:
    views = random_views(7, 300, 3, 5)
    order = np.random.default_rng(0).permutation(300)
    first, second = measure_term("alignment", views), measure_term("alignment", views[order])
    assert first.value == pytest.approx(second.value, rel=1e-12)
    assert first.details == pytest.approx(second.details)
    np.testing.assert_array_equal(np.array(first.samples["alignment"])[order], second.samples["alignment"])
