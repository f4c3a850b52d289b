"""The metric ``downstream-sufficiency``: whether the labels at hand are enough to refine the encoder."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.figures import Curve, Series
from sslaudit.results import Detail, Estimate, Interval
from sslaudit.stats import clopper_pearson, paired_difference
from sslaudit_theory.metrics.pretext_pairs import Pairs, of_targets
from sslaudit_theory.pretext.sufficiency import AtSize, Sufficiency, refining, rule

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


def compute(inputs: "MetricInputs") -> dict[str, Estimate]:
    """The metric ``downstream-sufficiency``: does refining f with the labels at hand lower the error?

    Formula: error of a ridge head on f refined by minimising L(f; P) with n0 labels, minus its error on f as
        it is, at all labels there are; the figure has smaller n0. Refining sees the leading components of f.
    Shapes: embeddings (n, D) of what the encoder sees and targets z (n, d_z) of at most ``images`` images;
        labels and split. For the first target of ``z`` only.
    Range: -1 to 1, a difference of errors; no label at all can lower the error by more than it is.
    Typical: -.006 [-.017, .006] for the SimCLR encoder of ``sslaudit demo``, -.002 for the Barlow Twins
        encoder, -.006 for the untrained copy (digits, 1,258 labels in 128 dimensions): no gain shown.
    High: above 0 refining harms. With no more labels than dimensions they are fitted as well when they are
        wrong, so what refining removes is what f knows of z, and with it of y.
    Low: below 0 the labels at hand improve f. Take it only where the whole interval is below 0.
    Bias: unknown for other training images: the interval is about held-out images, at the training images at
        hand.
    Source: Teng et al., AISTATS 2022, Theorem 3; the rule and the measurement are own derivations.
    """
    lam = float(inputs.options["lam"])
    return of_targets(
        inputs, lambda pairs: {pairs[0].target: sufficiency_of(pairs[0], inputs.rng(), lam=lam)}
    )


def sufficiency_of(pairs: Pairs, rng: np.random.Generator, *, lam: float) -> Estimate:
    """Errors with and without refining at several numbers of labels, and what to do with the labels."""
    try:
        found = refining(pairs.f, pairs.z, pairs.labels, pairs.train, rng, lam=lam)
    except ValueError as error:
        return Estimate.not_applicable(str(error).rstrip("."))
    compared = [_compared(size, rng) for size in found.sizes]
    last, most = compared[-1], found.sizes[-1].n0
    return Estimate(
        value=last.difference,
        interval=last.interval,
        label="refining with labels",
        note=_note(found, pairs, lam),
        headline={"REFINING": verdict(found, last)},
        details={
            "reading": f"{most / found.dim:.3g} labels a dimension",
            "rule": rule(most, found.dim),
            "n0": most,
            "d_f": found.dim,
            "embedding": pairs.f.shape[1],
            "kept": found.kept,
            "refined": found.refined,
            "lam": lam,
            **{
                name: value for place, one in enumerate(compared, 1) for name, value in one.row(place).items()
            },
        },
        figures=(_figure(compared),),
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """Mean errors at one number of labels; the difference is that of refining minus not."""

    n0: int
    plain: float
    refined: float
    difference: float
    interval: Interval

    def row(self, place: int) -> dict[str, Detail]:
        """The numbers as details of row ``place`` of a table."""
        return {
            f"n0_{place}": self.n0,
            f"error_plain_{place}": self.plain,
            f"error_refined_{place}": self.refined,
            f"difference_{place}": self.difference,
            f"difference_low_{place}": self.interval.low,
            f"difference_high_{place}": self.interval.high,
        }


def verdict(found: Sufficiency, last: Compared) -> str:
    """Whether to refine with all labels that there are, in one sentence."""
    n0, d_f = last.n0, found.dim
    where = f"the {found.kept} leading ones" if found.kept < d_f else "them"
    change, low, high = (
        f"{100 * value:+.1f}" for value in (last.difference, last.interval.low, last.interval.high)
    )
    measured = f"changes the error of a linear head by {change} points [{low}, {high}]"
    if n0 <= d_f:
        helps = last.interval.high < 0
        return (
            f"{'yes, with care' if helps else 'do not'}: in {d_f:,} dimensions {n0:,} labels are fitted as "
            f"well when they are wrong{', yet' if helps else ';'} refining {where} {measured}"
        )
    with_labels = f"with {n0:,} labels ({n0 / d_f:.1f} x {d_f:,} dimensions) refining {where}"
    if last.interval.low > 0:
        return f"do not: {with_labels} {measured}"
    if last.interval.high < 0:
        return f"yes: {with_labels} {measured}"
    return f"no gain shown, so do not: {with_labels} {measured}"


def _compared(size: AtSize, rng: np.random.Generator) -> Compared:
    difference, interval = paired_difference(size.refined, size.plain, rng)
    if not (size.refined != size.plain).any():  # a bootstrap of zeros would claim certainty
        most = clopper_pearson(0, len(size.plain)).high
        interval = Interval(
            low=-most,
            high=most,
            method=f"Clopper-Pearson limit of the share of images told apart, none of {len(size.plain):,} is",
        )
    return Compared(size.n0, size.plain.mean(), size.refined.mean(), difference, interval)


def _note(found: Sufficiency, pairs: Pairs, lam: float) -> str:
    held_out = len(found.sizes[-1].plain)
    whole = found.kept == pairs.f.shape[1]
    what = "f is" if whole else f"the {found.kept} leading components of f are"
    return (
        f"Change of the error of a ridge head on {held_out:,} held-out images when {what} refined to "
        f"{found.refined} dimensions by minimising L(f; P), z = {pairs.target}, lambda = {lam:g}, with the "
        "labels that the head sees; above 0 refining harms. The interval is about held-out images, at these "
        f"training images. By dimensions alone: {rule(found.sizes[-1].n0, found.dim)}."
    )


def _figure(compared: list[Compared]) -> Curve:
    n0 = [one.n0 for one in compared]
    return Curve(
        title="error on held-out images with refining or without",
        x_label="n0, labelled training images",
        y_label="error",
        series=(
            Series(name="f as it is", x=n0, y=[one.plain for one in compared]),
            Series(name="f refined with the same labels", x=n0, y=[one.refined for one in compared]),
        ),
        note="Refining helps where its line lies below the other one.",
    )
