"""The metric ``neural-collapse``: are classes tight and far apart?"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sslaudit.numbers import number
from sslaudit.results import Bias, Detail, Estimate
from sslaudit.stats import wilson
from sslaudit_probes.classes.collapse import (
    NeuralCollapse,
    collapse_of,
    cosines,
    disagreements,
    self_duality,
    statistics,
)
from sslaudit_probes.classes.moments import (
    Moments,
    class_moments,
    normal_limits,
    ratio_limits,
    standard_error,
)
from sslaudit_probes.classifiers.linear_probe import fitted
from sslaudit_theory.metrics.heat_map import heat_map

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

_TWO = "two class means less their mean are always opposite and of equal length"
_REST = {
    "equinorm": ("unequal centre lengths", "NC2", "std over mean of the lengths of the centred class means"),
    "angle_std": ("unequal centre angles", "NC2", "std of the cosines of the centred class means"),
    "angle_gap": ("distance from a simplex", "NC2", "mean |cos + 1 / (K - 1)| of the centred class means"),
    "cdnv": (
        "variance over distance",
        "CDNV",
        "mean of (v_k + v_l) / (2 ||mu_k - mu_l||^2) over pairs of classes",
    ),
}
_ROUNDING = 1e-12
_KNOWN = 2.5
"""A ratio whose relative standard error is larger has limits that are a factor of 100 away."""


def compute(inputs: "MetricInputs") -> dict[str, Estimate] | Estimate:
    """The metric ``neural-collapse``: how small the spread of a class is beside the distances of classes.

    Formula: NC1 = tr(S_W S_B^+) / K of the training images, S_W the mean of the class covariances, S_B the
      covariance of the class means, ^+ the pseudo-inverse. Beside it the same of the test images, which
      have class means of their own; NC2: the spread of the lengths of the centred class means, of their
      cosines, and mean |cos + 1 / (K - 1)|; NC3 = ||W / |W| - M / |M| ||^2 with the linear probe W; NC4,
      the share of test images that the probe and the nearest class mean name differently; and CDNV, the
      mean of (v_k + v_l) / (2 ||mu_k - mu_l||^2).
    Shapes: embeddings (N, D) as they are, not normalised; labels (N,) of K classes with two images each.
    Range: NC1 and CDNV from 0, without a maximum; NC3 in [0, 4], NC4 in [0, 1]. Above K = D + 1 classes no
      regular simplex exists and NC2 cannot be 0.
    Typical: on the embedded digits .91 for raw pixels and 21 for random features; the source reports NC1
      towards 0 for networks trained far beyond zero training error.
    High: images of a class are as far from each other as classes are; a linear map may still part them.
    Low: classes are tight and far apart, so few labels suffice to find them.
    Bias: NC1 and CDNV too small where a class has few images, the more so in many dimensions, and their
      intervals do not cover that; training and test values are comparable only for similar class sizes.
      Where class means hardly differ in one of K - 1 directions, NC1 is large and its interval too short.
    Source: Papyan, Han and Donoho, PNAS 2020; CDNV: Galanti, Gyorgy and Hutter, ICLR 2022, Definition 1.
    """
    features = torch.from_numpy(inputs.embeddings).to(inputs.device)
    train, test = _measured(inputs, features, inputs.train), _measured(inputs, features, inputs.test)
    if train is None:
        return Estimate.not_applicable("fewer than two classes have two training images")
    if train.found.nc1 is None:
        return Estimate.not_applicable("the class means coincide: features are constant or say nothing")
    estimates = {"": _first(inputs, train, test)}
    if test is not None:
        note = "As NC1, of the test images around their own class means: what generalises."
        estimates["test"] = replace(
            _estimate(test, "nc1"), label="spread of classes, test", note=note, minor=True
        )
    for name, (label, paper, what) in _REST.items():
        two = name != "cdnv" and len(train.classes) == 2
        estimate = Estimate.not_applicable(_TWO) if two else _estimate(train, name)
        estimates[name.replace("_", "-")] = replace(
            estimate, label=label, paper=paper, note=f"{what}.", minor=True
        )
    return {**estimates, **_with_probe(inputs, features, train)}


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Images of the classes that have two of them."""

    classes: np.ndarray
    """(K,) indices into the classes of the data."""
    rows: Tensor
    labels: np.ndarray
    """(N,) in 0..K-1."""
    moments: Moments
    found: NeuralCollapse


def _measured(inputs: "MetricInputs", features: Tensor, images: np.ndarray) -> _Measured | None:
    """None for fewer than two classes."""
    sizes = np.bincount(inputs.labels[images], minlength=len(inputs.classes))
    classes = np.flatnonzero(sizes >= 2)
    if len(classes) < 2:
        return None
    images = images[np.isin(inputs.labels[images], classes)]
    labels = np.searchsorted(classes, inputs.labels[images])
    rows = features[torch.from_numpy(images).to(features.device)]
    moments = class_moments(rows, labels, balanced=True)
    return _Measured(classes, rows, labels, moments, collapse_of(moments))


def _first(inputs: "MetricInputs", train: _Measured, test: _Measured | None) -> Estimate:
    smallest = int(train.moments.sizes.min())
    left_out = len(inputs.classes) - len(train.classes)
    details: dict[str, Detail] = {
        "classes": len(train.classes),
        "rank": train.found.rank,
        "smallest_class": smallest,
        "left_out": left_out,
    }
    if test is not None and test.found.nc1 is not None:
        details |= {"test": test.found.nc1, "reading": f"test {number(test.found.nc1)}"}
    note = (
        "NC1 of the training images, embeddings as they are: spread within classes in the directions in "
        "which class means differ, over their distances. Covariances over n_k, S_B by its pseudo-inverse."
    )
    if left_out:
        note += f" {left_out} classes with fewer than two training images are left out."
    if smallest < train.rows.shape[1]:
        note += " A class has fewer images than there are dimensions, so it is too small."
    between = cosines(train.moments.offsets).cpu().numpy()
    figure = heat_map(
        "cosines of centred class means",
        between,
        np.where(np.eye(len(between), dtype=bool), -1.0, between).max(axis=1),
        [inputs.classes[k] for k in train.classes],
        "cosine",
        "Off the diagonal a regular simplex has -1 / (K - 1) everywhere; above it classes lean together.",
    )
    return replace(_estimate(train, "nc1"), note=note, details=details, figures=(figure,))


def _with_probe(inputs: "MetricInputs", features: Tensor, train: _Measured) -> dict[str, Estimate]:
    """NC3 and NC4 with the linear probe of the run."""
    probe, means = fitted(inputs), (train.moments.centres + train.moments.origin).cpu().numpy()
    dual = self_duality(probe.weights[train.classes], means)
    nc3 = (
        Estimate.not_applicable("the weights of the linear probe are all 0")
        if dual is None
        else Estimate(value=dual, no_interval="one linear probe is fitted", claim="measured")
    )
    note = (
        "Squared distance of the weights of the linear probe from the centred class means, both of norm 1; "
        "2 where they are orthogonal."
    )
    estimates = {
        "self-duality": replace(nc3, label="probe against class means", paper="NC3", note=note, minor=True)
    }
    images = inputs.test[np.isin(inputs.labels[inputs.test], train.classes)]
    if len(images):
        rows = features[torch.from_numpy(images).to(features.device)]
        apart = disagreements(probe.logits(rows)[:, train.classes], rows, means)
        estimates["nearest-centre"] = Estimate(
            value=apart.mean(),
            interval=wilson(int(apart.sum()), len(apart)),
            label="probe and centre disagree",
            paper="NC4",
            unit="fraction",
            note="Share of test images that the linear probe and the nearest class mean name differently.",
            minor=True,
        )
    return estimates


def _estimate(measured: _Measured, name: str) -> Estimate:
    value: float | None = getattr(measured.found, name)
    if value is None:
        return Estimate.not_applicable("class means coincide")
    ratio = name in ("nc1", "cdnv")
    bias: Bias = "under" if ratio else "over"
    statistic, error = statistics(measured.moments)[name], None
    if value > _ROUNDING:
        error = standard_error(statistic, measured.moments, measured.rows, measured.labels)
    if error is None:
        return Estimate(value=value, no_interval="it is at its end, 0, where it has no slope", bias=bias)
    if ratio and error > _KNOWN * value:
        why = "some class means nearly coincide, so it is only known to be large"
        return Estimate(value=value, no_interval=why, bias=bias)
    limits = ratio_limits(value, error) if ratio else normal_limits(value, error, 0.0, np.inf)
    return Estimate(value=value, interval=limits, bias=bias)
