"""Alignment and R_eps against double loops, closed forms, and the metric on features on disk."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.errors import EncoderError, UsageError
from sslaudit.figures import Bars, Curve
from sslaudit.results import Estimate
from sslaudit.stats import clopper_pearson, dkw_halfwidth
from sslaudit.store import PART_IMAGES
from sslaudit_theory.positives.pairs import (
    alignment,
    alignment_by_views,
    alignment_per_sample,
    r_eps,
    r_eps_by_views,
    r_eps_curve,
    sup_alignment,
    sup_by_views,
    view_distances,
    view_spread,
)

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


@given(shapes)
def test_by_views_against_double_loops(shape: tuple[int, int, int, int]) -> None:
    views = random_views(*shape)
    n, count, _ = views.shape
    pairs = view_distances(views)
    means, sups = alignment_by_views(pairs), sup_by_views(pairs)
    assert means.shape == sups.shape == (n, count - 1)
    for m in range(2, count + 1):
        first = distances(views[:, :m], different=True)
        np.testing.assert_allclose(means[:, m - 2], [np.mean(np.square(d)) for d in first], rtol=1e-9)
        np.testing.assert_allclose(sups[:, m - 2], [max(d) for d in first], rtol=1e-9)
    for i, image in enumerate(views):
        for v in range(count):
            others = [math.dist(image[v], image[w]) ** 2 for w in range(count) if w != v]
            assert view_spread(pairs)[i, v] == pytest.approx(np.mean(others), rel=1e-9)
            assert pairs[i, v, 0] == pytest.approx(math.dist(image[v], image[0]) ** 2, rel=1e-9)
    np.testing.assert_allclose(view_spread(pairs).mean(axis=1), alignment_per_sample(views), rtol=1e-9)
    eps = np.array([0.2, 0.7])
    expected = [[np.mean([s > e for s in column]) for e in eps] for column in sups.T]
    np.testing.assert_allclose(r_eps_by_views(sups, eps), expected, atol=1e-12)
    assert (np.diff(r_eps_by_views(sups, eps), axis=0) >= 0).all()
    u_form = count / (count - 1) * alignment_per_sample(views, "V")
    np.testing.assert_allclose(means[:, -1], u_form, rtol=1e-9)


@given(st.integers(0, 2**31), st.integers(1, 40))
def test_the_limits_of_the_curve(seed: int, n: int) -> None:
    sup = np.random.default_rng(seed).uniform(0, 2, n)
    eps = np.array([0.0, 0.5, float(sup[0]), 1.5, 2.0])
    curve = r_eps_curve(sup, eps, 0.1)
    for place, value in enumerate(eps):
        above = sum(s > value for s in sup)
        assert curve.share[place] == pytest.approx(above / n)
        assert curve.upper[place] == pytest.approx(clopper_pearson(above, n, 0.9, "upper").high, rel=1e-9)
        assert curve.band[place] == pytest.approx(min(1, above / n + math.sqrt(math.log(10) / (2 * n))))
    assert (np.diff(curve.share[[0, 1, 3, 4]]) <= 0).all()


def test_limits_known_in_closed_form() -> None:
    curve = r_eps_curve(np.zeros(100), np.array([0.0]))
    assert curve.upper[0] == pytest.approx(0.029513049607039932, abs=1e-12)
    assert r_eps_curve(np.zeros(500), np.array([0.0])).band[0] == pytest.approx(0.0547332830511, abs=1e-12)
    assert r_eps_curve(np.ones(3), np.array([0.5])).upper[0] == 1


def test_what_is_refused() -> None:
    views = random_views(0, 3, 2, 2)
    views[1, 1, 0] = np.nan
    for function in (alignment, sup_alignment, view_distances):
        with pytest.raises(ValueError, match="not all finite"):
            function(views)
    with pytest.raises(ValueError, match=r"\(N, V, D\)"):
        view_distances(views[0])
    for sup in (np.empty(0), np.ones((2, 2))):
        with pytest.raises(ValueError, match="1 or more"):
            r_eps(sup, 0.5)
    with pytest.raises(ValueError, match="finite"):
        r_eps(np.array([0.1, np.nan]), 0.5)
    with pytest.raises(ValueError, match="alpha"):
        r_eps_curve(np.ones(3), np.array([0.5]), 0.7)


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
    for function in (alignment_by_views, sup_by_views, view_spread):
        with pytest.raises(ValueError, match="two views"):
            function(view_distances(views))
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
    curve = estimate.figures[0]
    assert isinstance(curve, Curve)
    series, fixed = curve.series
    sup = np.array(estimate.samples["sup_alignment"])
    assert series.y == pytest.approx([(sup > eps).mean() for eps in series.x])
    assert series.y[-1] == 0
    assert series.high == pytest.approx(np.minimum(1, np.array(series.y) + dkw_halfwidth(40, 0.05)))
    assert len(fixed.x) > 5
    limits = [clopper_pearson(int((sup > eps).sum()), 40, side="upper").high for eps in fixed.x]
    assert fixed.y == pytest.approx(limits)
    assert [(mark.label, mark.x) for mark in curve.marks] == [
        (f"eps {eps:g}", eps) for eps in (0.25, 0.5, 1.0) if eps <= sup.max()
    ]
    assert curve.marks


def test_more_views_and_which_of_them(measure_term: Measure) -> None:
    views = random_views(8, 50, 5, 6)
    views[:, 3] += 2  # one transform that moves every image
    unit = on_sphere(views)
    estimate = measure_term("alignment", views)
    by_views, spread, to_others, to_first = estimate.figures[1:]
    assert isinstance(by_views, Curve)
    assert isinstance(to_others, Bars)
    for series, eps in zip(by_views.series, (0.25, 0.5, 1.0), strict=True):
        assert list(series.x) == [2, 3, 4, 5]
        expected = [(sup_alignment(unit[:, :m]) > eps).mean() for m in (2, 3, 4, 5)]
        assert series.y == pytest.approx(expected)
    assert spread.series[0].y == pytest.approx([alignment(unit[:, :m]) for m in (2, 3, 4, 5)])
    pairs = view_distances(unit)
    assert to_others.values == pytest.approx(view_spread(pairs).mean(axis=0))
    assert to_first.values == pytest.approx(pairs[:, 0].mean(axis=0)[1:])
    assert to_others.labels[0] == "view 0, the image itself"
    assert to_others.low[3] < to_others.values[3] < to_others.high[3]
    assert np.argmax(to_others.values) == 3
    assert estimate.details["widest_view"] == 3


def test_two_views_leave_nothing_to_plot_against(measure_term: Measure) -> None:
    estimate = measure_term("alignment", random_views(9, 20, 2, 4))
    assert [figure.kind for figure in estimate.figures] == ["curve", "bars", "bars"]


def test_many_views_are_cut_to_the_largest(measure_term: Measure) -> None:
    views = random_views(10, 4, 45, 3)
    views[:, 44] += 5
    bars = measure_term("alignment", views).figures[-1]
    assert len(bars.labels) == 40
    assert bars.labels[-1] == "view 44"
    assert bars.title.endswith("the 40 largest")


def test_bounds_have_a_number_or_a_verdict(measure_term: Measure) -> None:
    views = random_views(11, 60, 4, 6)
    wide = measure_term("alignment", views).details
    assert wide["bank_bound_0.25"] == wide["theorem2_drawn_views_1"] == "vacuous"
    assert wide["theorem2"].startswith("not computable: needs a Lipschitz constant")
    close = random_views(11, 60, 1, 6) + np.random.default_rng(0).normal(scale=0.01, size=(60, 4, 6))
    details = measure_term("alignment", close).details
    v_form = alignment(on_sphere(close), "V")
    assert details["v_form"] == pytest.approx(v_form, rel=1e-9)
    assert details["bank_bound_0.5"] == pytest.approx(16 * v_form / (2 * 0.25), rel=1e-9)
    assert details["bank_bound_sharp_0.5"] == pytest.approx(4 * v_form / 0.25, rel=1e-9)
    assert details["R_0.5"] <= details["bank_bound_sharp_0.5"] < details["bank_bound_0.5"] < 1


def test_as_is_leaves_the_scale(measure_term: Measure) -> None:
    views = random_views(3, 10, 3, 5)
    estimate = measure_term("alignment(norm=as-is)", views)
    single = views.astype(np.float32).astype(np.float64)
    assert estimate.value == pytest.approx(alignment(single), rel=1e-10)
    r = np.linalg.norm(single, axis=2).max()
    assert estimate.details["r"] == pytest.approx(r)
    sup = sup_alignment(single)
    for eps in (0.25, 0.5, 1.0):
        above = int((sup > eps * r).sum())
        assert estimate.details[f"R_{eps:g}r"] == pytest.approx(above / 10)
        upper = clopper_pearson(above, 10, side="upper").high
        assert estimate.details[f"R_{eps:g}r_upper"] == pytest.approx(upper)
    assert "approximate" in estimate.note
    tripled = measure_term("alignment(norm=as-is)", 3 * views)
    assert tripled.value == pytest.approx(9 * estimate.value, rel=1e-5)
    for name in ("R_0.25r", "R_0.5r_upper", "bank_bound_1r"):
        assert tripled.details[name] == pytest.approx(estimate.details[name], rel=1e-4)
    assert measure_term("alignment", 3 * views).value == pytest.approx(
        measure_term("alignment", views).value, rel=1e-5
    )


def test_the_training_mean_is_subtracted_first(measure_term: Measure) -> None:
    views = random_views(12, 30, 3, 5) + 10
    single = views.astype(np.float32).astype(np.float64)
    moved = single - single[:20].mean(axis=(0, 1))
    unit = moved / np.linalg.norm(moved, axis=2, keepdims=True)
    estimate = measure_term("alignment(norm=center-sphere)", views, train=np.arange(20))
    assert estimate.value == pytest.approx(alignment(unit), rel=1e-9)
    assert estimate.details["R_0.5"] == pytest.approx((sup_alignment(unit) > 0.5).mean())
    assert estimate.value > 5 * measure_term("alignment", views).value


def test_features_that_are_all_zero(measure_term: Measure) -> None:
    estimate = measure_term("alignment(norm=as-is)", np.zeros((4, 3, 2)))
    assert (estimate.value, estimate.reason) == (None, "all embeddings are zero")


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 100))
def test_unit_features_give_the_cosine(seed: int) -> None:
    unit = on_sphere(random_views(seed, 4, 2, 3))
    cosine = (unit[:, 0] * unit[:, 1]).sum(axis=1)
    np.testing.assert_allclose(alignment_per_sample(unit), 2 - 2 * cosine, atol=1e-12)


@pytest.mark.parametrize("norm", ["sphere", "as-is"])
def test_constant_features_are_called_trivial(measure_term: Measure, norm: str) -> None:
    estimate = measure_term(f"alignment(norm={norm})", np.full((30, 4, 7), 0.3))
    assert (estimate.value, estimate.interval, estimate.verdict) == (0, None, "vacuous")
    assert estimate.no_interval == "trivial: features are constant"
    assert estimate.no_interval in estimate.note


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
    with pytest.raises(UsageError, match="norm=cube is none of sphere, as-is, center-sphere"):
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
