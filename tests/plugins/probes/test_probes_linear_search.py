"""The search of the penalty: the split it uses, the order of its tries, and what decides between equals."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit_probes.classifiers import penalty as module
from sslaudit_probes.classifiers.logistic import fit_logistic
from sslaudit_probes.classifiers.penalty import GRID, UNSEARCHED, search_penalty, split_validation


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_the_split(sizes: list[int], seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    fitting, held = split_validation(labels, np.random.default_rng(seed))
    np.testing.assert_array_equal(np.sort(np.r_[fitting, held]), np.arange(len(labels)))
    assert set(labels[fitting]) == set(labels), "every class is fitted"
    often = [size for size in sizes if size > 1]
    assert len(held) == (max(-(-sum(often) // 5), len(often)) if often else 0)
    assert not set(labels[held]) & {k for k, size in enumerate(sizes) if size == 1}


def test_the_split_is_stratified_and_drawn() -> None:
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    _, held = split_validation(labels, np.random.default_rng(0))
    assert np.bincount(labels[held]).tolist() == [100, 60, 40]
    _, again = split_validation(labels, np.random.default_rng(0))
    _, other = split_validation(labels, np.random.default_rng(1))
    np.testing.assert_array_equal(held, again)
    assert set(held) != set(other)


def test_the_grid() -> None:
    assert (len(GRID) - 1, GRID[0], GRID[-1]) == (96, pytest.approx(1e-6), pytest.approx(1e6))
    assert GRID[48] == UNSEARCHED
    np.testing.assert_allclose(np.diff(np.log10(GRID)), 1 / 8)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[int], int]]:
    """``scored(accuracy)``: what a search tries, and what wins, where place g has ``accuracy(g)``."""

    def run(accuracy: Callable[[int], float]) -> tuple[list[int], int]:
        tried: list[int] = []
        fit = module.Design.fit

        def remembered(design, penalty, start=None, **options):  # type: ignore[no-untyped-def]
            tried.append(GRID.index(penalty))
            return fit(design, penalty, start, tolerance=1.0, steps=1)

        monkeypatch.setattr(module.Design, "fit", remembered)
        monkeypatch.setattr(module, "_accuracy", lambda logits, truth: accuracy(tried[-1]))
        features = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        search = search_penalty(features, np.arange(40) % 2, 2, np.random.default_rng(0))
        return tried, GRID.index(search.penalty)

    return run


@pytest.mark.parametrize("peak", [0, 1, 7, 8, 24, 47, 50, 90, 95, 96])
def test_one_peak_is_found(scored: Callable[..., tuple[list[int], int]], peak: int) -> None:
    tried, best = scored(lambda place: -abs(place - peak))
    assert best == peak
    assert tried[:7] == [96, 80, 64, 48, 32, 16, 0]
    assert len(tried) == len(set(tried)) <= 15


def test_equal_accuracies_go_to_the_smaller_loss() -> None:
    """Two points on a line apart: every penalty is right everywhere, and the weakest is the surest."""
    features = np.where(np.arange(60) % 2, 1.0, -1.0)[:, None] * np.linspace(1, 2, 60)[:, None]
    search = search_penalty(features.astype(np.float32), np.arange(60) % 2, 2, np.random.default_rng(0))
    assert search.accuracy == 1
    assert (search.penalty, search.at_end) == (GRID[0], True)


def test_the_best_of_the_whole_grid_is_no_better() -> None:
    """On the same split, every penalty of the grid fitted by itself."""
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 500)
    features = (generator.normal(size=(3, 60))[labels] * 0.3 + generator.normal(size=(500, 60))).astype(
        np.float32
    )
    search = search_penalty(features, labels, 3, np.random.default_rng(0))
    fitting, held = split_validation(labels, np.random.default_rng(0))
    np.testing.assert_array_equal(search.rows, held)
    np.testing.assert_array_equal(search.logits, search.probe.logits(features[held]))
    assert search.accuracy == (search.logits.argmax(axis=1) == labels[held]).mean()
    every = [fit_logistic(features[fitting], labels[fitting], 3, penalty) for penalty in GRID[::4]]
    best = max((probe.logits(features[held]).argmax(axis=1) == labels[held]).mean() for probe in every)
    assert search.accuracy >= best - 0.011  # one image of the hundred
    assert not search.at_end


def test_nothing_to_choose_by() -> None:
    features = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    single = search_penalty(features, np.arange(4), 4, np.random.default_rng(0))
    assert (single.penalty, single.accuracy, single.fits, single.at_end) == (UNSEARCHED, None, 0, False)
    assert (len(single.rows), single.logits.shape) == (0, (0, 4))
    constant = search_penalty(
        np.ones((40, 8), dtype=np.float32), np.arange(40) % 4, 4, np.random.default_rng(0)
    )
    assert (constant.penalty, constant.accuracy, constant.fits) == (UNSEARCHED, 0.25, 0)
