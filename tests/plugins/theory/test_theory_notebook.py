"""The public functions as somebody calls them in a notebook: with lists, integers, bytes and mistakes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sslaudit_theory as theory
from sslaudit.errors import EncoderError

VIEWS = [[[0, 0], [3, 4]], [[1, 1], [1, 2]], [[2, 0], [0, 1]], [[5, 1], [4, 4]]]
LABELS = [0, 0, 1, 1]
FEATURES = [[1, 0], [0, 1], [2, 1], [3, 5]]
GRAPH = [[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]]
APART = [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
OVERLAP = [[1, 0], [0, 1]]

CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "augmented_distance": (theory.augmented_distance, ([[0, 0], [3, 4]], [[6, 8], [3, 0], [-1, 1]])),
    "augmented_distances": (theory.augmented_distances, (VIEWS,)),
    "augmented_winners": (lambda *given: theory.augmented_winners(*given)[1], (VIEWS, VIEWS)),
    "nearest_other_class": (theory.nearest_other_class, (VIEWS, LABELS)),
    "share_within": (theory.share_within, ([1, 2, 3], 2)),
    "maximum_clique": (lambda graph: theory.maximum_clique(graph).members, (GRAPH,)),
    "greedy_clique": (theory.greedy_clique, (GRAPH,)),
    "lp_bound": (theory.lp_bound, (GRAPH,)),
    "sigma_curve": (lambda *given: theory.sigma_curve(*given).lower, (APART, [0, 1, 2])),
    "star_sigma": (lambda *given: theory.star_sigma(*given).lower, (APART, APART, [0, 2])),
    "class_distances": (lambda *given: theory.class_distances(*given).test_to_anchors, (VIEWS, VIEWS)),
    "alignment": (theory.alignment, (VIEWS,)),
    "sup_alignment": (theory.sup_alignment, (VIEWS,)),
    "view_spread": (theory.view_spread, ([[[0, 25], [25, 0]]],)),
    "sup_by_views": (theory.sup_by_views, ([[[0, 25], [25, 0]]],)),
    "r_eps": (theory.r_eps, ([1, 2, 2, 5, 9], [1, 2, 5, 9])),
    "r_eps_curve": (lambda *given: theory.r_eps_curve(*given).band, ([1, 2, 2, 5, 9], [1, 2])),
    "image_means": (theory.image_means, ([[[3, 4], [6, 8]]],)),
    "normalised": (theory.normalised, ([[3, 4], [6, 8]], "sphere")),
    "class_centres": (theory.class_centres, (FEATURES, LABELS)),
    "squared_lengths": (theory.squared_lengths, (FEATURES, LABELS)),
    "delta_mu": (theory.delta_mu, (FEATURES, LABELS)),
    "delta_of_lengths": (theory.delta_of_lengths, ([1, 0],)),
    "centre_overlap": (theory.centre_overlap, (OVERLAP,)),
    "worst_pair": (theory.worst_pair, (APART,)),
    "infonce_split": (lambda views: theory.infonce_split(views).loss, (VIEWS,)),
    "positive_products": (theory.positive_products, (VIEWS,)),
    "nt_xent": (theory.nt_xent, (VIEWS,)),
    "standardise": (theory.standardise, (VIEWS,)),
    "cross_correlation_split": (lambda views: theory.cross_correlation_split(views).loss, (VIEWS,)),
    "cross_correlation_loss": (lambda C: theory.cross_correlation_loss(C).loss, ([[1, 0], [0, 1]],)),
    "theorem3_bound": (theory.theorem3_bound, ([2, 3], 0.5, 0.5)),
    "theorem3_tau": (theory.theorem3_tau, ([1, 1], OVERLAP, [0.5, 0.5], 0)),
    "infonce_floor": (theory.infonce_floor, ([1, 1], OVERLAP, [0.5, 0.5])),
    "theorem4_bound": (theory.theorem4_bound, ([503, 510], [0, 1], 0.1, 0.1, 512, 10)),
    "theorem4_tight": (theory.theorem4_tight, ([503, 510], [0, 1], 0.1, 0.1, 512, 10)),
    "within_class_scatter": (theory.within_class_scatter, (VIEWS, LABELS)),
    "decomposition": (lambda *given: theory.decomposition(*given).variance, (VIEWS, LABELS)),
    "empirical_lipschitz": (lambda *given: theory.empirical_lipschitz(*given).value, (VIEWS, VIEWS)),
    "theorem1": (
        lambda *given: theory.theorem1(*given, sigma=1, delta=0, eps=0, R=0).margins,
        (OVERLAP, 0, [0.5, 0.5]),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_lists_are_as_good_as_arrays(name: str) -> None:
    function, given = CALLS[name]
    arrays = [np.array(part) if isinstance(part, list) else part for part in given]
    np.testing.assert_array_equal(function(*given), function(*arrays))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_no_type_of_numbers_overflows_or_loses_digits(dtype: type) -> None:
    views = np.array([[[200, 10], [0, 255]], [[90, 90], [255, 3]], [[7, 8], [9, 100]], [[1, 2], [250, 4]]])
    exact, given = views.astype(np.float64), views.astype(dtype)
    for function in (
        theory.alignment,
        theory.sup_alignment,
        theory.view_distances,
        theory.positive_products,
        theory.image_means,
        theory.standardise,
        lambda v: theory.augmented_distances(v),
        lambda v: theory.class_centres(v, LABELS),
        lambda v: theory.squared_lengths(v[:, 0], LABELS),
        lambda v: theory.within_class_scatter(v, LABELS),
        lambda v: theory.decomposition(v, LABELS).along,
    ):
        np.testing.assert_allclose(function(given), function(exact), rtol=1e-12)


def test_a_piece_without_images_has_no_means() -> None:
    assert theory.image_means(np.zeros((0, 2, 3))).shape == (0, 3)
    with pytest.raises(ValueError, match=r"\(N, V, D\)"):
        theory.image_means([[1, 2]])
    with pytest.raises(EncoderError, match="not finite"):
        theory.image_means(np.full((3, 2, 2), np.nan))


def test_centres_of_views_are_those_of_their_means() -> None:
    means = np.mean(VIEWS, axis=1)
    np.testing.assert_array_equal(theory.class_centres(VIEWS, LABELS), theory.class_centres(means, LABELS, 2))
    assert theory.delta_mu(VIEWS, LABELS, r=9) == theory.delta_mu(means, LABELS, 2, r=9)


def test_rho_is_a_number_and_a_budget_takes_it() -> None:
    rho = theory.rho_max(sigma=1, delta=0.01, eps=0.005, R=0, p_min=0.5)
    assert float(rho) == pytest.approx(0.02, abs=1e-15)
    assert theory.threshold(rho, 0) == pytest.approx(0.78, abs=1e-12)


def test_a_length_of_one_up_to_rounding_has_a_radius() -> None:
    assert theory.centre_radius(10, 1, 1 + 1e-15, 0.05) == theory.centre_radius(10, 1, 1, 0.05)


def test_centres_that_coincide_up_to_rounding_are_too_close() -> None:
    overlap = np.full((2, 2), 1 - 2e-16)
    held = theory.theorem1(overlap, 0.0, [0.5, 0.5], sigma=1, delta=0, eps=0, R=0)
    assert held.guarantee is theory.Guarantee.CENTRES_TOO_CLOSE
    assert theory.rho_star(1 - 2e-16, 0.0) == 0
    sharp = theory.theorem1_sharp(np.full((2, 2), 1e-16), [0.5, 0.5], sigma=1, delta=0, eps=0, R=0)
    assert sharp.guarantee is theory.Guarantee.CENTRES_TOO_CLOSE


BAD = (
    np.full((3, 2, 2), np.nan),
    np.full((3, 2, 2), np.inf),
    np.zeros((0, 2, 2)),
    np.zeros((2, 0, 2)),
    [[1, 2]],
)


@pytest.mark.parametrize("views", BAD, ids=["nan", "inf", "no-images", "no-views", "no-axis"])
@pytest.mark.parametrize(
    "function",
    [
        theory.view_distances,
        theory.alignment,
        lambda views: theory.alignment(views, "V"),
        theory.sup_alignment,
        theory.infonce_split,
        theory.positive_products,
        theory.nt_xent,
        theory.standardise,
        theory.cross_correlation_split,
        theory.augmented_distances,
        lambda views: theory.within_class_scatter(views, np.zeros(len(views), dtype=int), 1),
        lambda views: theory.decomposition(views, np.zeros(len(views), dtype=int)),
    ],
)
def test_what_are_no_views_is_refused(function: Callable[..., object], views: Any) -> None:
    with pytest.raises((ValueError, EncoderError), match=r"\(N, V, D\)|\(n, V, D\)|finite|labels"):
        function(views)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.alignment(VIEWS, "u"), "forms U and V"),  # type: ignore[arg-type]
        (lambda: theory.cross_correlation_split(VIEWS, form="v"), "forms U and V"),  # type: ignore[arg-type]
        (lambda: theory.view_spread([[0, 1], [1, 0]]), r"\(N, V, V\)"),
        (lambda: theory.class_centres(FEATURES, [0, 1]), "with labels"),
        (lambda: theory.class_centres(FEATURES, [0, 1, 1, 5], 2), "integers 0..1"),
        (lambda: theory.class_centres(FEATURES, [0, 1, 1, -1]), "integers 0..1"),
        (lambda: theory.class_centres(FEATURES, [0.0, 1.0, 1.0, 0.0]), "integers"),
        (lambda: theory.worst_pair([[1]]), "two classes"),
        (lambda: theory.delta_of_lengths([]), "one centre at least"),
        (lambda: theory.delta_of_lengths([float("nan")]), "finite"),
        (lambda: theory.centre_overlap(OVERLAP, r=0), "r is positive"),
        (lambda: theory.overlap_error(float("nan"), 0), "not negative"),
        (lambda: theory.share_within([1.0], float("nan")), "numbers"),
        (lambda: theory.cross_correlation_loss([[float("nan")]]), "finite"),
        (lambda: theory.cross_correlation_loss([[1, 0]]), r"\(d, d\)"),
        (lambda: theory.theorem3_sharp(float("nan"), 0.5, 0.5, 1), "finite"),
        (lambda: theory.infonce_floor([float("nan")], [[1]], [1]), "finite"),
        (lambda: theory.theorem4_bound(float("nan"), 0, 0.1, 0.1, 9, 2), "finite"),
        (lambda: theory.theorem4_bound(9, 0, 0, 0.1, 9, 2), "shares"),
        (lambda: theory.theorem4_tight(-1, 9, 0.1, 0.1, 9, 2), "not negative"),
        (lambda: theory.whitening_limits(0, 2), "1 or more"),
        (lambda: theory.maximum_clique([[0, 2], [2, 0]]), "boolean"),
        (
            lambda: theory.theorem1_sharp([[0, 1], [1, 0]], [0.5, 0.5], sigma=[1, 1, 1], delta=0, eps=0, R=0),
            "each of 2 classes",
        ),
    ],
)
def test_mistakes_are_answered_in_a_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_center_sphere_says_what_has_no_direction() -> None:
    with pytest.raises(EncoderError, match="exactly zero less the centre"):
        theory.normalised([[1, 2], [3, 4]], "center-sphere", [1, 2])
