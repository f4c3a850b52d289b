"""The rungs of the ladder as estimates: values, verdicts and sentences."""

from dataclasses import replace

import numpy as np

from sslaudit.results import Detail, Estimate
from sslaudit_theory.certificates.verdicts import Guarantee, guarantee_of_bound
from sslaudit_theory.classes.centres import pair_name
from sslaudit_theory.metrics.ladder.inputs import Measured
from sslaudit_theory.metrics.ladder.limits import LEVEL
from sslaudit_theory.metrics.ladder.rungs import Rung

LABELS = {
    "": "Theorem 1 as printed",
    "certified-L": "pixels, certified L",
    "per-class": "each class by itself",
    "sharp": "sharper condition, ours",
    "feature-space": "feature space, no L",
    "certified": "feature space, certified",
    "measured-q": "good images counted",
    "cdnv": "Chebyshev, not Theorem 1",
    "cantelli": "Cantelli, not Theorem 1",
    "measured": "nearest centre, measured",
}
"""Rows of the card, from the theorem as printed to the error as measured."""

PAPERS = {"per-class": "Lemma 3.2"}
"""The paper's word for a row."""

REQUIRED = 50
"""Below K^2 times so many test images the limits alone can use up what the printed condition allows."""

VERSION = "slides and ICLR 2023: the same formula"

_SPLITS = "eps, delta, centres: training images; sigma, R_eps: test images; p: all images"
_SOURCES = {
    "measured-q": "parts of classes, eps, centres: training images; q: test images; p: all images",
    "certified": "parts of classes, eps: training images; limits of q and centres: test images",
    "certified-L": "eps, stars: training images; limits of sigma, R_eps, centres: test images; p: all images",
}


def number(value: float) -> str:
    """Three significant digits: ``2.04``, ``.005``, ``1.2e-05``."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.1e}"
    if abs(value) >= 10:
        return f"{value:.1f}" if abs(value) < 1000 else f"{value:.2e}"
    text = f"{value:.3f}" if abs(value) < 0.9995 else f"{value:.2f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def percent(share: float) -> str:
    """``12 %``, ``1.3 %``, ``99.7 %``."""
    near_an_end = 0 < share < 0.1 or 0.99 < share < 1
    return f"{100 * share:.1f} %" if near_an_end else f"{100 * share:.0f} %"


def not_computable(name: str, reason: str) -> Estimate:
    """A rung that lacks an input."""
    return Estimate(
        value=None,
        reason=reason,
        verdict="not-applicable",
        label=LABELS[name],
        paper=PAPERS.get(name, ""),
        details={"verdict": Guarantee.NOT_COMPUTABLE.value, "reason": reason},
    )


def rung_estimate(name: str, rung: Rung, measured: Measured) -> Estimate:
    """The error bound where the condition is met, else why there is none."""
    held = rung.certificate
    reason = "" if held.guarantee.met else _reason(rung, measured)
    return Estimate(
        value=held.bound,
        reason=reason,
        no_interval="an upper bound" if held.guarantee.met else "",
        claim="upper-bound" if held.limits else "estimate",
        bias="over" if held.limits else "under",
        verdict=held.guarantee.verdict,
        note=_note(rung),
        label=LABELS[name],
        paper=PAPERS.get(name, ""),
        details={**_details(name, rung, measured), "reason": reason or None},
    )


def moment_estimate(name: str, bounds: np.ndarray, measured: Measured) -> Estimate:
    """A bound from second moments, for each class (K,): it has no condition, and no part in Theorem 1."""
    p = measured.chosen.p
    bound, majority = min(1.0, float(p @ bounds)), 1 - float(p.max())
    guarantee = guarantee_of_bound(bound, majority, limits=False)
    said = "of a random view, centres and moments of these images; not Theorem 1"
    return Estimate(
        value=bound,
        no_interval="an upper bound",
        bias="under",
        verdict=guarantee.verdict,
        note=f"vacuous: always naming one class errs {percent(majority)}"
        if guarantee.verdict == "vacuous"
        else said,
        label=LABELS[name],
        details={
            "verdict": guarantee.value,
            "bound": bound,
            "of": said,
            "classes_below_1": f"{int((bounds < 1).sum()):,} of {len(p):,}",
            "best_class": measured.chosen.names[int(bounds.argmin())],
            "best_class_bound": float(bounds.min()),
            "majority_error": majority,
            "norm": measured.chosen.normed.norm,
            "r": measured.r,
        },
    )


def withdrawn(estimate: Estimate, least: float) -> Estimate:
    """``estimate`` without its bound, where that lies below ``least``, the lower limit of the measured error.

    An estimate may err; a certificate may not, and is left for ``refuse_impossible``.
    """
    if estimate.value is None or estimate.claim != "estimate" or estimate.value >= least:
        return estimate
    reason = (
        f"withdrawn: its bound {number(estimate.value)} is below the measured error, "
        f"at least {number(least)}: sigma, R_eps or L is too optimistic"
    )
    gone = dict.fromkeys(("bound", "margin", "pairs_met", "classes_certified", "certified_mass"))
    return replace(
        estimate,
        value=None,
        reason=reason,
        no_interval="",
        verdict="inconclusive",
        note="",
        details={**estimate.details, **gone, "verdict": "inconclusive", "reason": reason},
    )


def pair(measured: Measured, rung: Rung) -> str:
    """Names of the worst pair."""
    first, second = rung.certificate.worst
    return pair_name(measured.chosen.names[first], measured.chosen.names[second])


def quantity(rung: Rung) -> str:
    """What the condition of the worst pair limits."""
    return "beta" if rung.forms[rung.certificate.worst[0]] == "sharp" else "rho"


def against_budget(rung: Rung) -> str:
    """``rho 2.04, allowed .005``."""
    total = rung.certificate.shares[rung.certificate.worst[0]].total
    return f"{quantity(rung)} {number(total)}, allowed {number(rung.budget)}"


def _reason(rung: Rung, measured: Measured) -> str:
    where = f"({pair(measured, rung)})"
    if rung.certificate.guarantee is Guarantee.CENTRES_TOO_CLOSE:
        return f"gives no guarantee: centres too close for any views {where}"
    if not rung.budget:  # only limits do that
        return f"gives no guarantee: too few test images to tell the centres apart {where}"
    return f"gives no guarantee: {against_budget(rung)} {where}"


def _note(rung: Rung) -> str:
    held = rung.certificate
    if held.guarantee is Guarantee.VACUOUS:
        return f"vacuous: always naming one class errs {percent(held.majority_error)}"
    if held.guarantee is Guarantee.HOLDS:
        return f"holds, all limits at {LEVEL:.0%} together, for images the encoder has not seen"
    if held.guarantee is Guarantee.HOLDS_POINT_ESTIMATE:
        return "holds as an estimate, no certificate" + ("; L is optimistic" if rung.L is not None else "")
    return ""


def _details(name: str, rung: Rung, measured: Measured) -> dict[str, Detail]:
    held, chosen = rung.certificate, measured.chosen
    label, other = held.worst
    shares, what = held.shares[label], quantity(rung)
    K, tested = len(chosen.names), int(chosen.test.sum())
    budget = rung.budget
    return {
        "verdict": held.guarantee.value,
        "condition": what,
        "worst_pair": pair(measured, rung),
        "eps": rung.eps[label],
        "delta": rung.delta[label],
        "sigma": rung.sigma[label],
        "R": rung.R[label],
        "q": None if rung.q is None else rung.q[label],
        "L": rung.L,
        "L_is": _constant(name, rung),
        "r": rung.r,
        "norm": chosen.normed.norm,
        "p_min": float(chosen.p.min()),
        "delta_mu": rung.delta_mu,
        "overlap": rung.overlap[label, other],
        "centre_distance": max(0.0, float(rung.distances[label, other])),
        what: shares.total,
        **{f"share_{part}": value for part, value in shares.named().items()},
        "dominant_share": shares.dominant,
        "budget": budget,
        "distance": shares.total / budget if budget > 0 else None,
        "margin": held.margins[label, other],
        "pairs_met": f"{held.pairs_met:,} of {held.pairs:,}",
        "classes_certified": f"{int(held.rows.sum()):,} of {K:,}",
        "certified_mass": held.mass,
        "bound": held.bound,
        "majority_error": held.majority_error,
        "level": LEVEL if held.limits else None,
        "from": _SOURCES.get(name, _SPLITS),
        "images_required": K**2 * REQUIRED,
        "images_tested": tested,
        "enough_images": tested >= K**2 * REQUIRED,
        "version": VERSION,
    }


def _constant(name: str, rung: Rung) -> str:
    if rung.L is None:
        return "none needed: distances are those of features"
    return "certified upper limit" if name == "certified-L" else "empirical, a lower limit of L: optimistic"
