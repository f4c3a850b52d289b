"""The metric ``ci-condition``: is f(x) uncorrelated with the pretext target, given the class?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.figures import Bars, Figure
from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate
from sslaudit_theory.independence.condition import C1, c1_test, reading_of, verdict_of
from sslaudit_theory.independence.dependence import Effect, within_class_rv
from sslaudit_theory.independence.holm import holm
from sslaudit_theory.metrics.ci_number import as_numbers, given_a_number
from sslaudit_theory.metrics.ci_words import ALPHA, beside, called, interval_of, with_headline
from sslaudit_theory.metrics.pretext_pairs import Pairs, of_targets

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

CLASSES_SHOWN = 40
"""More classes are cut to those with the largest effect."""
LISTED = 5
"""Classes that are listed by name."""


def compute(inputs: "MetricInputs") -> Estimate | dict[str, Estimate]:
    """The metric ``ci-condition``: is f(x) uncorrelated with the pretext target z, given the class (C1)?

    Formula: rho2 = sum_k w_k HSIC_u(F_k, Z_k) / sqrt(sum_k w_k HSIC_u(F_k, F_k) sum_k w_k HSIC_u(Z_k, Z_k)),
        w_k = n_k / n: the debiased RV coefficient (linear CKA) within classes. Two tests of C1: random signs
        of residual products, for C1 alone, and permutations of z within classes, for independence, which is
        more. With ``label=number`` both are taken less what the label predicts, by the generalised covariance
        measure.
    Shapes: embeddings (n, D) of what the encoder sees and targets z (n, d_z) of at most ``images`` images;
        labels.
    Range: -1 to 1; 0 on average under C1, 1 where one is the other turned and rescaled.
    Typical: for z = disjoint-crop the SimCLR encoder of ``sslaudit demo`` has .238, its untrained copy .220
        and raw pixels .229 (digits): no encoder that keeps what an image looks like comes near 0.
    High: within a class the encoder still tells what the pretext task asks for: refining towards C1 could
        help.
    Low: nothing linear of z is left within classes. A test that does not reject is no proof: ``detectable``
        is the effect that would have been found with 80 % power.
    Bias: none to first order; values below 0 occur under C1. The plain coefficient, ``rv_plug_in``, is far
        above 0 in many dimensions whatever f and z are.
    Source: Teng et al., AISTATS 2022, Criterion C1; Song et al., JMLR 2012; Shah and Peters, Ann. Stat. 2020.
    """
    labels, draws = inputs.labels_if_any, int(inputs.options["draws"])
    if labels is None:
        return Estimate.not_applicable("the data has no labels")
    if inputs.options["label"] == "number":
        try:
            y = as_numbers(labels.classes)
        except ValueError as error:
            return Estimate.not_applicable(str(error).rstrip("."))
        return of_targets(inputs, lambda pairs: given_a_number(pairs, y, draws=draws, rng=inputs.rng()))
    if len(labels.classes) < 2:
        return Estimate.not_applicable(f"the data has one class only ('{labels.classes[0]}')")
    return of_targets(inputs, lambda pairs: estimates(pairs, draws=draws, rng=inputs.rng()))


def estimates(pairs: Sequence[Pairs], *, draws: int, rng: np.random.Generator) -> dict[str, Estimate]:
    """By target; of several targets the p values of each test are Holm's.

    ``draws`` are those of each null.
    """
    strict = ALPHA / len(pairs)  # what Holm asks of the smallest p value
    tested = [c1_test(one.f, one.z, one.labels, rng=rng, draws=draws, alpha=strict) for one in pairs]
    able = [c1 for c1 in tested if c1.p_multiplier is not None]
    multiplier = iter(holm([c1.p_multiplier or 0.0 for c1 in able]))
    permutation = iter(holm([c1.p_permutation or 0.0 for c1 in able]))
    made = {}
    for one, c1 in zip(pairs, tested, strict=True):
        p = (None, None) if c1.p_multiplier is None else (next(multiplier), next(permutation))
        made[one.target] = _estimate(one, c1, *p, several=len(able) > 1)
    return with_headline(made, "RV of f(x) and z within classes")


def _estimate(
    pairs: Pairs, c1: C1, p: float | None, p_permutation: float | None, *, several: bool
) -> Estimate:
    """``p`` and ``p_permutation`` are those of both tests, adjusted for all targets."""
    verdict = verdict_of(c1, p, ALPHA)
    paper = f"C1, z = {pairs.target}"
    details = _details(pairs, c1)
    if several:
        details |= {"p_multiplier_holm": p, "p_permutation_holm": p_permutation}
    if c1.reason:
        return Estimate(value=None, reason=verdict, verdict="not-applicable", paper=paper)
    if c1.rho2 is None:
        return Estimate(
            value=None,
            reason=verdict,
            verdict="vacuous" if c1.trivial else called(p),
            paper=paper,
            details={"reading": verdict, **details},
        )
    floor = within_class_rv(pairs.floor, pairs.z, pairs.labels)
    return Estimate(
        value=c1.rho2,
        interval=interval_of(c1),
        no_interval="" if c1.low is not None else c1.method,
        verdict=called(p),
        paper=paper,
        note=_note(pairs, replace(c1, p_permutation=p_permutation), p, floor),
        details={"reading": verdict, **details, **beside(floor)},
        figures=_figures(pairs, c1),
    )


def _note(pairs: Pairs, c1: C1, p: float | None, floor: Effect) -> str:
    said = [
        "Debiased RV coefficient of z and the embedding of what the encoder sees, within classes: 0 on "
        f"average under C1, 1 where one is the other turned and rescaled. {reading_of(c1, p, ALPHA)}"
    ]
    said.append(f"p = {number(p or 0.0)} by signs, {number(c1.p_permutation or 0.0)} by permutation.")
    if floor.rho2 is not None:
        said.append(f"Raw pixels of what the encoder sees have {number(floor.rho2)}.")
    if c1.dropped:
        listed = ", ".join(f"{pairs.names[label]} ({n})" for label, n in c1.dropped[:LISTED])
        more = ", ..." if len(c1.dropped) > LISTED else ""
        said.append(f"Left out, with fewer than 5 images: {listed}{more} ({len(c1.dropped):,} in all).")
    if c1.constant:
        listed = ", ".join(f"{pairs.names[label]} ({which})" for label, which in c1.constant[:LISTED])
        more = ", ..." if len(c1.constant) > LISTED else ""
        said.append(f"Constant within a class: {listed}{more}.")
    return " ".join(said)


def _details(pairs: Pairs, c1: C1) -> dict[str, Detail]:
    measured = [one for one in c1.classes if one.rho2 is not None]
    worst = max(measured, key=lambda one: one.rho2 or 0.0) if measured else None
    return {
        "p_multiplier": c1.p_multiplier,
        "multiplier_exact": c1.exact_multiplier,
        "p_permutation": c1.p_permutation,
        "permutation_exact": c1.exact_permutation,
        "detectable": c1.detectable,
        "no_detectable": c1.no_detectable or None,
        "T": c1.statistic,
        "T_pooled": c1.pooled,
        "rv_plug_in": c1.plug_in,
        "most_dependent_class": None if worst is None else pairs.names[worst.label],
        "most_dependent_class_rv": None if worst is None else worst.rho2,
        "images": sum(one.n for one in c1.classes),
        "classes": len(c1.classes),
        "classes_left_out": len(c1.dropped),
        "dim_f": pairs.f.shape[1],
        "dim_z": pairs.z.shape[1],
    }


def _figures(pairs: Pairs, c1: C1) -> tuple[Figure, ...]:
    measured = sorted((one for one in c1.classes if one.rho2 is not None), key=lambda one: -(one.rho2 or 0.0))
    if not measured:
        return ()
    shown = measured[:CLASSES_SHOWN]
    cut = f", the {CLASSES_SHOWN} largest" if len(measured) > CLASSES_SHOWN else ""
    return (
        Bars(
            title=f"what f(x) and {pairs.target} share in each class{cut}",
            labels=[pairs.names[one.label] for one in shown],
            values=[one.rho2 or 0.0 for one in shown],
            value_label="RV, debiased",
            note="0 on average where C1 holds in a class; 1 where one is the other turned and rescaled.",
        ),
    )
