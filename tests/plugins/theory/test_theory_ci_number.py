"""The metric ci-condition where the label is a number."""

from collections.abc import Callable

import numpy as np
import pytest

from sslaudit.inputs import Labels, MetricInputs
from sslaudit.results import Estimate
from sslaudit.specs import read_options
from sslaudit_theory.independence.continuous import cross_fitted_residuals, gcm, gcm_of_residuals
from sslaudit_theory.metrics import METRICS
from sslaudit_theory.metrics.ci_condition import compute
from sslaudit_theory.metrics.ci_number import as_numbers, given_a_number
from sslaudit_theory.metrics.pretext_pairs import Pairs, chosen_images

SPEC = next(spec for spec in METRICS if spec.name == "ci-condition")


def world(
    shared: Callable[[np.ndarray], np.ndarray] | float, *, n: int = 400, target: str = "patch", seed: int = 0
) -> tuple[Pairs, np.ndarray]:
    """f and z both bend with the label, and have a coordinate in common of weight ``shared``."""
    rng = np.random.default_rng(seed)
    y = np.sort(rng.normal(size=n))
    weight = shared(y)[:, None] if callable(shared) else shared
    common = rng.normal(size=(n, 1))
    f, z = rng.normal(size=(n, 4)), rng.normal(size=(n, 3))
    f[:, :1] += weight * common + (y**2)[:, None]
    z[:, :1] += common + (y**2)[:, None]
    pairs = Pairs(
        target=target,
        images=np.arange(n),
        f=f,
        z=z,
        floor=rng.normal(size=(n, 2)),
        labels=np.arange(n),
        names=tuple(str(value) for value in y),
        train=np.ones(n, dtype=bool),
    )
    return pairs, y


def one(pairs: Pairs, y: np.ndarray) -> Estimate:
    return given_a_number([pairs], y, draws=199, rng=np.random.default_rng(1))[pairs.target]


def test_dependence_given_the_label_is_rejected() -> None:
    estimate = one(*world(1.0))
    assert estimate.verdict == "fails"
    assert estimate.details["reading"] == "C1 rejected"
    assert estimate.details["p"] == 1 / 200
    assert estimate.interval.low < estimate.value < estimate.interval.high
    assert estimate.details["pixels_low"] < 0 < estimate.details["pixels_high"]
    assert estimate.headline["PRETEXT"].startswith("C1 rejected, with z = patch: RV of f(x) and z given")


def test_what_the_label_explains_is_no_dependence() -> None:
    """Without the regression on the label f and z are strongly correlated through its square."""
    pairs, y = world(0.0)
    assert np.corrcoef(pairs.f[:, 0], pairs.z[:, 0])[0, 1] > 0.3
    estimate = one(pairs, y)
    assert estimate.verdict == "inconclusive"
    assert "detectable effect ." in estimate.details["reading"]
    assert abs(estimate.value) < 0.02


def test_a_covariance_that_changes_sign_with_the_label_is_seen_in_bins() -> None:
    estimate = one(*world(lambda y: 2 * y))
    assert estimate.details["p"] > 0.05
    assert estimate.details["p_binned"] == 1 / 200
    assert estimate.verdict == "fails"


def test_the_number_is_the_effect_of_residuals_in_bins_of_the_label() -> None:
    pairs, y = world(0.7)
    rng = np.random.default_rng(1)
    whole = np.hstack([pairs.f, pairs.z, pairs.floor])
    residuals = cross_fitted_residuals(whole, y, rng=rng)
    r_f, r_z = residuals[:, :4], residuals[:, 4:7]
    sums = np.zeros(3)
    for start in range(0, 400, 80):  # labels ascend, so bins are blocks
        own = [part[start : start + 80] for part in (r_f, r_z)]
        for place, (a, b) in enumerate(((0, 1), (0, 0), (1, 1))):
            sums[place] += hsic(own[a], own[b]) / 5
    estimate = one(pairs, y)
    assert estimate.value == pytest.approx(sums[0] / np.sqrt(sums[1] * sums[2]), rel=1e-9)


def hsic(f: np.ndarray, z: np.ndarray) -> float:
    """The unbiased estimate with linear kernels, as published."""
    n = len(f)
    k, m = f @ f.T, z @ z.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    ones = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m).sum()
    return float((np.trace(k @ m) + ones) / (n * (n - 3)))


def test_several_targets_are_judged_by_holms_p_values() -> None:
    (first, y), (second, _) = world(0.0), world(1.0, target="color")
    constant = Pairs("rotation", *(getattr(first, name) for name in ("images", "f")), np.ones((400, 2)),
                     first.floor, first.labels, first.names, first.train)  # fmt: skip
    made = given_a_number([first, second, constant], y, draws=199, rng=np.random.default_rng(0))
    assert list(made) == ["patch", "color", "rotation"]
    assert made["color"].details["p_holm"] == pytest.approx(2 * made["color"].details["p_either"])
    assert made["rotation"].verdict == "vacuous"
    assert made["rotation"].reason == "C1 trivially true (z constant given y)"
    assert list(made["patch"].headline) == ["PRETEXT"]
    assert not made["color"].headline


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda y: np.round(np.tanh(y)), "C1 cannot be tested ("),
        (lambda y: np.zeros_like(y), "C1 cannot be tested ("),
    ],
)
def test_labels_of_few_values_are_classes(change: Callable[[np.ndarray], np.ndarray], reason: str) -> None:
    pairs, y = world(1.0)
    estimate = one(pairs, change(y))
    assert estimate.value is None
    assert estimate.verdict == "not-applicable"
    assert estimate.reason.startswith(reason)
    assert not estimate.headline


def test_a_name_that_is_no_number_is_named() -> None:
    assert as_numbers(["1", "-2.5", "1e3"]).tolist() == [1, -2.5, 1000]
    for name in ("cat", "nan", "inf", ""):
        with pytest.raises(ValueError, match=f"takes numbers as labels, and '{name}' is none"):
            as_numbers(["1", name])


def inputs(term: dict[str, str], labels: Labels | None) -> MetricInputs:
    return MetricInputs(SPEC, options=read_options(term, SPEC.options, "m"), seed=0, labels=labels)


def test_what_cannot_be_asked_is_answered_before_any_image_is_seen() -> None:
    both = np.arange(4) // 2
    labels = Labels(values=both, classes=("cat", "dog"), train=both, test=both)
    assert compute(inputs({"label": "number"}, labels)).reason == (
        "label=number takes numbers as labels, and 'cat' is none"
    )
    assert compute(inputs({}, None)).reason == "the data has no labels"
    lone = Labels(values=0 * both, classes=("cat",), train=both, test=both)
    assert compute(inputs({}, lone)).reason == "the data has one class only ('cat')"


def test_of_labels_that_are_all_different_images_are_chosen_over_the_whole_range() -> None:
    values = np.arange(1000)
    labels = Labels(values=values, classes=tuple(map(str, values)), train=values, test=values[:0])
    chosen = chosen_images(inputs({}, labels), 100)
    assert len(chosen) == 100
    assert chosen.max() > 900


def test_residuals_given_directly_are_tested_alike() -> None:
    pairs, y = world(0.3)
    rng = np.random.default_rng(3)
    residuals = cross_fitted_residuals(np.hstack([pairs.f, pairs.z]), y, rng=rng)
    directly = gcm_of_residuals(residuals[:, :4], residuals[:, 4:], y, rng=rng, draws=199)
    assert directly == gcm(pairs.f, pairs.z, y, rng=np.random.default_rng(3), draws=199)
