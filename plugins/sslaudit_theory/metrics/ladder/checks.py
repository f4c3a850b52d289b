"""Combinations of numbers that cannot be, whatever the encoder: finding one means an error in the program."""

import math
from collections.abc import Mapping, Sequence

from sslaudit.results import Estimate
from sslaudit_theory.classes.spread import Decomposition
from sslaudit_theory.sigma.curve import TIE
from sslaudit_theory.sigma.splits import Concentration

_CERTIFIED = ("certified", "certified-L")
_HOLD = ("holds", "holds-point-estimate", "vacuous")


def refuse_impossible(
    estimates: Mapping[str, Estimate],
    *,
    concentrations: Sequence[Concentration] = (),
    parts: Decomposition | None = None,
) -> None:
    """Raises ``ValueError`` with the numbers that contradict each other.

    ``estimates`` are the rungs by name, ``concentrations`` the tables they were made from, ``parts`` the
    second moments.
    """
    for name, estimate in estimates.items():
        _check_rung(name, estimate)
    _check_measured(estimates)
    _check_counted(estimates)
    for found in concentrations:
        _check_sigma(found)
    if parts is not None:
        _check_decomposition(parts)


def _check_rung(name: str, estimate: Estimate) -> None:
    details = estimate.details
    if "V" in details:
        summed = _real(details["half_alignment"]) + _real(details["concentration"])
        if not math.isclose(_real(details["V"]), summed, rel_tol=1e-9, abs_tol=1e-12):
            raise ValueError(f"V = {details['V']} is not align / 2 + tr Cov = {summed}.")
    what = details.get("condition")
    if what is None:
        return
    said = f"rung '{name}'"
    if (estimate.value is not None) != (estimate.verdict in _HOLD):
        raise ValueError(
            f"{said}: a bound of {estimate.value} stands beside the verdict '{estimate.verdict}'."
        )
    if estimate.verdict == "holds" and estimate.claim != "upper-bound":
        raise ValueError(f"{said} holds, but its inputs are estimates.")
    total = _real(details[str(what)])
    summed = sum(_real(value) for key, value in details.items() if key.startswith("share_"))
    if not math.isclose(total, summed, rel_tol=1e-9, abs_tol=1e-12):
        raise ValueError(f"{said}: the shares add up to {summed}, and {what} is {total}.")
    if estimate.value is None:
        return
    if total >= _real(details["budget"]) * (1 + 1e-9):
        raise ValueError(f"{said} holds with {what} {total}, and only {details['budget']} is allowed.")
    if details["centre_distance"] == 0:
        raise ValueError(f"{said} holds although two centres coincide.")


def _check_measured(estimates: Mapping[str, Estimate]) -> None:
    seen = estimates.get("measured")
    if seen is None or seen.interval is None:
        return
    for name in _CERTIFIED:
        bound = estimates[name].value if name in estimates else None
        if bound is not None and bound < seen.interval.low - 1e-9:
            raise ValueError(
                f"rung '{name}' certifies an error of at most {bound}, "
                f"and the measured error is at least {seen.interval.low}."
            )


def _check_counted(estimates: Mapping[str, Estimate]) -> None:
    """The limits of ``certified`` are those of what ``measured-q`` counts."""
    if "certified" not in estimates or "measured-q" not in estimates:
        return
    limits, counted = estimates["certified"], estimates["measured-q"]
    if limits.value is None:
        return
    if counted.value is None and counted.verdict != "inconclusive":
        raise ValueError("rung 'certified' holds, and its point estimate does not.")


def _check_sigma(found: Concentration) -> None:
    star = found.star_count / found.n_test[:, None]
    if (star > found.test_high * TIE).any() or (found.star_lower > found.test_high * TIE).any():
        raise ValueError("a star of the test images is larger than their largest clique can be.")
    if (found.train_low > found.train_high * TIE).any() or (found.test_low > found.test_high * TIE).any():
        raise ValueError("a clique is larger than the largest one can be.")


def _check_decomposition(parts: Decomposition) -> None:
    """V_l is what the variances along the other centres are parts of."""
    slack = 1e-9 * (1 + parts.variance)
    if (parts.along.max(axis=1) > parts.variance + slack).any() or (parts.variance < 0).any():
        raise ValueError("the variance of a class is below its variance along one direction.")


def _real(value: object) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number.")
    return float(value)
