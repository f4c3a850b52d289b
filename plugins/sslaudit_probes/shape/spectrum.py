"""The metric ``spectrum``: how many dimensions the embeddings use."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.figures import Curve, Series
from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate, Interval
from sslaudit_probes.shape.jackknife import FEWEST, block_interval
from sslaudit_probes.shape.power_law import PowerLaw, power_law
from sslaudit_probes.shape.ranks import (
    dimensions_for,
    effective_rank,
    nesum,
    participation_ratio,
    rankme,
    stable_rank,
)
from sslaudit_probes.shape.sample import Sample, draw
from sslaudit_probes.shape.singular_values import (
    both_singular_values,
    rounding_floor,
    spectra_without_blocks,
)

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

IMAGES_A_DIMENSION = 5
"""With fewer images for each dimension a note says so."""
POINTS = 60
"""Ranks that the figure shows at most."""
SHARES = (0.9, 0.99)

RANKME, STABLE_RANK, ALPHA = "RankMe", "stable rank, uncentred", "decay of the spectrum"
PAPERS = {"alpha": "alpha-ReQ", "nesum": "NESum"}
"""The paper's word of an estimate, where its label is a plainer one."""
CENTRED: dict[str, tuple[str, Callable[[np.ndarray], float]]] = {
    "effective-rank": ("effective rank, centred", effective_rank),
    "participation-ratio": ("participation ratio", participation_ratio),
    "nesum": ("total over top variance", nesum),
}
"""Labels and statistics of the eigenvalues of the covariance."""


@dataclass(frozen=True, slots=True)
class _Measured:
    sample: Sample
    uncentred: np.ndarray
    centred: np.ndarray
    floor: float
    """The singular value that rounding to float32 leaves."""
    without: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Both spectra with each block of images left out; empty where that says nothing."""
    no_interval: str
    """Why not; else empty."""
    ranks: tuple[int, int]
    """Where the power law is fitted, as asked for."""

    def law(self, centred: np.ndarray, *, weighted: bool = True) -> PowerLaw:
        """The power law of the eigenvalues above rounding."""
        values = np.where(centred > self.floor, centred, 0.0)
        return power_law(np.square(values), *self.ranks, weighted=weighted)


def compute(inputs: "MetricInputs") -> Estimate | dict[str, Estimate]:
    """The metric ``spectrum``: how many dimensions the embeddings use.

    Formula: RankMe exp(-sum p log p), p = sigma / sum(sigma) + 1e-7, of the singular values of the features
      as they are. With ``--all``, of the eigenvalues lambda of their covariance: effective rank (exp of the
      entropy of lambda / sum), participation ratio (sum lambda)^2 / sum lambda^2, NESum sum lambda /
      lambda_1, alpha-ReQ (slope of log lambda on log rank, weights 1 / rank, over the ranks that it
      states), and the dimensions that hold 90 and 99 % of the variance; and the stable rank
      ||X||_F^2 / ||X||_2^2 of the features as they are.
    Shapes: the identity view of at most ``images`` images, (N, D).
    Range: [1, min(N, D)] uncentred, [1, min(N - 1, D)] centred; both maxima stand in the details.
    Typical: measured on the 1,797 digits: pixels RankMe 29.6 of 64 and alpha 2.5, an untrained ReLU network
      48.8 of 128 and 1.7, Gaussian noise 127 of 128 and .19. Agrawal et al. find intervals of alpha in which
      encoders do well.
    High: near the maximum all directions carry equal weight. Noise does that, too: compare encoders of one
      training method with one N.
    Low: most directions carry little: dimensional collapse, to 1 where all embeddings are on one line.
    Bias: under: a sample has no more dimensions than images, and RankMe grows with N. The interval is for
      other samples of this N, not for more images. Measured in Gaussian and clustered worlds it covered
      92 % or more, with heavy tails (Student, 4 degrees) 80 to 93 %.
    Source: Garrido et al., ICML 2023; Jing et al., ICLR 2022; Agrawal et al., NeurIPS 2022; He and Ozay,
      ICML 2022.
    """
    sample = draw(inputs)
    if not bool(sample.rows.any()):
        return Estimate.not_applicable("all embeddings are zero")
    if sample.constant:
        return _with_papers(_collapsed(sample))
    uncentred, centred = both_singular_values(sample.rows)
    without = tuple(spectra_without_blocks(sample.rows)) if len(sample.rows) >= FEWEST else ()
    why = "" if without else f"fewer than {FEWEST} images"
    if not all(left.any() for _, left in without):
        without, why = (), "all variance is that of a few huge embeddings"
    measured = _Measured(
        sample=sample,
        uncentred=uncentred,
        centred=centred,
        floor=rounding_floor(uncentred),
        without=without,
        no_interval=why,
        ranks=(int(inputs.options["low"]), int(inputs.options["high"])),
    )
    return _with_papers(
        {
            "": _rankme(measured),
            **{name: _minor(measured, label, statistic) for name, (label, statistic) in CENTRED.items()},
            "stable-rank": _stable_rank(measured),
            "alpha": _alpha(measured),
            **{f"dimensions-{100 * share:g}": _dimensions(measured, share) for share in SHARES},
        }
    )


def _with_papers(estimates: dict[str, Estimate]) -> dict[str, Estimate]:
    return {name: replace(one, paper=PAPERS.get(name, "")) for name, one in estimates.items()}


def _collapsed(sample: Sample) -> dict[str, Estimate]:
    """What one vector for all images has: one dimension, and no variance to say more of."""
    labels = {name: label for name, (label, _) in CENTRED.items()}
    labels |= {
        "alpha": ALPHA,
        **{f"dimensions-{100 * share:g}": _dimensions_label(share) for share in SHARES},
    }
    one = Estimate(
        value=1.0,
        interval=Interval(low=1.0, high=1.0, method=f"degenerate: {len(sample.rows):,} equal embeddings"),
        label=RANKME,
        note=f"trivial: features are constant.{sample.said}",
        details={"images": len(sample.rows), "reading": "constant"},
    )
    return {
        "": one,
        "stable-rank": replace(one, label=STABLE_RANK, minor=True),
        **{name: _without_value("zero variance: all embeddings are equal", labels[name]) for name in labels},
    }


def _without_value(reason: str, label: str) -> Estimate:
    return Estimate(value=None, reason=reason, verdict="not-applicable", label=label, minor=True)


def _rankme(measured: _Measured) -> Estimate:
    n, dim = measured.sample.rows.shape
    value, most = rankme(measured.uncentred), len(measured.uncentred)
    details: dict[str, Detail] = {
        "images": n,
        "dimensions": dim,
        "images_a_dimension": n / dim,
        "maximum": most,
        "maximum_centred": len(measured.centred),
        "share_of_maximum": value / most,
        "rankme_eps_0": rankme(measured.uncentred, eps=0.0),
        "rankme_centred": rankme(measured.centred),
        "numerical_rank": int((measured.uncentred > measured.floor).sum()),
        "numerical_rank_centred": int((measured.centred > measured.floor).sum()),
        "reading": f"of at most {most:,}",
    }
    return Estimate(
        value=value,
        interval=_interval(measured, value, lambda u, _: rankme(u), most),
        no_interval=measured.no_interval,
        bias="under",
        label=RANKME,
        note=_note(measured),
        details=details,
        figures=(_figure(measured),),
    )


def _note(measured: _Measured) -> str:
    n, dim = measured.sample.rows.shape
    note = "Dimensions in use, from uncentred singular values; compare encoders of one method with equal N."
    if n < IMAGES_A_DIMENSION * dim:
        note += (
            f" {n:,} images for {dim:,} dimensions are fewer than {IMAGES_A_DIMENSION} a dimension: "
            "more images would give a higher value."
        )
    return note + measured.sample.said


def _minor(measured: _Measured, label: str, statistic: Callable[[np.ndarray], float]) -> Estimate:
    """A rank of the covariance, as a row of its own."""
    value, most = statistic(np.square(measured.centred)), len(measured.centred)
    return Estimate(
        value=value,
        interval=_interval(measured, value, lambda _, centred: statistic(np.square(centred)), most),
        no_interval=measured.no_interval,
        bias="under",
        label=label,
        details={"maximum": most, "reading": f"of at most {most:,}"},
        minor=True,
    )


def _stable_rank(measured: _Measured) -> Estimate:
    value, most = stable_rank(measured.uncentred), len(measured.uncentred)
    return Estimate(
        value=value,
        interval=_interval(measured, value, lambda uncentred, _: stable_rank(uncentred), most),
        no_interval=measured.no_interval,
        bias="under",
        label=STABLE_RANK,
        note="Near 1 where the mean of the embeddings outweighs their differences.",
        details={"maximum": most, "reading": f"of at most {most:,}"},
        minor=True,
    )


def _interval(
    measured: _Measured, value: float, statistic: Callable[[np.ndarray, np.ndarray], float], most: int
) -> Interval | None:
    if not measured.without:
        return None
    return block_interval(value, [statistic(*pair) for pair in measured.without], 1.0, most)


def _dimensions(measured: _Measured, share: float) -> Estimate:
    value = dimensions_for(np.square(measured.centred), share)
    interval = None
    if measured.without:
        parts = block_interval(
            value,
            [dimensions_for(np.square(c), share) for _, c in measured.without],
            0.0,
            len(measured.centred),
        )
        interval = Interval(low=max(1, math.ceil(parts.low)), high=math.ceil(parts.high), method=parts.method)
    return Estimate(
        value=math.ceil(value),
        interval=interval,
        no_interval=measured.no_interval,
        bias="under",
        label=_dimensions_label(share),
        note=f"The fewest principal components that hold {100 * share:g} % of the variance.",
        details={"maximum": len(measured.centred), "reading": f"of at most {len(measured.centred):,}"},
        minor=True,
    )


def _dimensions_label(share: float) -> str:
    return f"dimensions, {100 * share:g} % of var."


def _alpha(measured: _Measured) -> Estimate:
    try:
        law = measured.law(measured.centred)
    except ValueError as error:
        return _without_value(str(error), ALPHA)
    plain = measured.law(measured.centred, weighted=False)
    interval, why = None, measured.no_interval
    if measured.without:
        without = [_alpha_or_none(measured, centred) for _, centred in measured.without]
        why = "with a block of images left out too few positive eigenvalues remain"
        if None not in without:
            interval, why = block_interval(law.alpha, np.array(without, dtype=float)), ""
    return Estimate(
        value=law.alpha,
        interval=interval,
        no_interval=why,
        bias="over",
        label=ALPHA,
        unit="exponent",
        note=f"Decay of the spectrum over ranks {law.low} to {law.high}: eigenvalues fall as rank^-alpha. "
        "With few images a dimension it errs upwards.",
        details={
            "r2": law.r2,
            "low": law.low,
            "high": law.high,
            "alpha_unweighted": plain.alpha,
            "r2_unweighted": plain.r2,
            "reading": f"{law.low}-{law.high}, R2 {number(law.r2)}",
        },
        minor=True,
    )


def _alpha_or_none(measured: _Measured, centred: np.ndarray) -> float | None:
    try:
        return measured.law(centred).alpha
    except ValueError:
        return None


def _figure(measured: _Measured) -> Curve:
    """Both spectra and the fitted line, above what rounding leaves."""
    series = [
        _series("centred: eigenvalues of the covariance", measured.centred, measured),
        _series("uncentred: squared singular values", measured.uncentred, measured),
    ]
    try:
        law = measured.law(measured.centred)
    except ValueError:
        return _curve(series)
    total = math.log10(float(np.square(measured.centred).sum()))
    ends = [law.low, law.high]
    series.append(
        Series(
            name=f"power law, alpha {law.alpha:.2f}",
            x=np.log10(ends).tolist(),
            y=[law.log_scale / math.log(10) - law.alpha * math.log10(rank) - total for rank in ends],
        )
    )
    return _curve(series)


def _curve(series: list[Series]) -> Curve:
    return Curve(
        title="spectrum: share of each dimension in the sum",
        note="Both axes are logarithms: the faster a line falls, the fewer dimensions carry the embedding.",
        x_label="log10 of rank",
        y_label="log10 of share",
        series=series,
    )


def _series(name: str, values: np.ndarray, measured: _Measured) -> Series:
    last = max(1, int((values > measured.floor).sum()))
    ranks = np.unique(np.geomspace(1, last, POINTS).astype(int)) if last > POINTS else np.arange(1, last + 1)
    shares = np.square(values[ranks - 1]) / np.square(values).sum()
    return Series(name=name, x=np.log10(ranks).tolist(), y=np.log10(shares).tolist())
