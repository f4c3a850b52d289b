"""What each transform adds to the distance of views: planted effects, a plain least-squares fit, the card."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sslaudit_theory.positives.drivers import drivers

Measure = Callable[..., Any]


def drawn(seed: int, n: int, v: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "crop": rng.uniform(0, 0.9, (n, v)),
        "flip": (rng.random((n, v)) < 0.5).astype(float),
        "color": (rng.random((n, v)) < 0.8) * rng.uniform(0, 1, (n, v)),
        "always": np.full((n, v), 1.0),
    }


def test_planted_effects_are_found() -> None:
    strengths = drawn(0, 400, 5)
    noise = np.random.default_rng(1).normal(0, 0.05, (400, 5))
    squares = 0.1 + 0.8 * strengths["crop"] + 0.3 * strengths["color"] + noise
    found, rest = drivers(squares, strengths, np.random.default_rng(2))
    assert [driver.name for driver in found] == ["crop", "color", "flip"]
    truth = {"crop": 0.8 * strengths["crop"].mean(), "color": 0.3 * strengths["color"].mean(), "flip": 0.0}
    for driver in found:
        assert driver.adds == pytest.approx(truth[driver.name], abs=0.01)
        assert driver.interval.low <= truth[driver.name] <= driver.interval.high
    assert rest == pytest.approx(0.1, abs=0.01)
    assert rest + sum(driver.adds for driver in found) == pytest.approx(squares.mean(), rel=1e-9)


def test_against_a_plain_fit_over_all_views() -> None:
    strengths = drawn(3, 30, 4)
    squares = np.random.default_rng(4).exponential(1, (30, 4))
    rows = [[1.0, *(strengths[name][i, j] for name in strengths)] for i in range(30) for j in range(4)]
    design = np.array(rows)[:, :-1]  # what is always there is part of the rest
    slopes, *_ = np.linalg.lstsq(design, squares.ravel(), rcond=None)
    found, rest = drivers(squares, strengths, np.random.default_rng(0))
    adds = {driver.name: driver.adds for driver in found}
    for i, name in enumerate(("crop", "flip", "color"), 1):
        assert adds[name] == pytest.approx(slopes[i] * design[:, i].mean(), rel=1e-9)
    assert rest == pytest.approx(slopes[0], rel=1e-9)


def test_intervals_cover() -> None:
    missed = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        strengths = {"crop": rng.uniform(0, 1, (60, 4))}
        image = rng.normal(0, 0.3, (60, 1))  # views of one image have something in common
        squares = 1.0 + 0.5 * strengths["crop"] + image + rng.normal(0, 0.2, (60, 4))
        (driver,), _ = drivers(squares, strengths, rng)
        missed += not driver.interval.low <= 0.25 <= driver.interval.high
    assert missed <= 0.05 * 150 + 3 * (150 * 0.05 * 0.95) ** 0.5


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two images"):
        drivers(np.ones((1, 3)), {}, rng)
    with pytest.raises(ValueError, match="shape of the distances"):
        drivers(np.ones((4, 3)), {"crop": np.ones((4, 2))}, rng)
    found, rest = drivers(np.full((4, 3), 0.5), {"crop": np.ones((4, 3))}, rng)
    assert (found, rest) == ((), pytest.approx(0.5))


def test_the_card_names_the_driver(measure_term: Measure) -> None:
    rng = np.random.default_rng(5)
    strengths = {name: np.pad(value, ((0, 0), (1, 0))) for name, value in drawn(6, 80, 4).items()}
    plain = rng.normal(size=(80, 1, 6))
    views = plain + strengths["crop"][..., None] * rng.normal(0, 2.0, (80, 5, 6))
    estimate = measure_term("alignment", views, transforms=strengths)
    assert estimate.details["driver"] == "crop"
    assert "crop adds most" in estimate.note
    bars = next(figure for figure in estimate.figures if "each transform adds" in figure.title)
    assert bars.labels[0] == "crop"
    assert bars.labels[-1] == "rest"
    squares = [
        np.square(image[1:] - image[:1]).sum(axis=1)
        for image in (lambda v: v / np.linalg.norm(v, axis=2, keepdims=True))(views.astype(np.float32))
    ]
    assert sum(bars.values) == pytest.approx(np.mean(squares), rel=1e-5)
    none = measure_term("alignment", views)
    assert none.details["driver"] is None
    assert "adds most" not in none.note
