"""The metric ``ci-epsilon``: how much of the pretext target the features explain inside the classes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate
from sslaudit_theory.metrics.pretext_pairs import Pairs, of_targets
from sslaudit_theory.pretext.canonical import partial_correlations
from sslaudit_theory.pretext.epsilon import (
    FOLDS,
    eps_ci_cross_fitted,
    eps_ci_plug_in,
    obstacle,
    within_classes,
)

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

PER_DIMENSION = 5
"""Images for each dimension of f and z below which a canonical correlation is mostly overfitting."""
NOTE = (
    "Share of the variance of z inside the classes that a linear map of f explains on held-out images, which "
    "is eps_CI^2 over that variance. It errs low: the interval is about images, for the maps at hand, and "
    "better maps explain more. Classes whose covariances have opposite signs cancel, so C1 itself is tested "
    "by ci-condition."
)


def compute(inputs: "MetricInputs") -> Estimate | Mapping[str, Estimate]:
    """The metric ``ci-epsilon``: eps_CI^2 as a share, what f(x) explains of z beyond the class.

    Formula: eps_CI^2 / E ||z - E^L[z | y]||^2 with eps_CI = ||S_ff^(-1/2) S_fz|y||_F: the share of the
        variance of z inside the classes that a linear map of f explains, on images that it was not fitted on
        (5 folds, ridge).
    Shapes: embeddings (n, D) of what the encoder sees and targets z (n, d_z) of at most ``images`` images;
        labels.
    Range: 0 to 1; 0 under exact conditional independence.
    Typical: for z = disjoint-crop the SimCLR encoder of ``sslaudit demo`` has .117, the Barlow Twins encoder
        .106, the untrained copy .103, and raw pixels .042 (digits).
    High: much of the pretext target can be read from f within a class, so downstream risk has a term that
        more labels do not remove.
    Low: a class is all that f and z share, or the images are too few to see more. Classes whose covariances
        have opposite signs cancel: only ``ci-condition`` tests C1.
    Bias: under: a map fitted on few images explains less than the best one. ``plug_in_share`` errs upwards.
    Source: Lee et al., NeurIPS 2021, Definition 4.1.
    """
    if inputs.labels_if_any is None:
        return Estimate.not_applicable("the data has no labels")
    return of_targets(inputs, lambda found: {one.target: of_pairs(one, inputs.rng()) for one in found})


def of_pairs(pairs: Pairs, rng: np.random.Generator) -> Estimate:
    """The explained share of one target: equal folds and resamples for features and floor."""
    f, z, labels = pairs.f, pairs.z, pairs.labels
    sizes = np.unique(labels, return_counts=True)[1]
    if len(sizes) < 2:
        return Estimate.not_applicable("one class only: there is nothing to condition on")
    if np.sum(sizes >= FOLDS) < 2:
        return Estimate.not_applicable(f"fewer than two classes have {FOLDS} images")
    if reason := obstacle(f, z, labels):
        return Estimate.not_applicable(reason)
    folds, resamples = (int(seed) for seed in rng.integers(2**32, size=2))
    found = eps_ci_cross_fitted(f, z, labels, rng=np.random.default_rng(folds))
    kept = found.rows
    plug_in = eps_ci_plug_in(f[kept], z[kept], labels[kept])
    pixels = _floor(pairs, folds, resamples)
    within = float(np.square(within_classes(z[kept], labels[kept])).sum(axis=1).mean())
    return Estimate(
        value=found.share,
        interval=found.interval(np.random.default_rng(resamples)),
        bias="under",
        paper=f"eps_CI^2, z = {pairs.target}",
        note=NOTE + _left_out(pairs, kept),
        details={
            **_reading(pixels["pixels"]),
            "eps_ci": found.eps_ci,
            "eps_ci_squared": found.eps_ci_squared,
            "raw": found.raw,
            "plug_in": plug_in,
            "plug_in_share": min(1.0, plug_in**2 / within),
            **_canonical(f[kept], z[kept], labels[kept]),
            "images": len(kept),
            "dim": found.dims[0],
            "target_dim": found.dims[1],
            "penalty": found.penalty,
            **pixels,
        },
    )


def _floor(pairs: Pairs, folds: int, resamples: int) -> dict[str, Detail]:
    """The share that principal components of the raw pixels explain, fitted like that of the features."""
    if reason := obstacle(pairs.floor, pairs.z, pairs.labels):
        return {"pixels": None, "pixels_low": None, "pixels_high": None, "pixels_missing": reason}
    rng = np.random.default_rng(folds)
    found = eps_ci_cross_fitted(pairs.floor, pairs.z, pairs.labels, rng=rng)
    interval = found.interval(np.random.default_rng(resamples))
    return {"pixels": found.share, "pixels_low": interval.low, "pixels_high": interval.high}


def _left_out(pairs: Pairs, kept: np.ndarray) -> str:
    """The classes that are too small, by name."""
    missing = np.setdiff1d(pairs.labels, pairs.labels[kept])
    if not len(missing):
        return ""
    listed = ", ".join(pairs.names[k] for k in missing[:5]) + (", ..." if len(missing) > 5 else "")
    return f" Left out, for want of images: {listed} ({len(missing):,} class{'es' * (len(missing) > 1)})."


def _canonical(f: np.ndarray, z: np.ndarray, labels: np.ndarray) -> dict[str, Detail]:
    """The largest partial canonical correlation, in-sample, where there are images enough for one."""
    dims = f.shape[1] + z.shape[1]
    if len(f) < PER_DIMENSION * dims:
        reason = f"{len(f):,} images are less than {PER_DIMENSION} for each of {dims:,} dimensions"
        return {"canonical_correlation": None, "canonical_missing": reason}
    found = partial_correlations(f, z, labels)
    return {"canonical_correlation": float(found.values[0]), "shrinkage": found.shrinkage}


def _reading(pixels: Detail) -> dict[str, Detail]:
    return {"reading": f"raw pixels {number(pixels)}"} if isinstance(pixels, float) else {}
