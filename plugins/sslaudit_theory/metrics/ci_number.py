"""``ci-condition`` where the label is a number: the generalised covariance measure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate
from sslaudit_theory.independence.continuous import (
    Gcm,
    cross_fitted_residuals,
    gcm_of_residuals,
    quantile_bins,
)
from sslaudit_theory.independence.dependence import Effect, within_class_rv
from sslaudit_theory.independence.holm import holm
from sslaudit_theory.metrics.ci_words import ALPHA, beside, called, with_headline
from sslaudit_theory.metrics.pretext_pairs import Pairs

BINS = 5
"""Quantile bins of the label, in which covariances may differ."""


def as_numbers(names: Sequence[str]) -> np.ndarray:
    """The names of classes (K,) as float64. Raises ``ValueError`` for one that is no finite number."""
    values = []
    for name in names:
        try:
            values.append(float(name))
        except ValueError:
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            raise ValueError(f"label=number takes numbers as labels, and '{name}' is none.")
    return np.array(values)


@dataclass(frozen=True, slots=True)
class _Measured:
    gcm: Gcm
    effect: Effect
    floor: Effect


def given_a_number(
    pairs: Sequence[Pairs], values: np.ndarray, *, draws: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """By target; ``values`` (K,) are the labels by class. Of several targets the p values are Holm's."""
    made: dict[str, Estimate] = {}
    tested: dict[str, _Measured] = {}
    for one in pairs:
        paper = f"C1, z = {one.target}"
        try:
            measured = _measured(one, values[one.labels], draws, rng)
        except ValueError as error:
            made[one.target] = _without(f"C1 cannot be tested ({str(error).rstrip('.')})", paper)
            continue
        if measured.gcm.trivial:
            made[one.target] = _without(measured.gcm.verdict(), paper, trivial=True)
        else:
            tested[one.target] = measured
    adjusted = holm([measured.gcm.p_either or 0.0 for measured in tested.values()])
    dims = {one.target: one.f.shape[1] for one in pairs}
    for p, (target, measured) in zip(adjusted, tested.items(), strict=True):
        made[target] = _estimate(target, measured, p, several=len(tested) > 1, dim=dims[target])
    ordered = {one.target: made[one.target] for one in pairs}
    return with_headline(ordered, "RV of f(x) and z given the label")


def _measured(pairs: Pairs, y: np.ndarray, draws: int, rng: np.random.Generator) -> _Measured:
    if not pairs.z.shape[1]:
        raise ValueError("z is constant")
    columns = np.cumsum([0, pairs.f.shape[1], pairs.z.shape[1], pairs.floor.shape[1]])
    residuals = cross_fitted_residuals(np.hstack([pairs.f, pairs.z, pairs.floor]), y, rng=rng)
    r_f, r_z, r_pixels = (residuals[:, start:stop] for start, stop in pairwise(columns))
    (bins,) = quantile_bins(y[:, None], BINS)
    return _Measured(
        gcm_of_residuals(r_f, r_z, y, rng=rng, draws=draws, bins=BINS, alpha=ALPHA),
        within_class_rv(r_f, r_z, bins),
        within_class_rv(r_pixels, r_z, bins),
    )


def _without(reason: str, paper: str, *, trivial: bool = False) -> Estimate:
    return Estimate(
        value=None,
        reason=reason,
        verdict="vacuous" if trivial else "not-applicable",
        paper=paper,
        details={"reading": reason} if trivial else {},
    )


def _estimate(target: str, measured: _Measured, p: float, *, several: bool, dim: int) -> Estimate:
    gcm, effect, floor = measured.gcm, measured.effect, measured.floor
    verdict = gcm.verdict(p)
    paper = f"C1, z = {target}"
    if effect.rho2 is None:
        reading: dict[str, Detail] = {"reading": verdict}
        return Estimate(value=None, reason=verdict, verdict=called(p), paper=paper, details=reading)
    pixels = "" if floor.rho2 is None else f" Raw pixels of what the encoder sees have {number(floor.rho2)}."
    return Estimate(
        value=effect.rho2,
        interval=effect.interval,
        no_interval="" if effect.interval else "too few images vary for an interval",
        note=(
            "Debiased RV coefficient of z and the embedding of what the encoder sees, both less what the "
            f"label predicts of them, within {BINS} quantile bins of it: 0 on average under C1. {verdict}, "
            f"by the generalised covariance measure as a whole and in each bin.{pixels}"
        ),
        details={
            "reading": verdict,
            **_tests(gcm),
            "p_holm": p if several else None,
            "dim_f": dim,
            "images": gcm.n,
            **beside(floor),
        },
        verdict=called(p),
        paper=paper,
    )


def _tests(gcm: Gcm) -> dict[str, Detail]:
    return {
        "p": gcm.p,
        "p_binned": gcm.p_binned,
        "p_either": gcm.p_either,
        "statistic": gcm.statistic,
        "statistic_binned": gcm.statistic_binned,
        "bin": None if gcm.bin is None else gcm.bin[1],
        "bins": gcm.bins,
        "detectable": gcm.detectable,
        "detectable_binned": gcm.detectable_binned,
    }
