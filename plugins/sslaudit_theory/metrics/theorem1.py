"""The metric ``theorem1``: a ladder from Theorem 1 as printed to the error as measured.

Each rung is a bound on the error of the nearest-centre classifier, or says why there is none. Only rungs
whose every input is a confidence limit on its safe side are certificates; the others are estimates. What
holds an encoder back is read from the decomposition of its second moments, since the smallest rho blames
concentration for every encoder.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.results import Detail, Estimate
from sslaudit.stats import clopper_pearson
from sslaudit_theory.certificates.lipschitz import empirical_lipschitz
from sslaudit_theory.classes.spread import HeldBack, cantelli_bound, cantelli_pairs, cdnv_bound
from sslaudit_theory.metrics.ladder.checks import refuse_impossible
from sslaudit_theory.metrics.ladder.figures import confusions, margins, moments, waterfall
from sslaudit_theory.metrics.ladder.headline import (
    centred_held_back,
    guarantee,
    held_back,
    held_back_details,
    sentence,
)
from sslaudit_theory.metrics.ladder.inputs import Measured, chosen_images, concentration_of, measured
from sslaudit_theory.metrics.ladder.limits import certified, certified_constant, certified_l
from sslaudit_theory.metrics.ladder.rungs import Rung, Space, measured_q, per_class, printed, sharp
from sslaudit_theory.metrics.ladder.sets import good_sets
from sslaudit_theory.metrics.ladder.words import (
    LABELS,
    moment_estimate,
    not_computable,
    rung_estimate,
    withdrawn,
)
from sslaudit_theory.norms import normed_views
from sslaudit_theory.sigma.splits import Concentration

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

_SECANTS = 384
"""Views at most whose pairs give the empirical L."""

_VARYING = "norms may vary (norm=as-is), and the printed condition needs one norm r"
_LONE = "a class has one training image, so Delta_mu has no unbiased estimate"
_LARGEST = "r is the largest norm that was seen (norm=as-is), which is no limit"


def compute(inputs: "MetricInputs") -> Estimate | Mapping[str, Estimate]:
    """The metric ``theorem1``: bounds on the error of the nearest-centre classifier, from the printed one on.

    Formula: rho = 2 (1 - sigma) + R_eps / min_l p_l + sigma (L delta + 2 eps) / r. If for all pairs of
        classes mu_l . mu_k < r^2 (1 - rho - sqrt(2 rho) - Delta_mu / 2), then Err <= (1 - sigma) + R_eps. eps
        and delta are those that come nearest to it. The other rungs: per class, a sharper condition,
        distances of features, counted good images, confidence limits alone, Chebyshev and Cantelli bounds,
        the error as measured. ``sslaudit report CARD --explain theorem1`` writes it out with the numbers.
    Shapes: the views (n, V, D) and their pixels, of at most ``images`` of each class and split; labels and
        split.
    Range: 0 to 1, an error; no value where a condition is not met. A bound no better than always naming the
        largest class is vacuous.
    Typical: none. The SimCLR encoder of ``sslaudit demo`` has rho = 2.08 where .014 is allowed, its
        projection 2.05 where .168 is, at measured errors of .056 and .037; the condition never allows more
        than .764.
    High: a bound that holds and guarantees little; nothing once always naming the largest class errs no more.
    Low: a guarantee close to the error as measured; only ``feature space, certified`` and a certified L rest
        on confidence limits alone, the other rungs are estimates.
    Bias: depends on the rung, which names its inputs. Cliques and an empirical L are optimistic, limits
        conservative. A condition that is not met says nothing against an encoder.
    Source: Huang et al., ICLR 2023, Theorem 1 and Lemma 3.2; the sharper, feature-space and certified
        conditions are own derivations, checked numerically.
    """
    if inputs.labels_if_any is None:
        return Estimate.not_applicable("the data has no labels")
    normed = normed_views(inputs)
    if normed.r == 0:
        return Estimate.not_applicable("all embeddings are zero")
    chosen = chosen_images(inputs, normed)
    if len(chosen.names) < 2:
        return Estimate.not_applicable("fewer than two classes have images in both splits")
    world = measured(chosen)
    pixels = concentration_of(inputs, "concentration", chosen)
    features = concentration_of(inputs, "feature-concentration", chosen)
    rungs = _rungs(inputs, world, pixels, features)
    constant = certified_constant(inputs, world)
    if not isinstance(pixels, str) and not isinstance(constant, str):
        rungs["certified-L"] = certified_l(world, pixels, *constant)

    estimates = {
        name: not_computable(name, rung)
        if isinstance(rung, str)
        else replace(rung_estimate(name, rung, world), figures=(waterfall(rung),))
        for name, rung in rungs.items()
    }
    error = _measured_error(world)
    if error.interval is not None:
        estimates = {name: withdrawn(estimate, error.interval.low) for name, estimate in estimates.items()}
    estimates |= {**_moments(world), "measured": error}
    refuse_impossible(
        estimates,
        concentrations=[found for found in (pixels, features) if isinstance(found, Concentration)],
        parts=world.parts,
    )
    left_out = constant if isinstance(constant, str) else "" if "certified-L" in rungs else str(pixels)
    driver = inputs.results["alignment"].details.get("driver") if "alignment" in inputs.results else None
    centred = centred_held_back(inputs, world)
    estimates[""] = _first(estimates, rungs, world, left_out, centred, str(driver or ""))
    return {name: estimates[name] for name in LABELS if name in estimates}


def _rungs(
    inputs: "MetricInputs", world: Measured, pixels: Concentration | str, features: Concentration | str
) -> dict[str, Rung | str]:
    """Every rung that has a condition, or the reason why it cannot be computed."""
    as_is = world.chosen.normed.norm == "as-is"
    delta_mu = None if as_is else world.delta_mu
    no_delta = _VARYING if as_is else _LONE

    rungs: dict[str, Rung | str] = {}
    space = _in_pixels(inputs, world, pixels)
    wide: tuple[tuple[str, Callable[[Measured, Space, float], Rung]], ...] = (
        ("", printed),
        ("per-class", per_class),
    )
    for name, rung in wide:
        if delta_mu is None:
            rungs[name] = no_delta
        else:
            rungs[name] = space if isinstance(space, str) else rung(world, space, delta_mu)
    rungs["sharp"] = space if isinstance(space, str) else sharp(world, space)
    if isinstance(features, str):
        rungs |= dict.fromkeys(("feature-space", "certified", "measured-q"), features)
    else:
        sets = good_sets(inputs, world, features)
        rungs["feature-space"] = sharp(world, Space(features), delta_mu)
        rungs["measured-q"] = measured_q(world, sets)
        rungs["certified"] = _LARGEST if as_is else certified(world, sets)
    return rungs


def _in_pixels(inputs: "MetricInputs", world: Measured, pixels: Concentration | str) -> Space | str:
    """Distances of pixels with the empirical L of a few images of each class."""
    if isinstance(pixels, str):
        return pixels
    chosen = world.chosen
    _, views, _ = chosen.normed.shape
    train = np.flatnonzero(~chosen.test)
    # The first training image of every class, then the second ones.
    labels = chosen.labels[train]
    by_class = np.argsort(labels, kind="stable")
    place = np.arange(len(train)) - np.repeat(*_starts(labels))
    few = train[by_class[np.argsort(place, kind="stable")][: max(2, _SECANTS // views)]]
    images = chosen.images[np.sort(few)]
    seen = inputs.pixel_views.of(images.tolist()).flatten(2).cpu().numpy()
    try:
        return Space(pixels, empirical_lipschitz(chosen.normed.read(images), seen).value)
    except ValueError as error:
        return f"no empirical L: {error}"


def _starts(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each class starts when they are sorted, and its size."""
    sizes = np.bincount(labels)
    return np.cumsum(sizes) - sizes, sizes


def _moments(world: Measured) -> dict[str, Estimate]:
    parts, p = world.parts, world.chosen.p
    chebyshev, cantelli = cdnv_bound(parts), cantelli_bound(parts)
    align, inner = float(p @ parts.alignment) / 2, float(p @ parts.concentration)
    return {
        "cdnv": _with(
            moment_estimate("cdnv", chebyshev, world),
            {"V": float(p @ parts.variance), "half_alignment": align, "concentration": inner},
            moments(world) if parts.distances.any() else None,
        ),
        "cantelli": _with(
            moment_estimate("cantelli", cantelli, world),
            {"best_of_both": float(p @ np.minimum(chebyshev, cantelli))},
            confusions(cantelli_pairs(parts), world),
        ),
    }


def _with(estimate: Estimate, details: Mapping[str, Detail], figure: object) -> Estimate:
    shown = () if figure is None else (figure,)
    return replace(estimate, details={**estimate.details, **details}, figures=shown)  # type: ignore[arg-type]


def _measured_error(world: Measured) -> Estimate:
    wrong = world.wrong[world.chosen.test]
    plain = wrong[:, 0]
    return Estimate(
        value=plain.mean(),
        interval=clopper_pearson(int(plain.sum()), len(plain)),
        claim="measured",
        label=LABELS["measured"],
        note="of the plain test images, with the centres of the training images",
        details={
            "error": float(plain.mean()),
            "random_views": float(wrong[:, 1:].mean()) if wrong.shape[1] > 1 else None,
            "tested": len(plain),
            "classes": len(world.chosen.names),
            "classes_left_out": world.chosen.left_out,
            "norm": world.chosen.normed.norm,
            "from": "centres: training images and their views; error: view 0 of the test images",
        },
    )


def _first(
    estimates: Mapping[str, Estimate],
    rungs: Mapping[str, Rung | str],
    world: Measured,
    left_out: str,
    centred: HeldBack | None,
    driver: str,
) -> Estimate:
    """The theorem as printed, with what stands for the whole ladder.

    ``left_out`` says why there is no certified L, ``centred`` what holds back without the mean
    of all images, ``driver`` which transform moves views most.
    """
    first, rung = estimates[""], rungs[""]
    details = {**first.details, **held_back_details(world, centred)}
    if left_out:
        details["certified_L"] = left_out
    return replace(
        first,
        note=sentence(first, world),
        headline={"HELD BACK": held_back(world, centred, driver), "GUARANTEE": guarantee(estimates, rungs)},
        details=details,
        figures=() if isinstance(rung, str) else (*first.figures, margins(rung, world)),
    )
