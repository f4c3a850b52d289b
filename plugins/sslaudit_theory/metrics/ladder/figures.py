"""Figures of the ladder: which pairs of classes stand apart, and what uses up the budget."""

import numpy as np

from sslaudit.figures import Bars, Figure, Matrix
from sslaudit_theory.metrics.heat_map import CLASSES_SHOWN, heat_map
from sslaudit_theory.metrics.ladder.inputs import Measured
from sslaudit_theory.metrics.ladder.rungs import Rung

_SAID = {
    "concentration": "2 (1 - sigma)",
    "misaligned": "R_eps / p",
    "distance": "sigma L delta / r",
    "tolerance": "2 sigma eps / r",
}


def margins(rung: Rung, measured: Measured) -> Matrix:
    """By how much each ordered pair of classes meets the condition."""
    values = rung.certificate.margins
    apart = np.where(np.eye(len(values), dtype=bool), np.inf, values)
    return heat_map(
        "margin of the condition, row class towards column class",
        values,
        -apart.min(axis=1),
        measured.chosen.names,
        "margin",
    )


def waterfall(rung: Rung) -> Bars:
    """The four shares of rho, or beta, of the worst pair, their sum, and the budget."""
    label = rung.certificate.worst[0]
    shares = rung.certificate.shares[label]
    what = "beta" if rung.forms[label] == "sharp" else "rho"
    return Bars(
        title=f"{what} of the worst pair, and what its centres allow",
        labels=[*(f"{name}, {_SAID[name]}" for name in shares.named()), what, "allowed"],
        values=[*shares.named().values(), shares.total, rung.budget],
        value_label=what,
    )


def confusions(pairs: np.ndarray, measured: Measured) -> Matrix:
    """Cantelli bounds (K, K) that a view of the row class is nearer to the column class."""
    return heat_map(
        "bound of the share that is nearer to another class",
        pairs,
        pairs.max(axis=1),
        measured.chosen.names,
        "bound",
    )


def moments(measured: Measured) -> Bars:
    """V_l over the squared distance of the nearest centre, for each class: at 1/4 the bound is 1."""
    parts = measured.parts
    square = parts.nearest**2
    shown = np.flatnonzero(square > 0)
    ratio = parts.variance[shown] / square[shown]
    order = np.argsort(-ratio, kind="stable")[:CLASSES_SHOWN]
    return Bars(
        title="V = align / 2 + tr Cov over D^2 of the nearest centre; from 1/4 on the bound is 1",
        labels=[measured.chosen.names[k] for k in shown[order]],
        values=ratio[order].tolist(),
        value_label="V / D^2",
    )


def figures(rung: Rung, measured: Measured) -> tuple[Figure, ...]:
    """Those of one condition."""
    return margins(rung, measured), waterfall(rung)
