"""How far a transformation of an image moves its embedding, on the scale of the distance to another image.

A cosine of .95 between f(x) and f(T x) says little: where all embeddings lie in a narrow cone, two
different images have it too. So the distance 1 - cos of an image to its transformed self is divided
by that of two different images. The mean over all pairs of different images follows from the mean
embedding alone; it leaves out the pairs of an image with itself, which would count as equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from scipy.stats import norm as gaussian
from torch import Tensor

from sslaudit.figures import Bars
from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate, Interval
from sslaudit_probes.change.options import TRANSFORMS, listed
from sslaudit_probes.change.pixels import PixelChange, pixel_changes
from sslaudit_probes.change.transforms import impossible, transform

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

EQUAL = "the embeddings of different images are equal"
"""What is said of a constant encoder."""

_CONSTANT = 1e-12
"""Mean distance 1 - cos of different images below which embeddings differ by rounding alone."""


@dataclass(frozen=True, slots=True)
class Invariance:
    """What one transformation does to n embeddings."""

    value: float
    """1 - (1 - own) / (1 - random): 1 is invariant, 0 as far as another image."""
    own: float
    """Mean cosine of an image and its transformed self."""
    random: float
    """Mean cosine of two different images."""
    error: float | None
    """Standard error over images, by the jackknife; None for two images."""


def random_cosine(features: np.ndarray | Tensor) -> float:
    """Mean cosine of all pairs of different rows of (n, D): (||sum u||^2 - n) / (n (n - 1)), u unit rows.

    Raises ``ValueError`` for fewer than two rows, rows that are zero or not finite.
    """
    return float(_among(_unit(features), 0))


def relative_invariance(plain: np.ndarray | Tensor, changed: np.ndarray | Tensor) -> Invariance:
    """1 - (1 - E cos(f(x), f(T x))) / (1 - E cos(f(x), f(y))), from (n, D) of x and (n, D) of T x.

    The second mean is over all pairs of different images. The jackknife leaves out one image at a
    time, from both means. Computed in float64 where the features lie. Raises ``ValueError`` for
    arrays of different shape, fewer than two rows, rows that are zero or not finite, and for plain
    features that are constant.
    Source: the ratio of the firing of a unit on transformed and on arbitrary images (Goodfellow et al.,
    NeurIPS 2009), for cosines of whole embeddings.
    """
    if plain.shape != changed.shape:
        raise ValueError(f"features of shape {plain.shape} and {changed.shape} are not of the same images.")
    u, v = _unit(plain), _unit(changed)
    n = len(u)
    own = (u * v).sum(dim=1).clamp(max=1)
    random = _among(u, 0)
    if 1 - random <= _CONSTANT:
        raise ValueError(f"{EQUAL}.")
    value = 1 - (1 - own.mean()) / (1 - random)
    error = None
    if n > 2:
        without = 1 - (1 - (own.sum() - own) / (n - 1)) / (1 - _among(u, 1)).clamp(min=_CONSTANT)
        error = float((without - without.mean()).square().sum().mul((n - 1) / n).sqrt())
    return Invariance(value=float(value), own=float(own.mean()), random=float(random), error=error)


def compute(inputs: "MetricInputs") -> dict[str, Estimate]:
    """The metric ``invariance``: how little each transformation of an image moves its embedding.

    Formula: 1 - (1 - E cos(f(x), f(T x))) / (1 - E cos(f(x), f(y))), the second mean over all pairs of
        different images. The row of the card is the least over the transformations of the recipe
        of this run, and names it; over those of any recipe where the run draws no view.
    Shapes: at most ``images`` identity views, plain and through each transformation T, (n, D) each.
        One forward pass over them for each transformation, kept in the cache.
    Range: at most 1. 0 is as far as another image, and below 0 is further.
    Typical: measured here on 1,000 digits: their pixels at 8 x 8, color .73, flip .12, crop -.19, translate
        -.20, rotate -.91; a small untrained convolutional network at 32 x 32, blur .99, flip .08,
        color -.40, crop -.48, rotate -.77, solarize -.97.
    High: the embedding does not tell x from T x; what only T changes cannot be read from it.
    Low: T moves an image as far as another image is. The transformation of the recipe with the least
        value is the one that breaks alignment.
    Bias: of one transformation of order 1/n. The least of several estimates errs low where some are close.
        Crops are enlarged from the pixels that the encoder sees, so they are more blurred than in a recipe.
    Source: after Goodfellow et al., NeurIPS 2009, Section 3, with cosines of embeddings.
    """
    images = _chosen(inputs)
    plain = inputs.embeddings[images]
    try:
        random = random_cosine(plain)
    except ValueError as error:
        return {"": Estimate.not_applicable(str(error).rstrip("."))}
    if 1 - random <= _CONSTANT:
        return {"": Estimate.not_applicable(EQUAL)}
    names, size = listed(str(inputs.options["transforms"])), inputs.altered.size
    reasons = {name: impossible(name, size) for name in names}
    possible = {name: transform(name, inputs.seed) for name in names if not reasons[name]}
    changes = pixel_changes(inputs.altered, list(possible.values()), images)
    seen = dict(zip(possible, changes, strict=True))
    reasons |= {name: change.reason for name, change in seen.items() if change.nothing}
    rows = {
        name: _silent(name, reasons[name])
        if reasons[name]
        else _row(name, plain, inputs.altered.embedded(possible[name], images), seen[name])
        for name in names
    }
    return {"": _main(rows, set(inputs.transforms), len(images), random), **rows}


def _chosen(inputs: "MetricInputs") -> np.ndarray:
    """Indices of at most ``images`` images, ascending; the same for every encoder."""
    return np.sort(inputs.rng().permutation(len(inputs.embeddings))[: int(inputs.options["images"])])


def _row(name: str, plain: np.ndarray, changed: np.ndarray, pixels: PixelChange) -> Estimate:
    """The estimate of one transformation."""
    try:
        found = relative_invariance(plain, changed)
    except ValueError as error:
        return _silent(name, str(error).rstrip("."))
    return Estimate(
        value=found.value,
        interval=_interval(found, len(plain)),
        no_interval="" if found.error is not None else "two images give no jackknife",
        label=_label(name),
        minor=True,
        note=f"{name}: {TRANSFORMS[name].about}.",
        details={"cosine": found.own, "random_cosine": found.random, "pixels_moved": pixels.mean},
    )


def _silent(name: str, reason: str) -> Estimate:
    return Estimate(value=None, reason=reason, verdict="not-applicable", label=_label(name), minor=True)


def _label(name: str) -> str:
    return f"invariance to {name}"


def _interval(found: Invariance, n: int) -> Interval | None:
    if found.error is None:
        return None
    reach = gaussian.ppf(0.975) * found.error
    return Interval(
        low=found.value - reach,
        high=min(1.0, found.value + reach),
        method=f"Gaussian with the jackknife over {n:,} images; not the draws of the transformation",
    )


def _main(rows: Mapping[str, Estimate], drawn: set[str], images: int, random: float) -> Estimate:
    """The least invariant transformation of those ``drawn``, with all of them as bars."""
    values = {name: row.value for name, row in rows.items() if row.value is not None}
    if not values:
        reasons = "; ".join(f"{name}: {row.reason}" for name, row in rows.items())
        return Estimate.not_applicable(f"no transformation can be measured. {reasons}")
    of_any = [name for name in values if TRANSFORMS[name].recipe]
    of_run = [name for name in of_any if name in drawn]
    among = of_run or of_any or list(values)
    least = min(among, key=lambda name: values[name])
    rest = sorted((name for name in values if name != least), key=lambda name: values[name])
    others = ", ".join(f"{name} {number(values[name])}" for name in rest)
    left_out = [name for name in rows if name not in values]
    details: dict[str, Detail] = {
        "reading": f"{least}, least of the recipe's" if of_run else f"least: {least}",
        "least": least,
        "images": images,
        "random_cosine": random,
        **values,
    }
    return Estimate(
        value=values[least],
        interval=rows[least].interval,
        no_interval=rows[least].no_interval,
        bias="under" if len(among) > 1 else "none",
        note=f"{least} moves the embedding most of {_of_what(of_run, of_any)} "
        f"({TRANSFORMS[least].about}): 1 is invariant, 0 as far as another image. The least of "
        f"{len(among)} estimates, with its own interval; {images:,} images."
        + (f" The others: {others}." if others else "")
        + (f" Not measured: {', '.join(left_out)}." if left_out else ""),
        details=details,
        figures=(_bars({name: rows[name] for name in values}),),
    )


def _of_what(of_run: Sequence[str], of_any: Sequence[str]) -> str:
    if of_run:
        return "the terms of this run's recipe"
    return "the terms of recipes" if of_any else "all"


def _bars(rows: Mapping[str, Estimate]) -> Bars:
    values = {name: row.value or 0.0 for name, row in rows.items()}
    limits = [
        (row.interval.low, row.interval.high) if row.interval else (values[name],) * 2
        for name, row in rows.items()
    ]
    return Bars(
        title="invariance to each transformation",
        labels=list(rows),
        values=list(values.values()),
        value_label="1 invariant, 0 as far as another image",
        low=[low for low, _ in limits],
        high=[high for _, high in limits],
        note="At 1 a change of the image leaves its embedding where it is; at 0 it is as far as another.",
    )


def _unit(features: np.ndarray | Tensor) -> Tensor:
    """Rows of (n, D) divided by their norm, float64, where the features lie."""
    found = features if isinstance(features, Tensor) else torch.from_numpy(np.ascontiguousarray(features))
    rows = found.double()
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"features of shape {tuple(rows.shape)} have no pair of different images.")
    if not bool(rows.isfinite().all()):
        raise ValueError("some embeddings are not finite numbers.")
    norms = rows.norm(dim=1, keepdim=True)
    if zeros := int((norms == 0).sum()):
        raise ValueError(f"{zeros:,} of {len(rows):,} embeddings are exactly zero and have no direction.")
    unit: Tensor = rows / norms
    return unit


def _among(unit: Tensor, left_out: Literal[0, 1]) -> Tensor:
    """Mean cosine of pairs of different rows: (), or (n,) each without one row."""
    total, n = unit.sum(dim=0), len(unit) - left_out
    squared: Tensor = total.square().sum()
    if left_out:
        squared = squared - 2 * unit @ total + 1
    return (squared - n) / (n * (n - 1))
