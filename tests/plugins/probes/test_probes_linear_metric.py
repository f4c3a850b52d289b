"""The metric ``linear-probe``: what it says, and that neither scale nor collapse misleads it."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from sslaudit.results import Estimate
from sslaudit_probes.classifiers import linear_probe, logistic, penalty

Measure = Callable[..., dict[str, Estimate]]


def gaussians() -> tuple[np.ndarray, np.ndarray, float]:
    """Three Gaussian classes, 1,200 rows to fit and 600 to test; accuracy of discriminant analysis."""
    generator = np.random.default_rng(9)
    centres = generator.normal(size=(3, 32)) * 0.35
    labels = generator.integers(0, 3, 1800)
    rows = (centres[labels] + generator.normal(size=(1800, 32))).astype(np.float32)
    means = np.stack([rows[:1200][labels[:1200] == k].mean(axis=0) for k in range(3)]).astype(np.float64)
    inverse = np.linalg.inv(np.cov((rows[:1200] - means[labels[:1200]]).T))
    scores = rows[1200:] @ inverse @ means.T - 0.5 * np.einsum("kd,de,ke->k", means, inverse, means)
    scores += np.log(np.bincount(labels[:1200]) / 1200)
    return rows, labels, float((scores.argmax(axis=1) == labels[1200:]).mean())


def test_scale_and_offset_do_not_move_the_accuracy(measure_term: Measure) -> None:
    rows, labels, discriminant = gaussians()
    split = range(1200), range(1200, 1800)
    plain = measure_term("linear-probe", rows[:, None], labels, *split)[""]
    assert 0.6 < discriminant < 0.97
    assert plain.value == pytest.approx(discriminant, abs=0.02)
    assert plain.details["converged"] is True
    assert "converged" not in plain.note
    one = np.r_[1e4, np.ones(31)]
    for changed in (rows * 1e-4, rows * 1e3, rows + 1e3, rows * one):
        other = measure_term("linear-probe", changed.astype(np.float32)[:, None], labels, *split)[""]
        assert other.value == pytest.approx(plain.value, abs=0.01)
        assert other.details["converged"] is True


def test_what_it_says(measure_term: Measure) -> None:
    rows, labels, _ = gaussians()
    test = range(1200, 1800)
    answer = measure_term("linear-probe", rows[:, None], labels, range(1200), test)
    assert set(answer) == {""}
    main = answer[""]
    assert main.interval is not None
    assert main.interval.method == "Wilson"
    assert main.interval.low < main.value < main.interval.high
    column = main.samples["correct"]
    assert column[:1200] == [None] * 1200
    assert np.mean(column[1200:]) == pytest.approx(main.value)
    assert main.details["validated"] == 240
    assert 0.6 < main.details["validation_accuracy"] < 1
    assert main.details["penalty"] in penalty.GRID
    assert "the best of 97 on 240 training images" in main.note
    again = measure_term("linear-probe", rows[:, None], labels, range(1200), test)
    assert again == answer
    other = measure_term("linear-probe", rows[:, None], labels, range(1200), test, seed=1)[""]
    assert other.details["validation_accuracy"] != main.details["validation_accuracy"]


def test_test_labels_choose_nothing(measure_term: Measure) -> None:
    rows, labels, _ = gaussians()
    first = measure_term("linear-probe", rows[:, None], labels, range(1200), range(1200, 1800))[""]
    shuffled = np.r_[labels[:1200], np.random.default_rng(0).permutation(labels[1200:])]
    second = measure_term("linear-probe", rows[:, None], shuffled, range(1200), range(1200, 1800))[""]
    assert second.samples["prediction"] == first.samples["prediction"]
    assert second.value == pytest.approx(1 / 3, abs=0.06)


def test_the_top_five(measure_term: Measure) -> None:
    generator = np.random.default_rng(1)
    labels = np.arange(600) % 8
    rows = (generator.normal(size=(8, 12))[labels] + 2 * generator.normal(size=(600, 12))).astype(np.float32)
    answer = measure_term("linear-probe", rows[:, None], labels, range(400), range(400, 600))
    five = answer["top-5"]
    assert five.minor
    assert answer[""].value < five.value < 1
    probe = logistic.fit_logistic(rows[:400], labels[:400], 8, answer[""].details["penalty"])
    order = np.argsort(-probe.logits(rows[400:]), axis=1)[:, :5]
    assert five.value == pytest.approx((order == labels[400:, None]).any(axis=1).mean())


def test_a_collapsed_encoder_names_the_largest_class(measure_term: Measure) -> None:
    generator = np.random.default_rng(1)
    labels = generator.permutation(np.repeat(np.arange(4), 25))
    vector = generator.normal(size=64).astype(np.float32)
    split = np.arange(60), np.arange(60, 100)
    constant = measure_term("linear-probe", np.tile(vector, (100, 1))[:, None], labels, *split)[""]
    assert constant.value == constant.details["majority"]
    assert "since the features are constant" in constant.note
    line = np.outer(generator.normal(size=100), vector).astype(np.float32)
    assert measure_term("linear-probe", line[:, None], labels, *split)[""].value < 0.6
    points = np.zeros((100, 64), dtype=np.float32)
    points[:50, 0], points[50:, 1] = 1, 1
    order = generator.permutation(100)
    halves = measure_term("linear-probe", points[:, None], np.arange(100) // 50, order[:70], order[70:])[""]
    assert halves.value == 1
    assert "That is the end of the range" in halves.note


def test_three_images_a_class_in_512_dimensions(measure_term: Measure) -> None:
    rows = np.random.default_rng(5).normal(size=(30, 512)).astype(np.float32)
    labels, place = np.repeat(np.arange(10), 3), np.arange(30) % 3
    two = measure_term(
        "linear-probe", rows[:, None], labels, np.flatnonzero(place < 2), np.flatnonzero(place == 2)
    )
    assert two[""].value < 0.5
    assert two[""].details["validated"] == 10
    one = measure_term(
        "linear-probe", rows[:, None], labels, np.flatnonzero(place == 0), np.flatnonzero(place > 0)
    )
    assert one[""].details["validation_accuracy"] is None
    assert "no class has an image to spare" in one[""].note


def test_uneven_classes_are_balanced(measure_term: Measure) -> None:
    generator = np.random.default_rng(2)
    labels = generator.permutation(np.repeat([0, 1], [270, 30]))
    rows = (labels[:, None] + generator.normal(size=(300, 4))).astype(np.float32)
    uneven = measure_term("linear-probe", rows[:, None], labels, range(150), range(150, 300))[""]
    assert uneven.details["balanced"] is True
    assert uneven.value < uneven.details["accuracy"]
    assert "IMBALANCED" in uneven.headline


def test_a_limit_of_steps_is_said_once(measure_term: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels, _ = gaussians()
    monkeypatch.setattr(
        linear_probe, "fit_logistic", lambda *arguments: logistic.fit_logistic(*arguments[:4], steps=2)
    )
    estimate = measure_term("linear-probe", rows[:, None], labels, range(1200), range(1200, 1800))[""]
    assert estimate.details["converged"] is False
    assert estimate.note.count("It had not converged after 2 steps.") == 1


LARGE = """
import resource, sys
import numpy as np, torch
from sslaudit_probes.classifiers.logistic import fit_logistic
generator = torch.Generator().manual_seed(0)
labels = torch.arange(50_000) % 1000
rows = torch.randn(1000, 2048, generator=generator)[labels] * 0.05
rows += torch.randn(50_000, 2048, generator=generator)
probe = fit_logistic(rows, labels, 1000, 100.0, steps=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_a_thousand_classes_fit_in_eight_gigabytes() -> None:
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 8
