"""C1 from samples: what is reported, the words of verdicts and readings, Holm, and inputs that do not fit."""

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit_theory.independence.condition import C1, c1_test, reading_of, verdict_of
from sslaudit_theory.independence.dependence import effect_of
from sslaudit_theory.independence.holm import holm
from sslaudit_theory.independence.strata import split


def samples(effect: float, n: int = 120, wide: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    f = rng.normal(size=(n, wide)) + labels[:, None]
    z = rng.normal(size=(n, 2)) - 2 * labels[:, None]
    z[:, 0] += effect * f[:, 0]
    return f, z, labels


def c1_of(f: np.ndarray, z: np.ndarray, labels: np.ndarray, **how: float) -> C1:
    return c1_test(f, z, labels, rng=np.random.default_rng(1), **how)


def test_what_is_reported() -> None:
    f, z, labels = samples(1.0)
    c1 = c1_of(f, z, labels)
    strata = split(f, z, labels).kept
    effect = effect_of(strata)
    assert effect.interval is not None
    assert (c1.rho2, c1.plug_in) == (effect.rho2, effect.plug_in)
    assert (c1.low, c1.high, c1.level) == (effect.interval.low, effect.interval.high, 0.95)
    assert c1.method == effect.interval.method
    assert [row[:2] for row in c1.classes] == [(0, 40), (1, 40), (2, 40)]
    assert [row.rho2 for row in c1.classes] == list(effect.classes)
    assert c1.p_multiplier == c1.p_permutation == 1 / 500
    assert not c1.exact_multiplier
    assert not c1.exact_permutation
    assert c1.detectable is not None
    assert 0 < c1.detectable < 1
    assert c1.dropped == c1.constant == ()
    assert c1.trivial == c1.reason == c1.no_detectable == ""
    assert verdict_of(c1, c1.p_multiplier, 0.05) == "C1 rejected"
    assert reading_of(c1, c1.p_multiplier, 0.05) == "f and z are correlated within classes."


def test_equal_inputs_give_equal_answers_and_scale_does_not_matter() -> None:
    f, z, labels = samples(0.3)
    c1 = c1_of(f, z, labels)
    assert c1_of(f, z, labels) == c1
    scaled = c1_of(1e20 * f, 1e-20 * z, labels)
    assert scaled.p_multiplier == c1.p_multiplier
    assert scaled.p_permutation == c1.p_permutation
    assert scaled.rho2 == pytest.approx(c1.rho2, rel=1e-9)
    assert scaled.detectable == pytest.approx(c1.detectable, rel=1e-9)
    assert c1_of(1e50 * f, 1e50 * z, labels).detectable == pytest.approx(c1.detectable, rel=1e-9)


def test_means_that_move_with_the_class_are_no_violation() -> None:
    f, z, labels = samples(0.0)
    c1 = c1_of(f, z, labels)
    assert c1.p_multiplier is not None
    assert c1.detectable is not None
    assert c1.p_multiplier > 0.05
    verdict = verdict_of(c1, c1.p_multiplier, 0.05)
    assert verdict == f"C1 not rejected (detectable effect {f'{c1.detectable:.3f}'[1:]})"
    assert reading_of(c1, c1.p_multiplier, 0.05) == (
        f"No dependence within classes was found (detectable effect {f'{c1.detectable:.3f}'[1:]})."
    )
    whole = c1_of(f, z, np.zeros(len(labels)))
    assert whole.p_multiplier == 1 / 500  # as one class, the means alone are correlated


def test_fewer_samples_find_less() -> None:
    effects = [c1_of(*samples(0.0, n)).detectable for n in (30, 120, 480)]
    assert None not in effects
    assert effects == sorted(effects, reverse=True)  # type: ignore[type-var]
    strict = c1_of(*samples(0.0, 120), alpha=0.01).detectable
    assert strict is not None
    assert strict > effects[1]  # type: ignore[operator]


def test_more_columns_than_samples() -> None:
    f, z, labels = samples(1.5, 60, 500)
    c1 = c1_of(f, z, labels)
    assert c1.rho2 is not None
    assert c1.plug_in is not None
    assert c1.plug_in > 3 * abs(c1.rho2)
    noise = np.random.default_rng(2).normal(size=z.shape)
    assert verdict_of(c1_of(f, noise, labels), c1_of(f, noise, labels).p_multiplier, 0.05) != "C1 rejected"


def test_one_class_and_tiny_classes() -> None:
    f, z, _ = samples(1.0)
    one = c1_of(f, z, np.full(120, 4))
    assert [row[:2] for row in one.classes] == [(4, 120)]
    tiny = c1_of(f[:15], z[:15], np.array([0] * 7 + [1] * 4 + [2] * 3 + [3]))
    assert tiny.dropped == ((1, 4), (2, 3), (3, 1))
    assert [row[:2] for row in tiny.classes] == [(0, 7)]
    assert (tiny.exact_multiplier, tiny.exact_permutation) == (True, True)


def test_too_few_samples_to_reject_anything() -> None:
    f, z, _ = samples(0.0)
    c1 = c1_of(f[:5], z[:5], np.zeros(5))
    assert c1.detectable is None
    assert c1.p_multiplier is not None
    assert c1.p_multiplier >= 3 / 33
    assert verdict_of(c1, c1.p_multiplier, 0.05) == (
        "C1 not rejected (detectable effect not known: no p value below .091 is possible with so few samples)"
    )


def test_constant_in_some_classes() -> None:
    f, z, labels = samples(1.0)
    z[labels == 1] = 7.0
    f[labels == 2] = -1.0
    c1 = c1_of(f, z, labels)
    assert c1.constant == ((1, "z"), (2, "f"))
    assert [row.rho2 is None for row in c1.classes] == [False, True, True]
    alone = c1_of(f[labels == 0], z[labels == 0], labels[labels == 0])
    assert c1.statistic == pytest.approx(alone.statistic / 3, rel=1e-12)  # type: ignore[operator]
    assert c1.p_multiplier == alone.p_multiplier


@pytest.mark.parametrize("what", ["z constant within classes", "f constant within classes"])
def test_trivially_true(what: str) -> None:
    f, z, labels = samples(1.0)
    rows = z if what[0] == "z" else f
    rows[:] = np.array([0.1, 0.7, -3.3])[labels][:, None]
    c1 = c1_of(f.astype(np.float32), z.astype(np.float32), labels)
    assert (c1.trivial, c1.statistic, c1.rho2, c1.p_multiplier) == (what, 0, None, None)
    assert c1.constant == tuple((k, what[0]) for k in range(3))
    assert verdict_of(c1, None, 0.05) == f"C1 trivially true ({what})"
    assert reading_of(c1, None, 0.05) == f"C1 trivially true ({what})."


def test_what_cannot_be_tested() -> None:
    f, z, _ = samples(1.0)
    for labels in (np.arange(120), np.random.default_rng(0).normal(size=120)):
        c1 = c1_of(f, z, labels)
        assert c1.reason == (
            "labels look continuous, with 120 values in 120 samples; "
            "ci-condition(label=number) takes them, and gcm from Python"
        )
        assert verdict_of(c1, None, 0.05) == f"C1 cannot be tested ({c1.reason})"
        assert reading_of(c1, None, 0.05).endswith(").")
    few = c1_of(f, z, np.arange(120) // 4)
    assert few.reason == "no class has 5 samples"
    assert len(few.dropped) == 30
    assert few.classes == ()
    assert c1_of(f[:3], z[:3], np.zeros(3)).reason == "no class has 5 samples"


def test_all_length_in_one_sample() -> None:
    f, z = np.zeros((30, 1)), np.random.default_rng(0).normal(size=(30, 2))
    f[0] = 1
    c1 = c1_of(f, z, np.zeros(30))
    assert (c1.rho2, c1.low, c1.high, c1.detectable) == (None, None, None, None)
    assert c1.method == "too few samples vary within classes for an interval"
    assert verdict_of(c1, 0.5, 0.05) == (
        "C1 not rejected (detectable effect not known: "
        "too few samples vary within classes to measure an effect)"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f": np.full((120, 2), np.nan)}, "f is not finite"),
        ({"z": np.full((120, 2), np.inf)}, "z is not finite"),
        ({"labels": np.zeros(119)}, "120, 120 and 119"),
        ({"labels": np.full(120, np.nan)}, "whole numbers"),
        ({"f": np.zeros((0, 2)), "z": np.zeros((0, 2)), "labels": np.zeros(0)}, "one sample"),
        ({"draws": 198}, "199 draws or more"),
        ({"alpha": 0.001}, "alpha"),
        ({"alpha": 0.2}, "alpha"),
    ],
)
def test_refusals(change: dict[str, object], message: str) -> None:
    f, z, labels = samples(1.0)
    given_ = {"f": f, "z": z, "labels": labels, **change}
    with pytest.raises(ValueError, match=message):
        c1_test(**given_, rng=np.random.default_rng(0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("detectable", "words"),
    [
        (0.0213, ".021"),
        (0.001, ".001"),
        (0.00000012, "1.2e-07"),
        (0.99951, "1.000"),
        (1.0, "1.000"),
        (1.2, "above 1: none"),
    ],
)
def test_how_numbers_are_written(detectable: float, words: str) -> None:
    c1 = C1(p_multiplier=0.4, p_permutation=0.3, detectable=detectable)
    assert verdict_of(c1, 0.4, 0.05) == f"C1 not rejected (detectable effect {words})"


def test_every_pair_of_p_values_has_its_reading() -> None:
    c1 = C1(rho2=0.0, p_multiplier=0.5, p_permutation=0.5, detectable=0.0213)
    readings = {}
    for p, other in itertools.product((0.01, 0.5), repeat=2):
        readings[p, other] = reading_of(replace(c1, p_permutation=other), p, 0.05)
    assert readings == {
        (0.01, 0.01): "f and z are correlated within classes.",
        (0.01, 0.5): (
            "f and z are correlated within classes by the multiplier test; permutation does not confirm it."
        ),
        (0.5, 0.01): (
            "Dependent but C1 not rejected: f and z depend on each other within classes, "
            "but no correlation was found (detectable effect .021)."
        ),
        (0.5, 0.5): "No dependence within classes was found (detectable effect .021).",
    }
    assert "hold" not in " ".join(readings.values())
    assert verdict_of(c1, 0.05, 0.05) == "C1 rejected"
    with pytest.raises(ValueError, match="multiplier test"):
        verdict_of(c1, None, 0.05)


def test_all_numbers_are_finite_or_none() -> None:
    for effect, n in itertools.product((0.0, 2.0), (15, 16, 40)):
        c1 = c1_of(*samples(effect, n))
        for field in fields(c1):
            value = getattr(c1, field.name)
            assert not isinstance(value, float) or np.isfinite(value)
            assert not isinstance(value, np.generic)


def naive_holm(p: list[float]) -> list[float]:
    """The smallest alpha at which the step-down procedure still rejects."""
    out = []
    for value in p:
        before = [other for other in p if other <= value]
        steps = [(sum(other >= one for other in p)) * one for one in before]
        out.append(min(1.0, max(steps)))
    return out


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm(p: list[float]) -> None:
    assert holm(p) == pytest.approx(naive_holm(p), rel=1e-12)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.7, 0.01, 0.6]) == pytest.approx([1.0, 0.03, 1.0])
    assert holm([]) == []
    for bad in ([-0.1], [1.1], [float("nan")]):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            holm(bad)
