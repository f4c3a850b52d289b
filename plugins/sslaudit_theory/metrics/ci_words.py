"""What ``ci-condition`` says of C1 in the same words for classes and for numbers as labels."""

from collections.abc import Mapping
from dataclasses import replace

from sslaudit.results import Detail, Estimate, Interval, Verdict, number
from sslaudit_theory.independence.condition import C1
from sslaudit_theory.independence.dependence import Effect

ALPHA = 0.05


def called(p: float | None) -> Verdict:
    """The verdict of a p value; without one nothing is decided."""
    return "fails" if p is not None and p <= ALPHA else "inconclusive"


def interval_of(c1: C1) -> Interval | None:
    """The interval of rho2, where there is one."""
    if c1.low is None or c1.high is None:
        return None
    return Interval(low=c1.low, high=c1.high, level=c1.level, method=c1.method)


def beside(floor: Effect) -> dict[str, Detail]:
    """The effect of raw pixels in place of features, as details."""
    return {
        "pixels": floor.rho2,
        "pixels_low": floor.interval.low if floor.interval else None,
        "pixels_high": floor.interval.high if floor.interval else None,
    }


def with_headline(made: Mapping[str, Estimate], effect: str) -> dict[str, Estimate]:
    """The estimates by target, the first with the verdict on each; of a single one with its ``effect``."""
    first = next(iter(made))
    return {**made, first: replace(made[first], headline=_headline(made, effect))}


def _headline(made: Mapping[str, Estimate], effect: str) -> dict[str, str]:
    said = {target: str(one.details["reading"]) for target, one in made.items() if "reading" in one.details}
    if len(said) != 1:
        listed = "; ".join(f"z = {target}: {verdict}" for target, verdict in said.items())
        return {"PRETEXT": listed} if said else {}
    ((target, verdict),) = said.items()
    value, pixels = made[target].value, made[target].details.get("pixels")
    share = "" if value is None else f": {effect} {number(value)}, 0 under C1"
    floor = f"; of raw pixels {number(pixels)}" if isinstance(pixels, float) else ""
    return {"PRETEXT": f"{verdict}, with z = {target}{share}{floor}"}
