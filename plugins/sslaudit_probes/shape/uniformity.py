"""How evenly directions of embeddings cover the sphere.

Traps:

* Pairs are distinct. With i = j among them (as in ``cdist`` of a matrix with itself) every value is pulled
  towards 0, by much for few images.
* -2t is what is reached as D grows, and no limit of a finite sample or dimension: the best distribution in
  D = 2 has -1.575, and four points on the circle reach -4.396.
* ||f - g||^2 = 2 - 2 cos needs rows of length 1. Without normalisation the value is about scale.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import hyp0f1
from torch import Tensor

from sslaudit.numbers import number
from sslaudit.results import Estimate
from sslaudit_probes.shape.jackknife import pair_interval, pair_mean
from sslaudit_probes.shape.sample import Sample, draw, unit_matrix

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

TILE = 2048
"""Rows of the two sides whose products are held at one time."""

_FLOAT32 = 20.0
"""For a larger t exp(-4t) leaves the range of float32."""


def uniformity(features: ArrayLike | Tensor, t: float = 2.0) -> float:
    """log of the mean of exp(-t ||f - g||^2) over distinct pairs of the rows (N, D) at length 1.

    In [-4t, 0]. Products are in the type of the features, sums in float64. Raises ``ValueError`` for fewer
    than two rows, a zero row, or t outside (0, 100].
    Source: Wang and Isola, ICML 2020, L_uniform.
    """
    return float(np.log(kernel_means(features, t).mean()))


def kernel_means(features: ArrayLike | Tensor, t: float = 2.0) -> np.ndarray:
    """Mean of exp(-t ||f - g||^2) of each row to the N - 1 others, (N,) float64. Raises as ``uniformity``."""
    _check(t)
    rows = unit_matrix(features)
    if t > _FLOAT32:
        rows = rows.double()
    n = len(rows)
    if n < 2:
        raise ValueError("uniformity needs two rows.")
    totals = torch.zeros(n, dtype=torch.float64, device=rows.device)
    for i in range(0, n, TILE):
        for j in range(i, n, TILE):
            cosine = rows[i : i + TILE] @ rows[j : j + TILE].T
            kernel = cosine.sub_(1).clamp_(max=0).mul_(2 * t).exp_()
            if i == j:
                kernel.fill_diagonal_(0)
            else:
                totals[j : j + TILE] += kernel.sum(0, dtype=torch.float64)
            totals[i : i + TILE] += kernel.sum(1, dtype=torch.float64)
    means: np.ndarray = (totals / (n - 1)).cpu().numpy()
    return means


def uniformity_optimum(dim: int, t: float = 2.0) -> float:
    """The lowest uniformity that a distribution on the sphere in D dimensions has: that of the uniform one.

    -2t + log 0F1(D/2; t^2), for D = 2 -2t + log I_0(2t); it falls to -2t as D grows. Raises ``ValueError``
    for D < 1 or t outside (0, 100].
    Source: Wang and Isola, ICML 2020, Sec. 4.1.2; the mean of exp(2t cos) is that of von Mises-Fisher.
    """
    _check(t)
    if dim < 1:
        raise ValueError(f"a sphere has a dimension of 1 or more, not {dim}.")
    return float(-2 * t + np.log(hyp0f1(dim / 2, t * t)))


def lowest_uniformity(n: int, dim: int, t: float = 2.0) -> float:
    """A bound below the uniformity of any n points in D dimensions.

    With the n pairs i = j the mean is that of a distribution, so it is at least exp of the optimum:
    the mean over distinct pairs is at least (n exp(optimum) - 1) / (n - 1). Where that is below exp(-4t),
    the value of an antipodal pair, the bound is -4t. Raises ``ValueError`` for n < 2, or as
    ``uniformity_optimum``.
    """
    if n < 2:
        raise ValueError("uniformity needs two points.")
    mean = (n * np.exp(uniformity_optimum(dim, t)) - 1) / (n - 1)
    return float(np.log(max(mean, np.exp(-4 * t))))


def cosine_means(features: ArrayLike | Tensor) -> np.ndarray:
    """Mean cosine of each row (N, D) to the N - 1 others, (N,) float64. Raises as ``uniformity`` does."""
    rows = unit_matrix(features)
    if len(rows) < 2:
        raise ValueError("a mean cosine needs two rows.")
    total = rows.sum(0, dtype=torch.float64)
    own = rows.square().sum(1, dtype=torch.float64)
    products = torch.cat([part.double() @ total for part in torch.split(rows, TILE)])
    means: np.ndarray = ((products - own) / (len(rows) - 1)).cpu().numpy()
    return means


def compute(inputs: "MetricInputs") -> Estimate | dict[str, Estimate]:
    """The metric ``uniformity``: how evenly the directions of the embeddings cover the sphere.

    Formula: log of the mean of exp(-t ||f - g||^2) over distinct pairs of embeddings at length 1, t = 2.
      ``mean-cosine`` is the mean of f . g over the same pairs.
    Shapes: the identity view of at most ``images`` images, (N, D).
    Range: [-4t, 0]. No distribution in D dimensions goes below -2t + log 0F1(D/2; t^2), which is -1.575 for
      D = 2 and near -2t = -4 for large D; a finite sample may, a little, because i = j is left out.
    Typical: measured on the 1,797 digits: pixels -1.16, an untrained ReLU network of 128 outputs -.85, both
      with features of one sign; Gaussian noise in 128 dimensions -3.94, the optimum.
    High: near 0 the embeddings share one direction, at 0 they are equal.
    Low: near the optimum they are spread as if drawn uniformly; noise is, too, so a low value alone says
      nothing about what is kept of the images.
    Bias: none before the logarithm, which errs downwards by half the squared relative error of the mean.
      The jackknife interval is for other images of the same source; measured, it covered 93 to 99 %,
      and is 1.4 times too wide where the embedding is uniform already.
    Source: Wang and Isola, ICML 2020, L_uniform.
    """
    sample = draw(inputs, directions=True)
    t, (n, dim) = float(inputs.options["t"]), sample.rows.shape
    if not n:
        return Estimate.not_applicable("all embeddings are zero")
    if n < 2:
        return Estimate.not_applicable("fewer than two images have a direction")
    best, lowest = uniformity_optimum(dim, t), lowest_uniformity(n, dim, t)
    means = np.ones(n) if sample.constant else kernel_means(sample.rows, t)
    cosines = np.ones(n) if sample.constant else cosine_means(sample.rows)
    value, cosine = float(np.log(means.mean())), float(cosines.mean())
    error, cosine_error = (pair_mean(m)[1] if n > 2 else 0.0 for m in (means, cosines))
    few = "" if n > 2 else "two images only"
    return {
        "": Estimate(
            value=value,
            interval=None if few else pair_interval(value, error / float(means.mean()), n, lowest, 0.0),
            no_interval=few,
            note=_note(sample, t),
            details={
                "optimum": best,
                "lowest": lowest,
                "t": t,
                "images": n,
                "reading": f"optimum {number(best)}",
            },
        ),
        "mean-cosine": Estimate(
            value=cosine,
            interval=None if few else pair_interval(cosine, cosine_error, n, -1 / (n - 1), 1.0),
            no_interval=few,
            label="mean cosine of two images",
            unit="cosine",
            note=f"1 where all directions are equal, 0 where they are uniform.{sample.said}",
            minor=True,
        ),
    }


def _note(sample: Sample, t: float) -> str:
    if sample.constant:
        return f"trivial: features are constant.{sample.said}"
    meaning = f"log mean exp(-{t:g} squared distance) over all pairs of directions; lower is more even."
    return meaning + sample.said


def _check(t: float) -> None:
    if not 0 < t <= 100:
        raise ValueError(f"t is in (0, 100], not {t}.")
