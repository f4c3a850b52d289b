"""The metric ``predictor-gap``: two bounds of how far an encoder misses criterion C2."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate, Interval
from sslaudit.stats import bootstrap_mean
from sslaudit_theory.metrics.pretext_pairs import chosen_images
from sslaudit_theory.pretext.predictor import PredictorGap, predictor_gap

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``predictor-gap``: how far at least a linear predictor on f(x) misses the best one (C2).

    Formula: R(f) - R(g), R(f) = E ||y - W* f||^2 with y the one-hot label and W* by least squares with
        intercept, g the best reference at hand (nearest neighbours, a small perceptron). It bounds the
        violation R(f) - min_f' R(f') of C2 from below; R(f) on held-out images bounds it from above.
    Shapes: embeddings (n, D) of at most ``images`` images, labels and split.
    Range: from 0; the upper bound stays below the variance of the labels, 1 - sum_k p_k^2, for a predictor
        that is better than none.
    Typical: the SimCLR encoder of ``sslaudit demo`` has .076, at most .135, the Barlow Twins encoder .087,
        the untrained copy .125, at most .274 (digits, ten classes, variance .900).
    High: the classes are in f but not linearly: a nonlinear head gains as much.
    Low: with a low upper bound a linear head does about what can be done; with a high one no reference at
        hand does better, and C2 stays open, since the minimum is not known.
    Bias: under: R(f) is fitted in-sample and errs low, the reference is chosen on training images and errs
        high. With no more images than dimensions the bound is void.
    Source: Teng et al., AISTATS 2022, Criterion C2; the bounds are own derivations.
    """
    chosen = chosen_images(inputs, int(inputs.options["images"]))
    rng = inputs.rng()
    try:
        gap = predictor_gap(
            inputs.embeddings[chosen], inputs.labels[chosen], np.isin(chosen, inputs.train), rng
        )
    except ValueError as error:
        return Estimate.not_applicable(str(error).rstrip("."))
    return gap_estimate(gap, rng)


def gap_estimate(gap: PredictorGap, rng: np.random.Generator) -> Estimate:
    """What both bounds say: the one from below, not less than 0, and the upper limit of the other one."""
    raw, linear = bootstrap_mean(gap.difference, rng), bootstrap_mean(gap.linear, rng)
    return Estimate(
        value=max(0.0, gap.lower),
        interval=None if gap.void else _not_negative(raw),
        no_interval=_no_interval(gap, raw),
        claim="lower-bound",
        bias="under",
        note=_note(gap),
        details={
            "reading": f"at most {number(linear.high)}",
            "lower_raw": gap.lower,
            "lower_raw_low": raw.low,
            "lower_raw_high": raw.high,
            "upper": gap.upper,
            "upper_high": linear.high,
            "linear_residual": gap.upper,
            "linear_residual_in_sample": gap.least_squares.mean(),
            "best_reference": gap.best.name,
            "best_reference_residual": gap.best.held_out.mean(),
            **{f"residual_{one.name}": one.held_out.mean() for one in gap.references},
            **_explained(gap),
            "penalty": gap.penalty,
            "n": gap.images,
            "n_train": gap.images - len(gap.linear),
            "dim": gap.dim,
            "void": gap.void,
        },
    )


def _explained(gap: PredictorGap) -> dict[str, Detail]:
    """The same as shares of what class frequencies leave."""
    return {
        "variance": gap.variance,
        "r2_linear": 1 - gap.upper / gap.variance,
        "r2_linear_in_sample": 1 - gap.least_squares.mean() / gap.variance,
        "r2_best_reference": 1 - gap.best.held_out.mean() / gap.variance,
        "r2_gap": max(0.0, gap.lower) / gap.variance,
    }


def _no_interval(gap: PredictorGap, raw: Interval) -> str:
    if gap.void:
        return f"void: {gap.images:,} images in {gap.dim:,} dimensions fit any labels"
    return "" if raw.low >= 0 or raw.high > 0 else "the bound is 0: no reference beats the features"


def _not_negative(raw: Interval) -> Interval | None:
    """The part of ``raw`` that is not below 0, where there is any."""
    if raw.low >= 0:
        return raw
    if raw.high <= 0:
        return None
    method = f"{raw.method}; not below 0"
    return replace(raw, low=0.0, high=max(0.0, raw.high), method=method)


def _note(gap: PredictorGap) -> str:
    low, high = number(float(gap.least_squares.mean())), number(gap.upper)
    name, best = gap.best.name.replace("_", " "), number(float(gap.best.held_out.mean()))
    said = (
        "C2 is not certified: of the squared error of the one-hot label the best linear predictor on f "
        f"leaves between {low} (fitted in-sample, errs low) and {high} (held out, errs high), the best "
        f"reference at hand ({name}) leaves {best}, and how little any predictor could leave is not known"
    )
    if gap.void:
        said += (
            f"; {gap.images:,} images in {gap.dim:,} dimensions fit any labels: the bound from below is void"
        )
    return f"{said}."
