"""Intervals against exact enumeration, closed forms and their own promise: coverage."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom

from sslaudit.results import Interval
from sslaudit.stats import (
    bootstrap_mean,
    clopper_pearson,
    dkw_halfwidth,
    mean_of_proportions,
    paired_difference,
    percentile_interval,
    resample_within_classes,
    two_way_bootstrap_mean,
    wilson,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (1, 1), (884, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_is_the_root_of_the_score_equation(k: int, n: int, level: float) -> None:
    z = {0.9: 1.6448536269514722, 0.95: 1.959963984540054}[level]
    centre, half = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
    interval = wilson(k, n, level)
    assert interval.low == pytest.approx((centre - half) / (n + z * z), abs=1e-12)
    assert interval.high == pytest.approx((centre + half) / (n + z * z), abs=1e-12)
    assert (interval.level, interval.method) == (level, "Wilson")


def test_wilson_covers_on_average() -> None:
    n, shares = 40, np.linspace(0.05, 0.95, 91)
    k = np.arange(n + 1)
    limits = [wilson(i, n) for i in k]
    covered = [sum(binom.pmf(i, n, p) for i in k if limits[i].low <= p <= limits[i].high) for p in shares]
    assert 0.945 < np.mean(covered) < 0.96


def test_the_mean_of_proportions_reaches_as_far_as_their_limits_together() -> None:
    found = mean_of_proportions([3, 40], [4, 50])
    singles = [wilson(3, 4), wilson(40, 50)]
    below = math.hypot(0.75 - singles[0].low, 0.8 - singles[1].low) / 2
    above = math.hypot(singles[0].high - 0.75, singles[1].high - 0.8) / 2
    assert found.low <= 0.775 - below + 1e-12
    assert found.high >= 0.775 + above - 1e-12
    for k in (0, 3):
        ends = mean_of_proportions([k] * 4, [3] * 4)
        assert (ends.low, ends.high)[k > 0] == k / 3


@pytest.mark.parametrize(
    ("shares", "trials", "least"),
    [([0.7] * 60, [1] * 60, 0.9), ([0.9] * 10, [3] * 10, 0.9), ([0.99, 0.5], [1000, 2], 0.98)],
)
def test_the_mean_of_proportions_is_covered(shares: list[float], trials: list[int], least: float) -> None:
    """Combined Wilson limits alone cover 77 and 83 % of the first two, those of the mean 75 % of the last."""
    draws = rng(1).binomial(trials, shares, size=(100, len(trials)))
    limits = [mean_of_proportions(draw, trials) for draw in draws]
    assert np.mean([limit.low <= np.mean(shares) <= limit.high for limit in limits]) > least


def test_clopper_pearson_upper_limit_without_successes() -> None:
    interval = clopper_pearson(0, 100, side="upper")
    assert interval.low == 0
    assert interval.high == pytest.approx(0.029513049607039932, abs=1e-12)  # 1 - .05^(1/100)


@given(st.integers(1, 60), st.data())
def test_clopper_pearson_inverts_the_binomial_tails(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    both = clopper_pearson(k, n, 0.9)
    lower, upper = clopper_pearson(k, n, 0.95, side="lower"), clopper_pearson(k, n, 0.95, side="upper")
    assert (both.low, both.high) == pytest.approx((lower.low, upper.high), abs=1e-12)
    assert (lower.high, upper.low) == (1, 0)
    if k < n:
        root = brentq(lambda p: binom.cdf(k, n, p) - 0.05, 0, 1, xtol=1e-13)
        assert upper.high == pytest.approx(root, abs=1e-9)
    else:
        assert upper.high == 1


@pytest.mark.parametrize("side", ["two-sided", "upper", "lower"])
def test_clopper_pearson_never_covers_less_than_promised(side: str) -> None:
    n = 30
    limits = [clopper_pearson(k, n, 0.9, side=side) for k in range(n + 1)]
    for p in np.linspace(0.01, 0.99, 99):
        covered = sum(binom.pmf(k, n, p) for k, i in enumerate(limits) if i.low <= p <= i.high)
        assert covered >= 0.9 - 1e-12


def test_dkw() -> None:
    assert dkw_halfwidth(500, 0.05) == pytest.approx(0.054733283051119734, abs=1e-12)


def test_dkw_covers_uniformly() -> None:
    generator, n, runs = rng(1), 50, 2000
    sample = np.sort(generator.uniform(size=(runs, n)), axis=1)
    deepest = (sample - np.arange(n) / n).max(axis=1)  # how far the truth rises above the steps
    missed = (deepest > dkw_halfwidth(n, 0.1)).mean()
    assert 0.05 < missed < 0.1 + 3 * math.sqrt(0.09 / runs)


def test_bootstrap_mean_agrees_with_the_normal_approximation() -> None:
    values = rng(2).normal(3, 2, size=4000)
    interval = bootstrap_mean(values, rng(), draws=4000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.05 * half)
    assert interval.method == "percentile bootstrap over 4,000 images, 4,000 resamples"


def test_bootstrap_mean_against_one_resample_at_a_time() -> None:
    values = rng(3).exponential(size=30)
    generator = rng(4)
    means = [np.mean([values[generator.integers(30)] for _ in values]) for _ in range(4000)]
    interval = bootstrap_mean(values, rng(), draws=20000, level=0.8)
    assert (interval.low, interval.high) == pytest.approx(np.quantile(means, [0.1, 0.9]), abs=0.02)


def test_bootstrap_mean_covers() -> None:
    generator, runs = rng(5), 600
    hits = 0
    for _ in range(runs):
        interval = bootstrap_mean(generator.normal(1, 1, size=60), generator, draws=400)
        hits += interval.low <= 1 <= interval.high
    assert 0.92 < hits / runs < 0.97


def crossed(generator: np.random.Generator, images: float, draws: float) -> np.ndarray:
    """(40, 20) with mean 0: effects of images and of draws with these deviations, and noise."""
    return (
        generator.normal(0, images, (40, 1))
        + generator.normal(0, draws, (1, 20))
        + generator.normal(0, 0.5, (40, 20))
    )


@pytest.mark.parametrize(("images", "draws"), [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
def test_two_way_bootstrap_covers_where_the_one_way_does_not(images: float, draws: float) -> None:
    generator, runs = rng(6), 500
    both = one = 0
    for _ in range(runs):
        table = crossed(generator, images, draws)
        interval = two_way_bootstrap_mean(table, generator, draws=400)
        both += interval.low <= 0 <= interval.high
        interval = bootstrap_mean(table.mean(axis=1), generator, draws=400)
        one += interval.low <= 0 <= interval.high
    assert both / runs > 0.91  # 20 draws: a percentile interval is a little short
    assert (one / runs < 0.75) == (draws > 0)


def test_two_way_bootstrap_has_the_variance_of_the_pigeonhole() -> None:
    table = rng(7).normal(size=(25, 8)) + rng(8).normal(size=(25, 1))
    n, r = table.shape
    interval = two_way_bootstrap_mean(table, rng(), draws=40000, level=0.6826894921370859)
    centred = table - table.mean()
    rows, columns = np.square(centred.mean(axis=1)).mean() / n, np.square(centred.mean(axis=0)).mean() / r
    exact = rows * (1 - 1 / r) + columns * (1 - 1 / n) + np.square(centred).mean() / (n * r)
    assert (interval.high - interval.low) / 2 == pytest.approx(math.sqrt(exact), rel=0.02)
    assert interval.method == "percentile bootstrap over 25 images and 8 random draws, 40,000 resamples"


def test_one_draw_resamples_images_only() -> None:
    values = rng(9).normal(size=50)
    assert two_way_bootstrap_mean(values[:, None], rng()) == bootstrap_mean(values, rng())


def test_paired_difference_cancels_what_both_find_hard() -> None:
    hard = rng(10).normal(0, 5, size=300)
    a, b = hard + 0.2 + rng(11).normal(0, 0.1, 300), hard
    value, interval = paired_difference(a, b, rng())
    assert value == pytest.approx(np.mean(a - b))
    assert 0.17 < interval.low < value < interval.high < 0.23
    assert bootstrap_mean(a, rng()).high - bootstrap_mean(a, rng()).low > 1


@pytest.mark.parametrize("width", [None, 4])
def test_paired_difference_drops_silent_images_jointly(width: int | None) -> None:
    shape = (20,) if width is None else (20, width)
    a, b = rng(12).normal(size=shape), rng(13).normal(size=shape)
    holed_a, holed_b = a.copy(), b.copy()
    holed_a[3], holed_b[5], holed_b[3] = np.nan, np.nan, np.nan
    keep = np.setdiff1d(np.arange(20), [3, 5])
    assert paired_difference(holed_a, holed_b, rng()) == paired_difference(a[keep], b[keep], rng())


def test_paired_difference_reads_none_as_silent() -> None:
    value, _ = paired_difference([1.0, None, 0.0, 1.0], [0.0, 1.0, None, 0.0], rng())
    assert value == 1


def test_paired_difference_of_equal_columns_is_exactly_zero() -> None:
    column = rng(14).normal(size=30)
    value, interval = paired_difference(column, column, rng())
    assert (value, interval.low, interval.high) == (0, 0, 0)
    assert "degenerate" in interval.method


def test_resampling_stays_within_classes() -> None:
    labels = np.array([2, 0, 0, 2, 2, 5])
    seen = []

    def share(counts: np.ndarray) -> np.ndarray:
        for label, size in ((0, 2), (2, 3), (5, 1)):
            assert (counts[:, labels == label].sum(axis=1) == size).all()
        seen.append(len(counts))
        return counts[:, 1] / 2

    shares = resample_within_classes(labels, share, rng(), draws=5000)
    assert shares.shape == (5000,) == (sum(seen),)
    assert np.bincount((2 * shares).astype(int)) / 5000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    interval = percentile_interval(shares, 0.9, "over images within classes")
    assert interval == Interval(low=0, high=1, level=0.9, method="over images within classes")


def test_batches_hold_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    values = rng(15).normal(size=40)
    whole = bootstrap_mean(values, rng(), draws=500)
    monkeypatch.setattr("sslaudit.stats._BATCH", 7 * 40)
    split = bootstrap_mean(values, rng(), draws=500)
    assert (split.low, split.high) == pytest.approx((whole.low, whole.high), abs=1e-12)
    monkeypatch.setattr("sslaudit.stats._BATCH", 1)
    one = bootstrap_mean(values, rng(), draws=500)
    assert (one.low, one.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


@pytest.mark.parametrize("values", [[0.3] * 5, [1.0, 1.0], np.zeros(40)])
def test_equal_values_give_the_degenerate_interval(values: list[float]) -> None:
    interval = bootstrap_mean(values, rng())
    assert interval.low == interval.high == values[0]
    assert interval.method == f"degenerate: {len(values)} equal values"
    assert two_way_bootstrap_mean(np.tile(np.c_[values], 3), rng()).low == values[0]


IMPOSSIBLE: dict[str, Callable[[], object]] = {
    "wilson, nothing": lambda: wilson(0, 0),
    "wilson, more than all": lambda: wilson(3, 2),
    "wilson, less than none": lambda: wilson(-1, 2),
    "clopper-pearson, nothing": lambda: clopper_pearson(0, 0),
    "clopper-pearson, more than all": lambda: clopper_pearson(5, 4, side="upper"),
    "clopper-pearson, no such side": lambda: clopper_pearson(1, 4, side="left"),  # type: ignore[arg-type]
    "dkw, nothing": lambda: dkw_halfwidth(0, 0.05),
    "dkw, alpha 0": lambda: dkw_halfwidth(5, 0),
    "dkw, alpha above one half": lambda: dkw_halfwidth(5, 0.6),
    "bootstrap, nothing": lambda: bootstrap_mean([], rng()),
    "bootstrap, one": lambda: bootstrap_mean([1.0], rng()),
    "bootstrap, NaN": lambda: bootstrap_mean([1.0, np.nan], rng()),
    "bootstrap, infinity": lambda: bootstrap_mean([1.0, np.inf], rng()),
    "bootstrap, a table": lambda: bootstrap_mean([[1.0], [2.0]], rng()),
    "two-way, one image": lambda: two_way_bootstrap_mean([[1.0, 2.0]], rng()),
    "two-way, no draws": lambda: two_way_bootstrap_mean(np.empty((3, 0)), rng()),
    "two-way, a column": lambda: two_way_bootstrap_mean([1.0, 2.0], rng()),
    "paired, shapes": lambda: paired_difference([1.0, 2.0], [1.0], rng()),
    "paired, one in common": lambda: paired_difference([1.0, np.nan], [1.0, 2.0], rng()),
    "within classes, all alone": lambda: resample_within_classes(np.arange(4), lambda c: c[:, 0], rng()),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_gives_no_interval_is_refused(case: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        IMPOSSIBLE[case]()
