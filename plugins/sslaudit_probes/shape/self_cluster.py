"""Whether directions of embeddings crowd, from their squared cosines.

Traps:

* The sum over pairs holds i = j; the closed form takes its N ones out, so orthonormal rows give less than 0.
* A squared cosine does not see a sign: f and -f count as equal.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import entr
from torch import Tensor

from sslaudit.results import Estimate
from sslaudit_probes.shape.jackknife import pair_interval, pair_mean
from sslaudit_probes.shape.sample import ROWS, draw, unit_matrix

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


def self_cluster(features: ArrayLike | Tensor) -> float:
    """(D ||X X'||_F^2 - N (D + N - 1)) / ((D - 1) (N - 1) N) for rows X (N, D) at length 1.

    In [-1 / (max(N, D) - 1), 1]: the mean over distinct pairs of (D cos^2 - 1) / (D - 1), which is 0 on
    average for uniform directions. In float64 whatever the type. Raises ``ValueError`` for N < 2, D < 2 or
    a zero row.
    Source: Tsitsulin, Munkhoeva and Perozzi, Unsupervised Embedding Quality Evaluation, 2023, SelfCluster.
    """
    return float(crowding_means(features).mean())


def crowding_means(features: ArrayLike | Tensor) -> np.ndarray:
    """Mean of (D cos^2 - 1) / (D - 1) of each row to the N - 1 others, (N,). Raises as ``self_cluster``."""
    rows = unit_matrix(features)
    return _crowding(rows, smaller_gram(rows))


def smaller_gram(rows: Tensor) -> Tensor:
    """X'X (D, D) of rows X (N, D), or XX' (N, N) where N < D: float64, with equal positive eigenvalues."""
    n, dim = rows.shape
    if n < dim:
        full = rows.double()
        return full @ full.T
    gram = torch.zeros(dim, dim, dtype=torch.float64, device=rows.device)
    for part in torch.split(rows, ROWS):
        block = part.double()
        gram.addmm_(block.T, block)
    return gram


def _crowding(rows: Tensor, gram: Tensor) -> np.ndarray:
    n, dim = rows.shape
    if n < 2 or dim < 2:
        raise ValueError(f"SelfCluster needs two rows and two dimensions, not {n} x {dim}.")
    if n < dim:
        squares = gram.square().sum(1)
    else:
        squares = torch.cat(
            [((part.double() @ gram) * part.double()).sum(1) for part in torch.split(rows, ROWS)]
        )
    own = torch.cat([part.double().square().sum(1).square() for part in torch.split(rows, ROWS)])
    means: np.ndarray = ((dim * (squares - own) / (n - 1) - 1) / (dim - 1)).cpu().numpy()
    return means


def vendi(gram: Tensor) -> float:
    """exp of the entropy of the eigenvalues of XX' / N, from ``smaller_gram``: directions counted as kinds.

    In [1, min(N, D)]. Source: Friedman and Dieng, TMLR 2023, with the cosine as similarity.
    """
    values = torch.linalg.eigvalsh(gram).clamp(min=0).cpu().numpy()
    return float(np.exp(entr(values / values.sum()).sum()))


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``self-cluster``: whether the directions of the embeddings crowd.

    Formula: (D ||X X'||_F^2 - N (D + N - 1)) / ((D - 1) (N - 1) N) of embeddings X at length 1, which is the
      mean over distinct pairs of (D cos^2 - 1) / (D - 1). Exact, from the smaller of X'X and XX'.
    Shapes: the identity view of at most ``images`` images, (N, D).
    Range: [-1 / (max(N, D) - 1), 1].
    Typical: measured on the 1,797 digits: pixels .48, an untrained ReLU network of 128 outputs .61; Gaussian
      noise in 128 dimensions 0.
    High: 1 where all embeddings lie on one line through 0, also with both signs.
    Low: 0 for directions drawn uniformly; below 0 for rows as orthogonal as they can be.
    Bias: none, for other images of the same source; measured, the jackknife interval covered 93 to 99 %, and
      is 1.4 times too wide where directions are uniform. ``vendi`` among the details is the Vendi score of
      these images, which grows with their number.
    Source: Tsitsulin, Munkhoeva and Perozzi, Unsupervised Embedding Quality Evaluation, 2023.
    """
    sample = draw(inputs, directions=True)
    n, dim = sample.rows.shape
    if not n:
        return Estimate.not_applicable("all embeddings are zero")
    if n < 2 or dim < 2:
        return Estimate.not_applicable("it takes two images with a direction, and two dimensions")
    rows = unit_matrix(sample.rows)
    gram = smaller_gram(rows)
    means = np.ones(n) if sample.constant else _crowding(rows, gram)
    lowest, value = -1 / (max(n, dim) - 1), float(means.mean())
    trivial = "trivial: features are constant." if sample.constant else ""
    return Estimate(
        value=value,
        interval=pair_interval(value, pair_mean(means)[1], n, lowest, 1.0) if n > 2 else None,
        no_interval="" if n > 2 else "two images only",
        note=(trivial or "0 for uniform directions, 1 for all on one line through 0.") + sample.said,
        details={"lowest": lowest, "images": n, "vendi": vendi(gram), "reading": "uniform is 0"},
    )
