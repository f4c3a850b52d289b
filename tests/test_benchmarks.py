"""The benchmark runs from end to end and fills its table; how fast anything is stays out of it."""

import math
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import (
    agreement,
    augmented,
    cliques,
    cost,
    cuda,
    independence,
    knn,
    ours,
    peers,
    probe,
    training,
    views,
    views4,
)
from benchmarks.networks import usual_mode
from benchmarks.photos import CLASSES, Album
from benchmarks.plan import Plan, quick
from benchmarks.race import Contender, Result, race
from benchmarks.table import Entry, Row, render


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return quick(Album(tmp_path_factory.mktemp("album")))


@pytest.mark.parametrize(
    ("measure", "rows"),
    [
        (views.measure, 2),
        (views4.measure, 3),
        (cost.measure, 2),
        (augmented.measure, 4),
        (cliques.measure, 3),
        (independence.measure, 1),
        (knn.measure, 2 + 2 * bool(find_spec("faiss"))),
        (agreement.measure, 0),
        (probe.measure, 1),
        (training.measure, 1 + 2 * bool(find_spec("lightly"))),
    ],
    ids=[
        "views",
        "views4",
        "cost",
        "distances",
        "cliques",
        "independence",
        "knn",
        "agreement",
        "probe",
        "training",
    ],
)
def test_a_part_fills_its_rows(plan: Plan, measure: Callable[[Plan], Iterator[Entry]], rows: int) -> None:
    entries = list(measure(plan))
    found = [entry for entry in entries if isinstance(entry, Row)]
    assert len(found) == rows
    for row in found:
        assert all(map(math.isfinite, (row.ours, row.other, row.ratio, *row.spread)))
    assert len(list(render(entries))) == len(entries) + 1


@pytest.mark.parametrize("features", [agreement._digits(), knn.world(400, 60)], ids=["digits", "classes"])
def test_predictions_are_those_of_scikit_learn(features: agreement.Features) -> None:
    for line in agreement._lines("scikit-learn", agreement._scikit_learn, "here", features):
        queries = len(features[2])
        assert f"{queries} of {queries} predictions equal" in line


def test_what_auto_takes_is_said(plan: Plan) -> None:
    said = ours.automatic_precision(plan.networks[0](), plan.album)
    assert said.startswith("--precision auto takes ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_device_a_line_says_so(plan: Plan) -> None:
    assert list(cuda.measure(plan)) == ["CUDA: no device here, not measured"]


# timm leaves closing its files to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_contenders_compute_the_same_features(plan: Plan) -> None:
    network = plan.networks[0]()
    own = ours.extraction(network, plan.album)(8, 0)[:, 0]
    timm = peers.timm_scripts(network, plan.album, usual_mode())(8, 0)
    usual = peers.usual(network, plan.album, usual_mode(), views=2)(8, 0)
    np.testing.assert_allclose(timm, own, atol=1e-5)
    np.testing.assert_allclose(usual[:, 0], own, atol=1e-5)
    assert np.abs(usual[:, 1] - own).max() > 1e-3


def test_an_album_holds_the_same_photographs_whatever_their_number(tmp_path: Path) -> None:
    few, many = Album(tmp_path).first(4).data, Album(tmp_path).first(8).data
    assert len(many.classes) == CLASSES
    assert set(few.digests) < set(many.digests)
    assert few.read(0).shape == (375, 500, 3)


def test_a_ratio_is_the_median_over_rounds() -> None:
    ours, other = Result(name="a", rates=(10.0, 1.0, 30.0)), Result(name="b", rates=(5.0, 1.0, 10.0))
    row = ours.row("x", other, "views/s", 3.0)
    assert (row.ours, row.other, row.ratio, row.spread) == (10.0, 5.0, 2.0, (1.0, 3.0))
    assert "missed" in list(render([row]))[1]


def test_each_contender_takes_its_best_number_of_workers() -> None:
    calls: list[tuple[str, int]] = []

    def slow_with_workers(images: int, workers: int) -> None:
        calls.append(("a", workers))
        sum(range(10 + workers * 1_000_000))

    first = Contender(name="a", run=slow_with_workers, workers=(2, 0))
    second = Contender(name="b", run=lambda images, workers: calls.append(("b", workers)))
    results = race([first, second], 4, 2)
    assert [result.name for result in results] == ["a, 0 workers", "b"]
    assert calls[-4:] == [("a", 0), ("b", 0), ("a", 0), ("b", 0)]
