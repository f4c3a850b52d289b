"""What ``ci-condition`` says of C1 in the same words for classes and for numbers as labels."""

from collections.abc import Mapping
from dataclasses import replace

from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate, Interval, Verdict
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
    said = {target: one for target, one in made.items() if "reading" in one.details}
    if len(said) == 1:
        ((target, one),) = said.items()
        share = "" if one.value is None else f": {effect} {number(one.value)}, 0 under C1"
        floor = _against_pixels(one)
        return {
            "PRETEXT": f"{one.details['reading']}, with z = {target}{share}{'; ' if floor else ''}{floor}"
        }
    listed = []
    for target, one in said.items():
        share = "" if one.value is None else f", RV {number(one.value)}"
        floor = _against_pixels(one)
        listed.append(f"z = {target}: {one.details['reading']}{share}{', ' if floor else ''}{floor}")
    return {"PRETEXT": "; ".join(listed)} if said else {}


def _against_pixels(one: Estimate) -> str:
    """Whether the features say more of z than raw pixels do: only where the intervals are apart."""
    pixels, low, high = (one.details.get(name) for name in ("pixels", "pixels_low", "pixels_high"))
    if one.interval is None or not isinstance(low, float) or not isinstance(high, float):
        return ""
    said = {-1: "less than", 0: "about that of", 1: "more than"}
    side = (one.interval.low > high) - (one.interval.high < low)
    return f"{said[side]} raw pixels, {number(pixels)}" if isinstance(pixels, float) else ""
