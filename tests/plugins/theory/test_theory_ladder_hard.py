"""The ladder on inputs that leave rungs without an answer, and numbers that can never be printed."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sslaudit.errors import EncoderError
from sslaudit.results import Estimate
from sslaudit_theory.classes.spread import decomposition
from sslaudit_theory.metrics.ladder.checks import refuse_impossible
from sslaudit_theory.metrics.ladder.words import withdrawn
from sslaudit_theory.sigma.splits import Concentration

RUNGS = {"", "per-class", "sharp", "feature-space", "certified", "measured-q"}


def world(
    labels: np.ndarray, D: int = 4, V: int = 2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n, labels = len(labels), np.asarray(labels)
    centres = rng.normal(size=(labels.max() + 1, D))
    views = centres[labels][:, None] + 0.3 * rng.normal(size=(n, V, D))
    place = np.array([int((labels[:i] == label).sum()) for i, label in enumerate(labels)])
    test = np.flatnonzero(place % 2 == 0)  # every second image of a class
    return views, labels, test, rng.integers(0, 256, size=(n, V, 3, 2, 2)).astype(np.uint8)


def readable(found: dict[str, Estimate]) -> None:
    """Every rung has a finite number or a sentence, and says its verdict."""
    for name, estimate in found.items():
        assert (estimate.value is None) == bool(estimate.reason), name
        assert estimate.value is None or 0 <= estimate.value <= 1
        assert estimate.verdict != "error"
        for value in estimate.details.values():
            assert not isinstance(value, float) or math.isfinite(value)


def test_one_class_is_not_applicable(ladder: Any) -> None:
    (only,) = ladder(*world(np.zeros(10, dtype=int))).values()
    assert only.verdict == "not-applicable"
    assert "two classes" in only.reason


def test_without_labels_it_is_not_applicable(measure_term: Any) -> None:
    views, _, test, pixels = world(np.arange(8) % 2)
    found = measure_term("theorem1", views, None, [1, 3], test, pixels=pixels, results={})
    assert (found.verdict, found.reason) == ("not-applicable", "the data has no labels")


def test_zero_features_without_a_norm_are_not_applicable(ladder: Any) -> None:
    views, labels, test, pixels = world(np.arange(12) % 2)
    (only,) = ladder(0 * views, labels, test, pixels, norm="as-is", results={}).values()
    assert only.verdict == "not-applicable"


@pytest.mark.parametrize("bad", [0.0, math.nan])
def test_features_without_a_direction_are_refused(ladder: Any, bad: float) -> None:
    views, labels, test, pixels = world(np.arange(12) % 2)
    views[3] = bad
    with pytest.raises(EncoderError):
        ladder(views, labels, test, pixels, results={})


@pytest.mark.parametrize(("D", "value"), [(4, 0.37), (5, 1.0), (11, 0.1)])
def test_constant_features_have_centres_too_close(ladder: Any, D: int, value: float) -> None:
    views, labels, test, pixels = world(np.arange(40) % 4, D=D)  # 1 / sqrt(D) rounds up, down, or not
    found = ladder(np.full_like(views, value), labels, test, pixels)
    readable(found)
    for name in RUNGS:
        assert found[name].verdict == "fails", name
        assert "too close" in found[name].reason
    assert found["cdnv"].value == found["cantelli"].value == 1.0
    assert found["cdnv"].verdict == "vacuous"
    assert found["measured"].value == pytest.approx(0.75)  # ties go to the first class
    assert (
        found[""]
        .headline["HELD BACK"]
        .startswith("by divergence: class centres have too much in common (100 %")
    )


def test_a_class_with_one_training_image_has_no_delta_mu(ladder: Any) -> None:
    labels = np.array([0, 1] * 8 + [2, 2])
    views, labels, _, pixels = world(labels)
    found = ladder(views, labels, np.array([0, 1, 2, 3, 16]), pixels)
    readable(found)
    assert "one training image" in found[""].reason
    assert found["per-class"].verdict == "not-applicable"
    assert found["sharp"].verdict == found["certified"].verdict == "fails"
    assert "not computable" in found[""].note


def test_classes_missing_from_a_split_are_left_out(ladder: Any) -> None:
    labels = np.array([0, 1, 2] * 8 + [3, 3])
    views, labels, test, pixels = world(labels)
    test = np.array([i for i in test if labels[i] != 2])  # class 2 is for training only
    found = ladder(views, labels, test, pixels)
    readable(found)
    assert found["measured"].details["classes"] == 3
    assert found["measured"].details["classes_left_out"] == 1
    assert found["sharp"].details["pairs_met"].endswith("of 6")


def test_the_order_of_classes_and_images_does_not_matter(ladder: Any) -> None:
    views, labels, test, pixels = world(np.arange(36) % 3)
    order = np.random.default_rng(1).permutation(36)
    renamed = np.array([2, 0, 1])[labels[order]]
    moved = np.flatnonzero(np.isin(order, test))
    first = ladder(views, labels, test, pixels)
    second = ladder(views[order], renamed, moved, pixels[order])
    for name in ("cdnv", "cantelli", "measured"):
        assert second[name].value == pytest.approx(first[name].value, rel=1e-9)
    for name in ("", "feature-space"):
        assert second[name].details["margin"] == pytest.approx(first[name].details["margin"], rel=1e-6)


def test_missing_concentrations_leave_their_rungs_not_computable(ladder: Any) -> None:
    views, labels, test, pixels = world(np.arange(24) % 2)
    empty = Estimate.not_applicable("no class has two training images")
    found = ladder(
        views, labels, test, pixels, results={"concentration": empty, "feature-concentration": empty}
    )
    readable(found)
    for name in RUNGS:
        assert found[name].verdict == "not-applicable"
        assert "two training images" in found[name].reason
        assert found[name].details["verdict"] == "not computable"
    assert found["measured"].value is not None
    assert "none from Theorem 1" in found[""].headline["GUARANTEE"]


def test_equal_pixels_leave_no_lipschitz_constant(ladder: Any) -> None:
    views, labels, test, pixels = world(np.arange(24) % 2)
    found = ladder(views, labels, test, 0 * pixels)
    readable(found)
    assert "no empirical L" in found["sharp"].reason
    assert found["feature-space"].verdict == "fails"


def test_three_hundred_classes_with_few_images(ladder: Any) -> None:
    K = 300
    half = np.tile([0.5, 1.0], (K, 1))
    two, none = np.full(K, 2), np.zeros((K, 2), dtype=int)
    tables = Concentration(
        classes=np.arange(K),
        deltas=np.array([0.0, 9.0]),
        n_train=two,
        n_test=two,
        train_low=half,
        train_high=half,
        test_low=half,
        test_high=half,
        star_image=none,
        star_view=none,
        star_count=none,
        star_lower=0 * half,
        level=0.95,
    ).to_tables()
    given = Estimate(value=0.5, no_interval="given", tables=tables)
    results = {"concentration": given, "feature-concentration": given}
    found = ladder(*world(np.repeat(np.arange(K), 4), D=6), results=results)
    readable(found)
    assert found[""].details["images_required"] == K**2 * 50
    assert found[""].details["pairs_met"].endswith(f"of {K * (K - 1):,}")
    assert len(found[""].figures[1].rows) == 40
    assert found["certified"].verdict == "fails"


def condition(**changes: Any) -> Estimate:
    """A rung that holds, with changes."""
    details = {
        "condition": "beta",
        "beta": 0.3,
        "share_concentration": 0.1,
        "share_misaligned": 0.1,
        "share_distance": 0.05,
        "share_tolerance": 0.05,
        "budget": 0.7,
        "centre_distance": 1.4,
        **changes.pop("details", {}),
    }
    given = {
        "value": 0.1,
        "no_interval": "an upper bound",
        "verdict": "holds",
        "claim": "upper-bound",
        **changes,
    }
    return Estimate(details=details, **given)


def measured_error(low: float) -> Estimate:
    from sslaudit.results import Interval

    return Estimate(value=low + 0.05, interval=Interval(low=low, high=low + 0.1, method="exact"))


FAILS = {"value": None, "reason": "gives no guarantee", "verdict": "fails", "no_interval": ""}

IMPOSSIBLE = {
    "below the measured error": {"certified": condition(), "measured": measured_error(0.2)},
    "holds and its estimate does not": {"certified": condition(), "measured-q": condition(**FAILS)},
    "shares": {"sharp": condition(details={"share_distance": 0.06})},
    "a bound beside a failed condition": {"sharp": condition(verdict="fails")},
    "no bound beside one that is met": {"sharp": condition(**{**FAILS, "verdict": "holds"})},
    "a certificate made of estimates": {"sharp": condition(claim="estimate")},
    "beyond the budget": {"sharp": condition(details={"budget": 0.2})},
    "the same centres": {"": condition(details={"centre_distance": 0.0})},
    "a sum that is none": {
        "cdnv": Estimate(
            value=0.3,
            no_interval="an upper bound",
            details={"V": 0.3, "half_alignment": 0.1, "concentration": 0.1},
        )
    },
}


@pytest.mark.parametrize("why", IMPOSSIBLE)
def test_impossible_combinations_are_refused(why: str) -> None:
    refuse_impossible({"certified": condition(), "measured": measured_error(0.05), "measured-q": condition()})
    with pytest.raises(ValueError, match=r"\w"):
        refuse_impossible(IMPOSSIBLE[why])


def table(**changes: np.ndarray) -> Concentration:
    square = np.array([[0.5, 1.0]])
    columns = {
        "train_low": square,
        "train_high": square,
        "test_low": square,
        "test_high": square,
        "star_image": square.astype(int),
        "star_view": square.astype(int),
        "star_count": np.array([[5, 10]]),
        "star_lower": square / 2,
        **changes,
    }
    ten = np.array([10])
    return Concentration(
        classes=np.array([0]), deltas=np.array([0.0, 1.0]), n_train=ten, n_test=ten, level=0.95, **columns
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"star_count": np.array([[6, 10]])},
        {"star_lower": np.array([[0.6, 0.7]])},
        {"test_low": np.array([[0.6, 1.0]])},
        {"train_low": np.array([[0.6, 1.0]])},
    ],
)
def test_a_star_above_its_clique_is_refused(changes: dict[str, np.ndarray]) -> None:
    refuse_impossible({}, concentrations=[table()])
    with pytest.raises(ValueError, match="largest"):
        refuse_impossible({}, concentrations=[table(**changes)])


def test_a_variance_below_one_of_its_parts_is_refused() -> None:
    parts = decomposition(np.random.default_rng(0).normal(size=(6, 2, 3)), np.arange(6) % 2)
    refuse_impossible({}, parts=parts)
    with pytest.raises(ValueError, match="variance"):
        refuse_impossible(
            {}, parts=replace(parts, concentration=0 * parts.concentration, alignment=0 * parts.alignment)
        )


def test_an_estimate_below_the_measured_error_is_withdrawn() -> None:
    estimate = condition(claim="estimate", verdict="holds-point-estimate")
    assert withdrawn(estimate, 0.05) is estimate
    gone = withdrawn(estimate, 0.2)
    assert (gone.value, gone.verdict) == (None, "inconclusive")
    assert "too optimistic" in gone.reason
    assert withdrawn(condition(), 0.2).value == 0.1  # a certificate is refused instead
    refuse_impossible({"sharp": gone, "measured": measured_error(0.2)})


def test_a_mean_in_common_is_looked_behind(ladder: Any) -> None:
    rng, labels = np.random.default_rng(2), np.arange(60) % 3
    image = rng.normal(size=(3, 6))[labels] + 0.3 * rng.normal(size=(60, 6))
    moved = 8.0 + image[:, None] + 0.15 * rng.normal(size=(60, 3, 6))
    pixels = rng.integers(0, 256, size=(60, 3, 3, 2, 2)).astype(np.uint8)
    test = np.flatnonzero(np.arange(60) // 3 % 2 == 0)
    first = ladder(moved, labels, test, pixels)[""]
    assert first.details["held_back_by"] == "divergence"
    centred = ladder(moved, labels, test, pixels, norm="center-sphere")[""]
    behind = centred.details["held_back_by"]
    assert behind in ("alignment", "concentration")
    assert first.details["held_back_centred_by"] == behind
    shares = sorted((centred.details[f"held_back_{name}"], name) for name in ("alignment", "concentration"))
    said = first.headline["HELD BACK"].partition("Without the mean of all images: ")[2]
    assert said.startswith(f"{shares[-1][1]} ")
    assert "Without the mean" not in centred.headline["HELD BACK"]
    assert centred.details["held_back_centred_by"] is None
