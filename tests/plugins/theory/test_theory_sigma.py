"""sigma(delta) against windows on a line, enumeration and loops; stars against cliques."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.stats import clopper_pearson
from sslaudit_theory.sigma.augmented import augmented_distances
from sslaudit_theory.sigma.curve import SigmaCurve, sigma_curve, sigma_of, worst_class
from sslaudit_theory.sigma.limits import sigma_upper_limit, star_masses, star_sigma
from sslaudit_theory.sigma.splits import (
    ClassDistances,
    Concentration,
    Distances,
    class_distances,
    concentration,
)

SPACED = [0.0, 0.1, 0.15, 0.4, 0.55, 0.9, 1.0]
SPACED_DELTAS = [0.0, 0.05, 0.15, 0.4, 0.55, 1.0]


def on_a_line(points: Sequence[float] | np.ndarray) -> np.ndarray:
    x = np.asarray(points, dtype=np.float64)
    return np.abs(x[:, None] - x)


def naive_distances(views: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """d_A by loops over images and views."""
    columns = views if others is None else others
    return np.array(
        [[min(np.linalg.norm(a - b) for a in x for b in y) for y in columns] for x in views]
    ).reshape(len(views), len(columns))


def random_views(seed: int, n: int, v: int = 3, d: int = 2) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.random((n, 1, d)) + generator.normal(scale=0.1, size=(n, v, d))


def largest_part(distances: np.ndarray, delta: float) -> int:
    """By trying every set of images."""
    n = len(distances)
    return max(
        size
        for size in range(1, n + 1)
        for part in itertools.combinations(range(n), size)
        if all(distances[pair] <= delta * (1 + 1e-12) for pair in itertools.combinations(part, 2))
    )


def window(points: np.ndarray, delta: float) -> int:
    """Most points in a window of that length."""
    x = np.sort(points)
    return int((np.searchsorted(x, x + delta, side="right") - np.arange(len(x))).max())


worlds = st.builds(random_views, st.integers(0, 2**31), st.integers(1, 9))
radii = st.lists(st.floats(0, 1.2), min_size=1, max_size=6).map(sorted)


def test_windows_on_a_line() -> None:
    curve = sigma_curve(on_a_line(SPACED), SPACED_DELTAS)
    np.testing.assert_allclose(curve.lower, np.array([1, 2, 3, 4, 5, 7]) / 7, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(curve.lower, curve.upper)
    assert curve.n == 7
    assert [sigma_of(on_a_line(SPACED), delta).lower for delta in SPACED_DELTAS] == [1, 2, 3, 4, 5, 7]


def test_equal_distances_that_differ_by_rounding_are_within() -> None:
    points = 0.1 * np.arange(8)
    assert on_a_line(points).max() != 0.7
    assert sigma_of(on_a_line(points), 0.7).lower == 8
    assert sigma_of(on_a_line(points) * 1e9, 0.7e9).lower == 8
    assert sigma_of(on_a_line(points), 0.7 * (1 - 1e-9)).lower == 7
    assert sigma_of(on_a_line([0, 1e-13]), 0.0).lower == 1


def test_sigma_is_that_of_the_worst_class() -> None:
    curves = [
        sigma_curve(on_a_line(points), [0.25])
        for points in ([0.0, 0.1, 0.2, 5.0], [0.0, 0.05, 3.0, 6.0, 9.0])
    ]
    assert [curve.lower[0] for curve in curves] == [0.75, 0.4]
    worst = worst_class(curves)
    assert (worst.lower.tolist(), worst.upper.tolist(), worst.n) == ([0.4], [0.4], 4)


def test_the_worst_class_changes_with_delta() -> None:
    deltas = np.array([0.0, 1.0])
    first = SigmaCurve(deltas, np.array([0.1, 0.9]), np.array([0.2, 0.9]), 10)
    second = SigmaCurve(deltas, np.array([0.15, 0.5]), np.array([0.15, 0.7]), 20)
    worst = worst_class([first, second])
    assert worst.lower.tolist() == [0.1, 0.5]
    assert worst.upper.tolist() == [0.15, 0.7]
    with pytest.raises(ValueError, match="same deltas"):
        worst_class([first, SigmaCurve(deltas + 1, first.lower, first.upper, 10)])
    with pytest.raises(ValueError, match="same deltas"):
        worst_class([])


@settings(deadline=None)
@given(worlds, radii)
def test_the_curve_is_the_largest_part_at_every_delta(views: np.ndarray, deltas: list[float]) -> None:
    distances = naive_distances(views)
    curve = sigma_curve(distances, deltas)
    expected = [largest_part(distances, delta) for delta in deltas]
    np.testing.assert_allclose(curve.lower * len(views), expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(curve.lower, curve.upper)
    assert [sigma_of(distances, delta).upper for delta in deltas] == expected


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 40), st.sampled_from([0, 10, 300, 3_000]))
def test_bounds_of_a_curve_rise_and_hold_whatever_the_budget(seed: int, n: int, budget: int) -> None:
    distances = augmented_distances(random_views(seed, n, d=6))
    deltas = np.quantile(distances, np.linspace(0, 1, 9))
    curve = sigma_curve(distances, deltas, budget=budget)
    exact = [sigma_of(distances, delta, budget=10**7) for delta in deltas]
    assert all(bounds.exact for bounds in exact)
    omega = np.array([bounds.lower for bounds in exact]) / n
    assert (curve.lower <= omega).all()
    assert (omega <= curve.upper).all()
    assert (np.diff(curve.lower) >= 0).all()
    assert (np.diff(curve.upper) >= 0).all()
    assert curve.lower[-1] == curve.upper[-1] == 1


def test_deltas_between_bounds_that_meet_cost_nothing() -> None:
    distances = on_a_line(np.r_[np.zeros(5), 10 + np.arange(30) / 100])
    curve = sigma_curve(distances, np.linspace(0.29, 9.6, 1_000), budget=10)
    assert set(curve.lower.tolist()) == set(curve.upper.tolist()) == {30 / 35}


def test_curves_are_the_same_every_time() -> None:
    distances = augmented_distances(random_views(0, 60, d=6))
    deltas = np.quantile(distances, np.linspace(0, 1, 12))
    first, second = (sigma_curve(distances, deltas, budget=2_000) for _ in range(2))
    assert first.lower.tobytes() == second.lower.tobytes()
    assert first.upper.tobytes() == second.upper.tobytes()


def test_more_views_bring_images_nearer() -> None:
    views = random_views(7, 40, v=5)
    deltas = np.linspace(0, 0.5, 8)
    curves = [sigma_curve(augmented_distances(views[:, :v]), deltas) for v in (1, 2, 5)]
    for few, many in itertools.pairwise(curves):
        assert (many.lower >= few.upper).all()


@pytest.mark.parametrize(("n", "expected"), [(5, 0.633), (20, 0.479), (80, 0.393), (320, 0.347)])
def test_the_clique_of_a_sample_errs_upwards_and_less_in_larger_samples(n: int, expected: float) -> None:
    generator = np.random.default_rng(n)
    found = [sigma_of(on_a_line(generator.random(n)), 0.3) for _ in range(20)]
    assert all(bounds.exact for bounds in found)
    windows = np.array([window(generator.random(n), 0.3) / n for _ in range(4_000)])
    error = windows.std() / np.sqrt(len(windows))
    assert windows.mean() == pytest.approx(expected, abs=4 * error + 0.0005)
    sample = np.array([bounds.lower / n for bounds in found])
    assert abs(sample.mean() - expected) < 4 * windows.std() / np.sqrt(len(sample))


@pytest.mark.parametrize(
    ("distances", "deltas", "message"),
    [
        (np.zeros((2, 3)), [1.0], "square"),
        (np.array([[0.0, np.nan], [np.nan, 0.0]]), [1.0], "numbers at least 0"),
        (np.array([[0.0, -1.0], [-1.0, 0.0]]), [1.0], "numbers at least 0"),
        (np.array([[0.0, 1.0], [2.0, 0.0]]), [1.0], "symmetric"),
        (np.zeros((2, 2)), [1.0, 0.5], "ascending"),
        (np.zeros((2, 2)), [-1.0], "at least 0"),
        (np.zeros((2, 2)), [np.nan], "at least 0"),
        (np.zeros((2, 2)), [], "ascending"),
        (np.zeros((0, 0)), [1.0], "no images"),
    ],
)
def test_bad_input_is_refused(distances: np.ndarray, deltas: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sigma_curve(distances, deltas)


@settings(deadline=None)
@given(worlds, st.integers(0, 2**31), radii)
def test_star_masses_are_counts_and_stars_are_cliques(
    views: np.ndarray, seed: int, deltas: list[float]
) -> None:
    points = np.random.default_rng(seed).random((4, 1, 2))
    near = naive_distances(views, points)
    masses = star_masses(near, deltas)
    between = naive_distances(views)
    for row, delta in enumerate(deltas):
        for column in range(4):
            star = [i for i in range(len(views)) if near[i, column] <= delta / 2]
            assert masses[row, column] == len(star)
            assert all(between[i, j] <= delta + 1e-12 for i in star for j in star)


@settings(deadline=None)
@given(worlds, radii)
def test_a_star_is_at_most_the_clique_of_the_same_images(views: np.ndarray, deltas: list[float]) -> None:
    anchors = views.reshape(-1, 1, views.shape[2])
    near = naive_distances(views, anchors)
    curve = sigma_curve(naive_distances(views), deltas)
    star = star_sigma(near, near, deltas)
    assert (star.share_a <= curve.upper + 1e-12).all()
    assert (star.lower <= star.share_a).all()
    np.testing.assert_allclose(star.count_b / len(views), star.share_a)


def test_star_by_hand() -> None:
    a = np.array([[0.0, 2.0], [0.4, 0.1], [3.0, 0.2]])
    b = np.array([[0.1, 0.1], [0.1, 9.0], [9.0, 9.0], [9.0, 0.5]])
    star = star_sigma(a, b, [0.2, 0.4, 0.8, 1.0])
    assert star.anchor.tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(star.share_a, [1 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert star.count_b.tolist() == [2, 1, 2, 2]
    assert star.n_b == 4
    expected = [clopper_pearson(k, 4, 0.95, side="lower").low for k in (2, 1, 2, 2)]
    assert star.lower.tolist() == expected


def test_balls_round_an_augmented_image_are_no_cliques() -> None:
    x, middle, y = np.array([[0.0]]), np.array([[0.0], [10.0]]), np.array([[10.0]])
    views = [np.tile(x, (2, 1)), middle, np.tile(y, (2, 1))]
    distances = naive_distances(np.stack(views))
    np.testing.assert_array_equal(distances, [[0, 0, 10], [0, 0, 0], [10, 0, 0]])
    assert sigma_of(distances, 1.0).lower == 2
    anchors = np.stack(views).reshape(-1, 1, 1)
    assert star_masses(naive_distances(np.stack(views), anchors), [1.0]).max() == 2


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 1)), "same anchors"),
        (np.zeros((3, 0)), np.zeros((3, 0)), "same anchors"),
        (np.zeros((3, 2)), np.zeros((0, 2)), "need images"),
        (np.zeros((0, 2)), np.zeros((3, 2)), "need images"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "numbers at least 0"),
        (np.zeros(3), np.zeros((3, 2)), "matrix"),
    ],
)
def test_stars_refuse_bad_input(a: np.ndarray, b: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        star_sigma(a, b, [1.0])


def test_the_upper_limit_is_binomial() -> None:
    assert sigma_upper_limit(0, 10) == pytest.approx(1 - 0.05 ** (1 / 10))
    assert sigma_upper_limit(10, 10) == 1
    assert sigma_upper_limit(3, 10, 0.99) > sigma_upper_limit(3, 10) > 0.3
    with pytest.raises(ValueError, match="0 samples"):
        sigma_upper_limit(0, 0)


@pytest.fixture(scope="module")
def splits() -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [random_views(k, n) for k, n in enumerate((9, 12, 1))], [
        random_views(10 + k, n) for k, n in enumerate((8, 5, 2))
    ]


def apart(
    train: Sequence[np.ndarray], test: Sequence[np.ndarray], distances: Distances = augmented_distances
) -> list[ClassDistances]:
    return [class_distances(a, b, distances) for a, b in zip(train, test, strict=True)]


def test_concentration_of_two_splits(splits: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    train, test = splits
    deltas = [0.0, 0.2, 0.5, 1.5]
    found = concentration(apart(train, test, naive_distances), deltas, classes=[3, 5, 8], level=0.9)
    assert found.classes.tolist() == [3, 5, 8]
    assert (found.n_train.tolist(), found.n_test.tolist()) == ([9, 12, 1], [8, 5, 2])
    for k, (a, b) in enumerate(zip(train, test, strict=True)):
        for m, delta in enumerate(deltas):
            expected = largest_part(naive_distances(a), delta) / len(a)
            assert found.train_low[k, m] == found.train_high[k, m] == expected
            expected = largest_part(naive_distances(b), delta) / len(b)
            assert found.test_low[k, m] == found.test_high[k, m] == expected
            anchor = a[found.star_image[k, m], found.star_view[k, m]]
            inside = [min(np.linalg.norm(view - anchor) for view in x) <= delta / 2 for x in b]
            assert found.star_count[k, m] == sum(inside)
            assert found.star_lower[k, m] == clopper_pearson(sum(inside), len(b), 0.9, side="lower").low
            most = max(
                sum(min(np.linalg.norm(view - point) for view in x) <= delta / 2 for x in a)
                for point in a.reshape(-1, 2)
            )
            assert most == sum(min(np.linalg.norm(view - anchor) for view in x) <= delta / 2 for x in a)
    same = concentration(apart(train, test), deltas, classes=[3, 5, 8], level=0.9)
    assert same.to_tables() == found.to_tables()


def test_a_split_without_images_of_a_class_says_nothing(
    splits: tuple[list[np.ndarray], list[np.ndarray]],
) -> None:
    train, test = splits
    found = concentration(apart([train[0], train[1][:0]], [test[0][:0], test[1]]), [0.1, 0.3])
    for empty, k in (("test", 0), ("train", 1)):
        assert getattr(found, f"{empty}_low")[k].tolist() == [0, 0]
        assert getattr(found, f"{empty}_high")[k].tolist() == [1, 1]
    assert (found.train_low[0] > 0).all()
    assert (found.test_low[1] > 0).all()
    assert not found.star_lower.any()
    assert not found.star_count.any()
    assert (found.star_image == -1).all()
    assert (found.star_view == -1).all()


def test_tables_come_back(splits: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    found = concentration(apart(*splits), [0.0, 0.2, 0.5, 1.5])
    tables = found.to_tables()
    assert all(isinstance(value, float) for column in tables.values() for value in column)
    again = Concentration.from_tables(tables)
    for name in Concentration.__slots__:
        first, second = np.asarray(getattr(found, name)), np.asarray(getattr(again, name))
        assert (first.dtype, first.shape) == (second.dtype, second.shape)
        np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError, match="missing: star_view, level"):
        Concentration.from_tables({k: v for k, v in tables.items() if k not in ("star_view", "level")})
    with pytest.raises(ValueError, match="reshape"):
        Concentration.from_tables({**tables, "train_low": [0.5]})


def test_names_that_do_not_fit_are_refused(splits: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    with pytest.raises(ValueError, match="one class at least"):
        concentration([], [0.1])
    with pytest.raises(ValueError, match="each with a name"):
        concentration(apart(*splits), [0.1], classes=[0, 1])
