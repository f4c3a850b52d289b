"""Suites as files: what is wrong with one is said by the name of its field."""

from pathlib import Path

import pytest

from sslaudit.errors import RefError, UsageError
from sslaudit.loading import load_dataset
from sslaudit.named import sweep_suites
from sslaudit.registry import installed
from sslaudit.sweep.plan import plan_sweep
from sslaudit.sweep.suite import Suite, read_suite

SUITES = Path(__file__).parents[2] / "registry" / "suites"
GOOD = """
name = "small"
version = 1
summary = "two recipes"
source = "nobody"
rows = [{ name = "c", recipe = "crop+color" }, { name = "a", recipe = "crop" }]
expected = [["c", "a"]]
[audit]
accuracy = "knn(k=5)"
against = ["alignment"]
[scales.cpu]
summary = "small"
data = "digits"
backbone = "conv3"
size = 8
epochs = 2
batch_size = 64
optimiser = "adamw"
weight_decay = 1e-4
warm_up = 0.1
seeds = [0]
[scales.cpu.methods.barlow-twins]
lr = 3e-3
options = { lambd = 0.01 }
[[published]]
source = "somebody"
data = "CIFAR-10"
columns = ["simclr"]
rows = { c = [[89.76, 0.12]] }
"""


def _read(folder: Path, text: str) -> Suite:
    path = folder / "suite.toml"
    path.write_text(text, encoding="utf-8")
    return read_suite(path)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("epochs = 2", "epochs = 0", "scales.cpu.epochs: input should be greater than or equal to 1"),
        ("epochs = 2", "epoch = 2", "scales.cpu.epoch: there is no such field"),
        ("size = 8\n", "", "scales.cpu.size: field required"),
        ('"adamw"', '"adam"', "scales.cpu.optimiser: input should be 'adamw', 'sgd' or 'lars'"),
        ("lr = 3e-3", "lr = nan", "scales.cpu.methods.barlow-twins.lr: input should be"),
        ("seeds = [0]", "seeds = [0, 0]", "scales.cpu.seeds: one seed or more, each once"),
        ('[["c", "a"]]', '[["c", "b"]]', "expected: there is no row 'b'"),
        ('[["c", "a"]]', '[["c"]]', "expected: c: an order has two rows or more"),
        ('name = "a", ', 'name = "c", ', "rows: a name stands there twice"),
        ('name = "a", ', 'name = "../a", ', "rows: '../a' is no name of a folder"),
        ("c = [[89.76, 0.12]]", "c = [[1, 2], [3, 4]]", "published, CIFAR-10, c: 2 cells for 1 columns"),
        ("version = 1", "version =", "is not TOML"),
    ],
)
def test_a_fault_is_named_by_its_field(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert GOOD.count(before) >= 1
    with pytest.raises(UsageError) as caught:
        _read(tmp_path, GOOD.replace(before, after, 1))
    assert said in str(caught.value)
    assert "suite.toml" in str(caught.value)


def test_names_that_nobody_offers_stop_before_any_work(tmp_path: Path) -> None:
    registry, digits = installed(), load_dataset("digits")

    def plan(text: str, **some: list[str]) -> object:
        return plan_sweep(_read(tmp_path, text), "cpu", digits, tmp_path / "out", registry=registry, **some)

    plan(GOOD)
    for before, after, said in (
        ('"crop"', '"crops"', "crops"),
        ("methods.barlow-twins", "methods.barlow", "barlow"),
        ("lambd", "lambda", "no option 'lambda'"),
        ('"alignment"', '"alignments"', "alignments"),
        ('"conv3"', '"conv33"', "no backbone 'conv33'"),
        ('"knn(k=5)"', '"uniformity"', "'uniformity' does not say how good an encoder is"),
    ):
        with pytest.raises((UsageError, RefError), match=said):
            plan(GOOD.replace(before, after))
    with pytest.raises(UsageError, match=r"--row b: .* There is: a, c"):
        plan(GOOD, rows=["b"])
    with pytest.raises(UsageError, match="no scale 'paper'"):
        _read(tmp_path, GOOD).scale("paper")
    assert not (tmp_path / "out").exists()


def test_table_1_has_the_published_numbers() -> None:
    suite = read_suite(SUITES / "slides-table-1.toml")
    assert suite.names == ["abcde", "abcd", "abc", "ab", "a"]
    assert suite.expected == (tuple(suite.names),)
    ten, hundred, slides = suite.published
    assert (ten.data, hundred.data, slides.data) == ("CIFAR-10", "CIFAR-100", "CIFAR-10")
    assert ten.columns == hundred.columns == ("simclr", "barlow-twins", "moco", "simsiam")
    assert ten.rows["abcde"] == ((89.76, 0.12), (86.91, 0.09), (90.12, 0.12), (90.59, 0.11))
    assert ten.rows["a"] == ((62.74, 0.18), (67.77, 0.69), (74.94, 0.22), (61.47, 0.74))
    assert hundred.rows["abc"] == ((45.1, 0.25), (50.4, 0.64), (57.04, 0.21), (51.42, 0.14))
    assert hundred.rows["a"][1] == (34.05, 1.13)
    assert slides.columns == ("simclr", "barlow-twins")
    assert list(slides.rows.values()) == [
        ((89.92, 0.05), (83.93, 0.57)),
        ((88.41, 0.11), (83.37, 0.43)),
        ((83.62, 0.19), (73.7, 0.99)),
        ((62.91, 0.25), (49.56, 0.11)),
        ((62.37, 0.09), (48.54, 0.29)),
    ]
    assert all("maximum over epochs of test accuracy" in one.note for one in suite.published)


def test_table_2_has_the_published_numbers() -> None:
    suite = read_suite(SUITES / "slides-table-2.toml")
    assert suite.names == ["1", "0.5", "0.25", "0.125"]
    ten, hundred, slides = suite.published
    assert ten.rows["1"] == ((82.75, 0.24), (82.58, 0.25), (86.68, 0.05), (82.5, 1.05))
    assert hundred.rows["0.125"] == ((34.75, 0.2), (44.72, 0.26), (49.43, 0.16), (36.26, 0.34))
    assert list(slides.rows.values()) == [
        ((82.64, 0.57), (78.79, 0.54)),
        ((78.49, 0.09), (72.76, 1.5)),
        ((76.25, 0.16), (68.3, 0.15)),
        ((73.6, 0.11), (61.13, 2.81)),
    ]


def test_published_columns_fall_along_the_expected_order() -> None:
    for name in ("slides-table-1", "slides-table-2"):
        suite = read_suite(SUITES / f"{name}.toml")
        for table in suite.published:
            assert list(table.rows) == suite.names
            for column in range(len(table.columns)):
                means = [cells[column][0] for cells in table.rows.values()]
                assert means == sorted(means, reverse=True)


def test_the_scale_of_the_paper_is_that_of_the_paper() -> None:
    for name, epochs in (("slides-table-1", 800), ("slides-table-2", 800), ("slides-figure-3", 200)):
        scale = read_suite(SUITES / f"{name}.toml").scale("paper")
        choices = scale.choices("simclr", "crop", 0)
        assert (choices.epochs, choices.batch_size, choices.optimiser) == (epochs, 512, "sgd")
        assert (choices.momentum, choices.weight_decay, choices.lr) == (0.9, 5e-4, 0.06)
    lrs = {
        name: method.lr
        for name, method in read_suite(SUITES / "slides-table-1.toml").scale("paper").methods.items()
    }
    assert lrs == {"simclr": 0.06, "barlow-twins": 0.11, "moco": 0.08, "simsiam": 0.05}


def test_figure_3_has_all_pairs_and_the_order_of_the_text() -> None:
    suite = read_suite(SUITES / "slides-figure-3.toml")
    assert suite.names == ["ab", "ac", "ad", "ae", "bc", "bd", "be", "cd", "ce", "de"]
    pairs = suite.neighbours(suite.names)
    assert {("ad", "ac"), ("ac", "ae"), ("ac", "ab")} < set(pairs)
    assert ("ae", "ab") not in pairs
    assert ("ab", "ae") not in pairs
    reached = {worse for better, worse in pairs if better == "ad"} | {"ae", "ab"}
    assert reached == set(suite.names) - {"ad"}
    assert suite.neighbours(["ad", "ae"]) == [("ad", "ae")], "rows left out do not hide an order"


@pytest.mark.parametrize("path", sweep_suites().values(), ids=lambda path: path.stem)
def test_every_committed_suite_can_be_planned(path: Path, tmp_path: Path) -> None:
    suite, digits = read_suite(path), load_dataset("digits")
    for scale in suite.scales:
        plan = plan_sweep(suite, scale, digits, tmp_path, registry=installed())
        assert len(plan.runs) == len(plan.methods) * len(suite.rows) * len(suite.scales[scale].seeds)
