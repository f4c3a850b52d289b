"""The metric ``pretext-loss``: L(f; P) of an encoder as it is, with C1 and C2 themselves beside it.

    L(f; P) = E [ ||y - W*_y f||^2 - lambda ||z - W*_z f||^2 ],  lambda > 0

* y is the one-hot label and z the pretext target in units in which its total variance over the training
  images is 1, so one lambda means the same for every target and both parts are at most about 1.
* Both W* have an intercept. The original has uncentred moments and none; with one, adding a constant to f
  changes nothing.
* The value is that of held-out images, with W* from training images by ridge: least squares blows up where
  these are hardly more than the dimensions. Both parts then err high. In-sample, by least squares, both err
  low. The sign of the error of their difference is not known.
* L is a surrogate. Where z depends on y and on more, its minimiser violates C1 and C2, however many samples
  there are, unless lambda goes to 0. A small L therefore says neither that C1 nor that C2 holds.

Source: Teng et al., AISTATS 2022, the loss L(f; P); its minimiser: own derivation, checked numerically.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from sslaudit.figures import Curve, Series
from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate
from sslaudit.stats import bootstrap_mean
from sslaudit_theory.metrics.pretext_pairs import Pairs, of_targets
from sslaudit_theory.pretext.predictor import (
    checked_images,
    finite_rows,
    linear_errors,
    one_hot,
    ridge_errors,
)

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

LAMBDAS = (0.02, 0.1, 0.5)

_CONSTANT = 1e-12
"""Variance, relative to the mean square, that is rounding of single-precision numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The two parts of L(f; P), without lambda."""

    label: np.ndarray
    """(m,) ||y - W*_y f||^2 of each held-out image."""
    pretext: np.ndarray
    """(m,) ||z - W*_z f||^2 of each held-out image."""
    label_in_sample: float
    """The mean over the training images that W* was fitted on, by least squares."""
    pretext_in_sample: float

    def losses(self, lam: float) -> np.ndarray:
        """(m,) whose mean is L(f; P)."""
        each: np.ndarray = self.label - lam * self.pretext
        return each

    def in_sample(self, lam: float) -> float:
        """L(f; P) on the training images."""
        return self.label_in_sample - lam * self.pretext_in_sample


def pretext_terms(y: ArrayLike, z: ArrayLike, features: ArrayLike, train: ArrayLike) -> Terms:
    """Squared errors of y (n, d_y) and z (n, d_z) by the best linear predictors on ``features`` (n, d).

    Both have an intercept and are fitted where ``train`` (n,) is true: by ridge for held-out images, by least
    squares for in-sample means. Raises ``ValueError`` for shapes that do not fit, no images on either side,
    and values that are not finite.
    Source: Teng et al., AISTATS 2022, the loss L(f; P).
    """
    fitted = np.asarray(train, dtype=bool)
    f = finite_rows(features, "features", len(fitted))
    if fitted.all() or not fitted.any():
        raise ValueError("there are no held-out images." if fitted.all() else "there are no training images.")
    parts = [finite_rows(values, name, len(f)) for name, values in (("y", y), ("z", z))]
    label, pretext = (ridge_errors(part, f, fitted)[~fitted] for part in parts)
    in_sample = [float(linear_errors(part, f, fitted)[fitted].mean()) for part in parts]
    return Terms(label=label, pretext=pretext, label_in_sample=in_sample[0], pretext_in_sample=in_sample[1])


def compute(inputs: "MetricInputs") -> dict[str, Estimate]:
    """The metric ``pretext-loss``: L(f; P), the objective that refines features, of an encoder as it is.

    Formula: E ||y - W*_y f||^2 - lam E ||z - W*_z f||^2, y the one-hot label, z of total variance 1, both W*
        by ridge with intercept from the training images, the value that of held-out images.
    Shapes: embeddings (n, D) of what the encoder sees and targets z (n, d_z) of at most ``images`` images;
        labels and split.
    Range: about -lam to 1: both parts are at most about 1, more only where a fit is worse than the mean.
    Typical: at lam = 0.02 and z = disjoint-crop the SimCLR encoder of ``sslaudit demo`` has .389 (label part
        .403, pretext part .689), the Barlow Twins encoder .393, the untrained copy .419 (digits).
    High: little of the label can be read linearly from f where it sees the image without z.
    Low: f tells the label, or less of z. Neither C1 nor C2 follows: where z depends on y and on more, the
        minimiser violates both unless lam goes to 0. The details hold C1 and C2 as measured.
    Bias: unknown: on held-out images both parts err high, and they are subtracted.
    Source: Teng et al., AISTATS 2022, the objective L(f; P).
    """
    lam, results = float(inputs.options["lam"]), inputs.results
    return of_targets(inputs, lambda pairs: estimates(pairs, results, lam=lam, rng=inputs.rng()))


def estimates(
    pairs: Sequence[Pairs], results: Mapping[str, Estimate], *, lam: float, rng: np.random.Generator
) -> dict[str, Estimate]:
    """By target; ``results`` are those of ``ci-condition`` and ``predictor-gap``, by name and target."""
    return {one.target: _estimate(one, results, lam, rng) for one in pairs}


def _estimate(
    pairs: Pairs, results: Mapping[str, Estimate], lam: float, rng: np.random.Generator
) -> Estimate:
    paper = f"L(f; P), z = {pairs.target}"
    try:
        f, own, fitted = checked_images(pairs.f, pairs.labels, pairs.train)
        z = _unit_variance(finite_rows(pairs.z, "z", len(f)), fitted)
        terms = pretext_terms(one_hot(own, len(pairs.names)), z, f, fitted)
    except ValueError as error:
        return Estimate(value=None, reason=str(error).rstrip("."), verdict="not-applicable", paper=paper)
    said = _beside(pairs.target, results)
    n_train, dim = int(fitted.sum()), f.shape[1]
    details: dict[str, Detail] = {
        "reading": "surrogate of C1 and C2",
        "lam": lam,
        "label_term": terms.label.mean(),
        "pretext_term": terms.pretext.mean(),
        "in_sample": terms.in_sample(lam),
        "label_term_in_sample": terms.label_in_sample,
        "pretext_term_in_sample": terms.pretext_in_sample,
        **{f"loss_{each:g}": terms.losses(each).mean() for each in LAMBDAS},
        **{f"in_sample_{each:g}": terms.in_sample(each) for each in LAMBDAS},
        **said,
        "intercept": True,
        "n_train": n_train,
        "dim": dim,
        "target_dim": z.shape[1],
    }
    return Estimate(
        value=terms.losses(lam).mean(),
        interval=bootstrap_mean(terms.losses(lam), rng),
        bias="unknown",
        paper=paper,
        note=_note(lam, n_train, dim, said),
        details=details,
        figures=(_figure(terms, lam, rng),),
    )


def _beside(target: str, results: Mapping[str, Estimate]) -> dict[str, Detail]:
    """C1 and C2 as the metrics that measure them say, None where they do not."""
    c1 = results.get(f"ci-condition.{target}", results.get("ci-condition"))
    c2 = results.get("predictor-gap")
    return {
        "c1": None if c1 is None else (c1.reason or c1.details.get("reading")),
        "c1_effect": None if c1 is None else c1.value,
        "c2": None if c2 is None else (c2.reason or _between(c2)),
        "c2_lower": None if c2 is None else c2.value,
        "c2_upper": None if c2 is None else c2.details.get("upper"),
    }


def _between(c2: Estimate) -> str:
    """By the limits of both bounds."""
    lower, upper = c2.interval.low if c2.interval else 0.0, c2.details.get("upper_high")
    return f"on plain images missed by {number(lower)} at least" + (
        f" and {number(float(upper))} at most" if isinstance(upper, float) else ""
    )


def _note(lam: float, n_train: int, dim: int, said: Mapping[str, Detail]) -> str:
    note = (
        f"L(f; P) at lambda = {lam:g} on held-out images, W* by ridge with intercept from {n_train:,} "
        f"training images in {dim:,} dimensions, z of total variance 1."
    )
    if n_train <= dim + 1:
        note += " In-sample so few images fit any labels."
    note += "".join(f" {_sentence(name, said[name.lower()])}" for name in ("C1", "C2"))
    return (
        f"{note} L is a surrogate: where z depends on y and on more, its minimiser violates both, so a small "
        "L says neither."
    )


def _sentence(name: str, said: Detail) -> str:
    text = str(said or "not measured").rstrip(".")
    return f"{text}." if text.startswith(name) else f"{name}: {text}."


def _unit_variance(z: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """z about its mean, of total variance 1 over the training images."""
    offset = z - z[fitted].mean(axis=0)
    total = float(np.square(offset[fitted]).sum(axis=1).mean())
    if total <= _CONSTANT * np.square(z[fitted]).sum(axis=1).mean():
        raise ValueError("z is constant on the training images.")
    scaled: np.ndarray = offset / np.sqrt(total)
    return scaled


def _figure(terms: Terms, lam: float, rng: np.random.Generator) -> Curve:
    grid = sorted({*LAMBDAS, lam})
    limits = [bootstrap_mean(terms.losses(each), rng) for each in grid]
    label, pretext = float(terms.label.mean()), float(terms.pretext.mean())
    return Curve(
        title="L(f; P) and its parts on held-out images",
        x_label="lambda",
        y_label="squared error",
        series=(
            Series(
                name="L(f; P), 95 %",
                x=grid,
                y=[label - each * pretext for each in grid],
                low=[limit.low for limit in limits],
                high=[limit.high for limit in limits],
            ),
            Series(name="label part", x=grid, y=[label] * len(grid)),
            Series(name="pretext part, times lambda", x=grid, y=[each * pretext for each in grid]),
        ),
        note="L is the label part less the pretext part, which counts more the larger lambda is.",
    )
