"""Paired differences: against loops, where few images differ, and by how often they cover the truth."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t

from sslaudit.comparison.columns import Columns
from sslaudit.comparison.differences import Differences, critical_value, mcnemar
from sslaudit.stats import wilson

Z = float(norm.ppf(0.975))


def columns(*rows: np.ndarray, classes: np.ndarray | None = None) -> Columns:
    return Columns(
        values=np.stack(rows).astype(np.float64).reshape(len(rows), len(rows[0]), -1), classes=classes
    )


def joint(
    rng: np.random.Generator, n: int, accuracy: float, difference: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two 0/1 columns with a known difference; at ``noise`` 0 one is right wherever the other is."""
    second = accuracy - difference
    only_second = noise * second * (1 - accuracy)
    only_first = only_second + difference
    drawn = rng.random(n)
    both = accuracy - only_first
    first = drawn < both + only_first
    return first, (drawn < both) | ((drawn >= both + only_first) & (drawn < both + only_first + only_second))


def limits(found: Columns, rng: np.random.Generator, draws: int) -> tuple[float, float]:
    apart = Differences.of(found)
    return apart.limits(0, 1, critical_value(found, apart.trials, rng, draws))


def covered(
    n: int, accuracy: float, difference: float, noise: float, times: int
) -> tuple[float, float, float]:
    """How often the interval holds the difference, its mean width, and that of the unpaired one."""
    rng = np.random.default_rng(n)
    hits, width, unpaired = 0, 0.0, 0.0
    for _ in range(times):
        a, b = joint(rng, n, accuracy, difference, noise)
        low, high = limits(columns(a, b), rng, 100)
        hits += low <= difference <= high
        width += high - low
        ours, theirs = wilson(int(a.sum()), n), wilson(int(b.sum()), n)
        unpaired += math.hypot(a.mean() - ours.low, theirs.high - b.mean())
        unpaired += math.hypot(ours.high - a.mean(), b.mean() - theirs.low)
    return hits / times, width / times, unpaired / times


@pytest.mark.parametrize(
    ("n", "accuracy", "difference", "noise"),
    [(100, 0.98, 0.01, 0.5), (100, 0.5, 0.05, 0.5), (540, 0.9, 0.01, 0.2)],
)
def test_the_paired_interval_covers_and_is_narrower(
    n: int, accuracy: float, difference: float, noise: float
) -> None:
    share, width, unpaired = covered(n, accuracy, difference, noise, 150)
    assert share >= 0.92
    assert width < 0.9 * unpaired


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "accuracy", "difference", "noise"),
    [
        *((*setting, 0.5) for setting in itertools.product((100, 540), (0.5, 0.98), (0.0, 0.05))),
        (2000, 0.98, 0.05, 0.5),
    ],
)
def test_the_paired_interval_covers_at_its_level(
    n: int, accuracy: float, difference: float, noise: float
) -> None:
    share, width, unpaired = covered(n, accuracy, difference, noise, 600)
    assert share >= 0.93  # 0.935 less what 600 repetitions leave open
    assert width < unpaired


def family(n: int, times: int, draws: int) -> float:
    """How often all intervals of five encoders hold at once, three of which are equally good."""
    rng = np.random.default_rng(7)
    truth = np.array([0.9, 0.9, 0.9, 0.87, 0.84])
    held = 0
    for _ in range(times):
        hard = rng.random(n)
        rows = [np.where(rng.random(n) < 0.3, rng.random(n), hard) < p for p in truth]
        found = columns(*rows)
        apart = Differences.of(found)
        z = critical_value(found, apart.trials, rng, draws)
        pairs = itertools.combinations(range(5), 2)
        held += all(
            low <= truth[a] - truth[b] <= high for a, b in pairs for low, high in [apart.limits(a, b, z)]
        )
    return held / times


def test_five_encoders_hold_at_once() -> None:
    assert family(300, 150, 300) >= 0.92


@pytest.mark.slow
def test_five_encoders_hold_at_once_at_the_level() -> None:
    for n in (200, 1000):
        assert 0.935 <= family(n, 600, 300) <= 0.99


def test_errors_against_loops() -> None:
    rng = np.random.default_rng(0)
    table = rng.random((3, 40)) < np.array([[0.5], [0.7], [0.9]])
    classes = np.repeat([0, 1, 2], [5, 10, 25])
    weights = (40 / (3 * np.array([5, 10, 25])))[classes]
    plain, balanced = (
        Differences.of(columns(*table)),
        Differences.of(columns(*(table * weights), classes=classes)),
    )
    assert plain.trials == 40
    assert balanced.trials == pytest.approx(9 / (1 / 5 + 1 / 10 + 1 / 25))
    for a, b in itertools.combinations(range(3), 2):
        apart = table[a].astype(float) - table[b]
        assert plain.errors[a, b] == pytest.approx(apart.std(ddof=1) / math.sqrt(40))
        of_classes = [apart[classes == k] for k in range(3)]
        assert balanced.means[a] - balanced.means[b] == pytest.approx(np.mean([c.mean() for c in of_classes]))
        variance = sum(c.var(ddof=1) / len(c) for c in of_classes) / 9
        assert balanced.errors[a, b] == pytest.approx(math.sqrt(variance))


def test_draws_add_their_own_spread() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((2, 30, 4))
    apart = values[0] - values[1]
    found = Differences.of(Columns(values=values, classes=None))
    expected = apart.mean(axis=1).var(ddof=1) / 30 + apart.mean(axis=0).var(ddof=1) / 4
    assert found.errors[0, 1] == pytest.approx(math.sqrt(expected))
    share = apart.mean(axis=0).var(ddof=1) / 4 / expected
    assert found.freedom[0, 1] == pytest.approx(3 / share**2)
    assert found.reach(0, 1, Z) == pytest.approx(t.ppf(0.975, 3 / share**2) * math.sqrt(expected))
    assert Differences.of(columns(*values[:, :, 0])).reach(0, 1, Z) == pytest.approx(
        Z * (values[0] - values[1])[:, 0].std(ddof=1) / math.sqrt(30)
    )


@pytest.mark.parametrize("width", [2, 5, 10])
def test_few_draws_that_decide_are_no_certainty(width: int) -> None:
    """Encoders that are equally good, but for the luck of their draws."""
    rng = np.random.default_rng(width)
    held = 0
    for _ in range(200):
        lucky = np.clip(rng.normal(0.7, 0.05, (2, 1, width)), 0, 1)
        found = Columns(values=(rng.random((2, 300, width)) < lucky).astype(np.float64), classes=None)
        low, high = limits(found, rng, 100)
        held += low <= 0 <= high
    assert held / 200 >= 0.92


@pytest.mark.parametrize("width", [1, 3])
def test_critical_value_against_a_loop(width: int) -> None:
    rng = np.random.default_rng(3)
    hard = rng.random((150, 1))
    values = np.stack(
        [
            np.where(rng.random((150, width)) < 0.4, rng.random((150, width)), hard) < p
            for p in (0.9, 0.85, 0.8, 0.8)
        ]
    )
    values = values.astype(np.float64)
    means = np.empty((1500, 4))
    for draw in range(1500):
        images, columns_ = rng.integers(150, size=150), rng.integers(width, size=width)
        for encoder in range(4):
            means[draw, encoder] = values[encoder][images][
                :, columns_
            ].mean() + rng.normal() / 150 / math.sqrt(2)
    largest = np.zeros(1500)
    for a, b in itertools.combinations(range(4), 2):
        apart = means[:, a] - means[:, b]
        largest = np.maximum(largest, np.abs(apart - apart.mean()) / apart.std())
    found = critical_value(Columns(values=values, classes=None), 150.0, np.random.default_rng(0), 1500)
    assert found == pytest.approx(np.quantile(largest, 0.95), abs=0.12)


def test_few_images_that_differ_make_nothing_certain() -> None:
    n = 540
    a = np.ones(n)
    none, one, six = (columns(a, np.where(np.arange(n) < changed, 0, 1)) for changed in (0, 1, 6))
    low, high = Differences.of(none).limits(0, 1, Z)
    assert high == -low == pytest.approx(wilson(0, n).high)  # as far as none in n can hide
    low, high = Differences.of(one).limits(0, 1, Z)
    assert low < 0 < 1 / n < high
    assert high >= wilson(1, n).high
    assert limits(one, np.random.default_rng(0), 500)[0] < 0
    assert Differences.of(six).limits(0, 1, Z)[0] > 0  # McNemar's p is .031


@pytest.mark.parametrize(("ours", "theirs", "open_"), [(5, 0, True), (14, 5, True), (15, 5, False)])
def test_what_the_exact_test_leaves_open_is_not_certain(ours: int, theirs: int, open_: bool) -> None:
    a, b = np.zeros(540), np.zeros(540)
    a[:ours], b[ours : ours + theirs] = 1, 1
    apart = Differences.of(columns(a, b))
    low, high = apart.limits(0, 1, Z)
    assert apart.reach(0, 1, Z, 1 / 540) < (ours - theirs) / 540  # by its error alone it would be certain
    assert (low <= 0) == open_
    assert low < (ours - theirs) / 540 < high
    assert apart.limits(1, 0, Z) == (-high, -low)


def test_one_image_a_class_is_no_certainty() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(60) < 0.8, rng.random(60) < 0.5
    alone = Differences.of(columns(a, b, classes=np.arange(60)))
    assert alone.errors[0, 1] == pytest.approx(Differences.of(columns(a, b)).errors[0, 1])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_limits_turn_with_the_pair_and_hold_the_difference(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    apart = Differences.of(columns(rng.random(n) < 0.7, rng.random(n) < 0.9))
    low, high = apart.limits(0, 1, Z)
    assert (-high, -low) == pytest.approx(apart.limits(1, 0, Z))
    assert -1 <= low <= apart.means[0] - apart.means[1] <= high <= 1


def test_mcnemar_is_a_coin() -> None:
    a, b = np.array([1, 1, 1, 1, 1, 1, 0, 0, 1, 0]), np.array([0, 0, 0, 0, 0, 1, 1, 0, 1, 0])
    five_to_one = 2 * (1 + 6) / 2**6
    assert mcnemar(np.stack([a, b, a])) == pytest.approx(
        np.array([[1, five_to_one, 1], [five_to_one, 1, five_to_one], [1, five_to_one, 1]])
    )
    assert mcnemar(np.stack([a / 2, b])) is None
    table = (np.random.default_rng(0).random((6, 90)) < np.linspace(0.3, 0.9, 6)[:, None]).astype(np.float64)
    found = mcnemar(table)
    assert found is not None
    for i, k in itertools.combinations(range(6), 2):
        ahead, behind = int((table[i] > table[k]).sum()), int((table[i] < table[k]).sum())
        assert found[i, k] == pytest.approx(binomtest(ahead, ahead + behind).pvalue)
