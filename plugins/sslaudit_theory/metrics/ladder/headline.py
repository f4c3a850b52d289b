"""What the whole ladder says: which factor holds the encoder back, and what is guaranteed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.errors import EncoderError
from sslaudit.results import Detail, Estimate
from sslaudit_theory.classes.spread import HeldBack, decomposition, held_back_by
from sslaudit_theory.metrics.ladder.inputs import Measured
from sslaudit_theory.metrics.ladder.limits import LEVEL
from sslaudit_theory.metrics.ladder.rungs import Rung
from sslaudit_theory.metrics.ladder.words import LABELS, against_budget, number, percent
from sslaudit_theory.norms import normed_views

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

_FACTORS = {
    "alignment": "views of one image differ too much",
    "concentration": "images of one class differ too much",
    "divergence": "class centres have too much in common",
}


def held_back(world: Measured, centred: HeldBack | None = None, driver: str = "") -> str:
    """The factor with the largest share of what keeps classes apart too little, and the closest centres.

    ``centred`` is what holds back without the mean of all images, ``driver`` the transform that adds most
    to the distance between an image and its views.
    """
    found = held_back_by(world.parts)
    if found.factor is None:
        return "nothing: views never leave the centre of their class, and no two centres are the same"
    others = _shares(found, leave_out=found.factor)
    share = percent(found.shares[found.factor])
    said = f"by {found.factor}: {_FACTORS[found.factor]} ({share} of the shortfall; {others})."
    if centred and centred.factor:
        said += f" Without the mean of all images: {_shares(centred)}."
    if driver and "alignment" in (found.factor, centred and centred.factor):
        said += f" {driver} moves views most."
    return f"{said} Closest centres: {_closest(world)}.{_left_out(world)}"


def _shares(found: HeldBack, leave_out: str = "") -> str:
    """``concentration 44 %, alignment 37 %``, the largest first."""
    falling = sorted(found.shares.items(), key=lambda share: -share[1])
    return ", ".join(f"{name} {percent(share)}" for name, share in falling if name != leave_out)


def centred_held_back(inputs: "MetricInputs", world: Measured) -> HeldBack | None:
    """What holds the encoder back once the training mean is taken off, where divergence did before.

    Features behind a ReLU have a large mean in common, and divergence is what it looks like; the
    nearest centre does not see it. None where divergence is not what holds back, or the norm takes the
    mean off already.
    """
    if world.chosen.normed.norm != "sphere" or held_back_by(world.parts).factor != "divergence":
        return None
    chosen = replace(world.chosen, normed=normed_views(inputs, "center-sphere"))
    try:
        return held_back_by(decomposition(chosen, chosen.labels))
    except EncoderError:  # a view that is the mean itself has no direction
        return None


def held_back_details(world: Measured, centred: HeldBack | None) -> dict[str, Detail]:
    """The three shares by name, for readers that compare cards."""
    found = held_back_by(world.parts)
    return {
        "held_back_by": str(found),
        **{f"held_back_{name}": share for name, share in found.shares.items()},
        "held_back_centred_by": str(centred) if centred else None,
        "closest_classes": _closest(world),
    }


def guarantee(estimates: Mapping[str, Estimate], rungs: Mapping[str, Rung | str]) -> str:
    """The best certificate; else the best estimate, said to be one; else by how much it is missed."""
    certificates = [e for e in estimates.values() if e.verdict == "holds" and e.value is not None]
    if certificates:
        best = min(certificates, key=lambda e: e.value or 0.0)
        where = "pixels, certified L" if best.label == LABELS["certified-L"] else "in feature space"
        return (
            f"error at most {percent(best.value or 0.0)} at level {percent(LEVEL)}, for images the encoder "
            f"has not seen (a sharper condition than Theorem 1, {where})"
        )
    held = [
        (e.value, e.label)
        for name, e in estimates.items()
        if name in rungs and e.verdict == "holds-point-estimate" and e.value is not None
    ]
    if held:
        bound, label = min(held)
        return (
            f"none certified; the most optimistic estimate is an error of at most {percent(bound)} ({label})"
        )
    vacuous = [e.label for name, e in estimates.items() if name in rungs and e.verdict == "vacuous"]
    if vacuous:
        return (
            f"none of use: the condition is met ({vacuous[0]}), but naming one class is as good as its bound"
        )
    for name in ("", "feature-space", "measured-q"):
        rung = rungs[name]
        if not isinstance(rung, str) and estimates[name].verdict == "fails":
            return f"none from Theorem 1, as for nearly every real encoder ({against_budget(rung)})"
    return f"none from Theorem 1: {estimates[''].reason}"


def sentence(first: Estimate, world: Measured) -> str:
    """What the theorem as printed says of this encoder."""
    if first.value is not None:
        said = f"its condition is met and bounds the error by {number(first.value)}"
        if first.verdict == "vacuous":
            return f"Theorem 1 says nothing new: {said}, and naming one class is as good."
        return f"Theorem 1 as an estimate: {said}; L is the steepest slope seen, so this is optimistic."
    if first.verdict == "inconclusive":
        return first.reason
    if first.verdict != "fails":
        return f"not computable: {first.reason}"
    factor = held_back_by(world.parts).factor
    back = f"; what holds the classes back most is {factor}" if factor else ""
    return f"{first.reason}{back}"


def _left_out(world: Measured) -> str:
    left_out = world.chosen.left_out
    return f" Classes without images in both splits, left out: {left_out:,}." if left_out else ""


def _closest(world: Measured) -> str:
    distances = np.where(np.eye(len(world.chosen.names), dtype=bool), np.inf, world.parts.distances)
    label, other = divmod(int(distances.argmin()), len(distances))
    return f"{world.chosen.names[label]}, {world.chosen.names[other]}"
