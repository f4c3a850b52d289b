"""Figures of the ladder: what uses up the budget, and which pairs of classes stand apart."""

import numpy as np

from sslaudit.figures import Bars, Matrix, Waterfall
from sslaudit_theory.metrics.heat_map import CLASSES_SHOWN, heat_map
from sslaudit_theory.metrics.ladder.inputs import Measured
from sslaudit_theory.metrics.ladder.rungs import Rung
from sslaudit_theory.metrics.ladder.words import number, quantity

_PRINTED = {
    "concentration": "2 (1 - sigma)",
    "misaligned": "R_eps / p",
    "distance": "sigma L delta / r",
    "tolerance": "2 sigma eps / r",
}
_SHARP = {
    "concentration": "2 (1 - sigma)",
    "misaligned": "2 (sigma - q)",
    "distance": "q L delta / r",
    "tolerance": "2 q eps / r",
}


def waterfall(rung: Rung) -> Waterfall:
    """The four shares of rho, or beta, of the worst pair, their sum, and the budget."""
    label = rung.certificate.worst[0]
    what, shares = quantity(rung), rung.certificate.shares[label].named()
    said = _PRINTED if what == "rho" else _SHARP
    return Waterfall(
        title=f"{what} of the worst pair of classes, and what is allowed",
        labels=[f"{name}, {said[name]}" for name in shares],
        values=list(shares.values()),
        total_label=what,
        limit=rung.budget,
        limit_label="allowed",
        value_label=what,
        note=f"The parts add up to {what}, and the condition is met only below what is allowed; sigma "
        f"{number(float(rung.sigma[label]))} at delta {number(float(rung.delta[label]))}.",
    )


def margins(rung: Rung, measured: Measured) -> Matrix:
    """By how much each ordered pair of classes meets the condition."""
    values = rung.certificate.margins
    apart = np.where(np.eye(len(values), dtype=bool), np.inf, values)
    return heat_map(
        "margin of the condition",
        values,
        -apart.min(axis=1),
        measured.chosen.names,
        "margin",
        "Above 0 the condition of the row class is met towards the column class.",
    )


def confusions(pairs: np.ndarray, measured: Measured) -> Matrix:
    """Cantelli bounds (K, K) that a view of the row class is nearer to the column class."""
    return heat_map(
        "bound of the share that is confused",
        pairs,
        pairs.max(axis=1),
        measured.chosen.names,
        "bound",
        "Near 1: views of the row class may be nearer to the centre of the column class.",
    )


def moments(measured: Measured) -> Bars:
    """V_l over the squared distance of the nearest centre, for each class: at 1/4 the bound is 1."""
    parts = measured.parts
    square = parts.nearest**2
    shown = np.flatnonzero(square > 0)
    ratio = parts.variance[shown] / square[shown]
    order = np.argsort(-ratio, kind="stable")[:CLASSES_SHOWN]
    return Bars(
        title="spread of each class over the distance of the nearest centre",
        labels=[measured.chosen.names[k] for k in shown[order]],
        values=ratio[order].tolist(),
        value_label="V / D^2",
        note="V = align / 2 + tr Cov; from 1/4 on the bound of a class is 1 and says nothing.",
    )
