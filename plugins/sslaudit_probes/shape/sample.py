"""The embeddings whose shape is measured: rows on the device of the run, in random order.

Labels play no part, so images of both splits are taken. The order is random because blocks of rows are
left out in turn for intervals, and data often comes sorted by class.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

ROWS = 4096
"""Rows that are held in float64 at one time."""

CONSTANT = 1e-12
"""Total variance, relative to the mean squared norm, below which features carry nothing but rounding."""


def matrix(features: ArrayLike | Tensor) -> Tensor:
    """Features (N, D) as a tensor: float32 and float64 stay, on their device; all else becomes float64.

    Raises ``ValueError`` for other shapes, no rows or columns, and values that are not finite.
    """
    rows = features if isinstance(features, Tensor) else torch.as_tensor(np.asarray(features))
    if rows.dtype not in (torch.float32, torch.float64):
        rows = rows.double()
    if rows.ndim != 2 or not rows.numel():
        raise ValueError(f"features have shape (N, D), no axis 0, not {tuple(rows.shape)}.")
    if not bool(rows.isfinite().all()):
        raise ValueError("the features are not all finite.")
    return rows


def unit_matrix(features: ArrayLike | Tensor) -> Tensor:
    """The rows of ``matrix`` at length 1. Raises ``ValueError`` for a zero row, too."""
    rows = matrix(features)
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=torch.float64)
    if zeros := int((norms == 0).sum()):
        raise ValueError(f"{zeros} rows are zero and have no direction.")
    unit: Tensor = (rows / norms).to(rows.dtype)
    return unit


def is_constant(features: ArrayLike | Tensor) -> bool:
    """Whether all rows (N, D) are one vector, up to the rounding of float32."""
    rows = matrix(features)
    first, size, spread = rows[0].double(), 0.0, 0.0
    total = torch.zeros_like(first)
    for part in torch.split(rows, ROWS):
        full = part.double()  # squares of float32 leave its range beyond 1e19 and below 1e-19
        offset = full - first
        size += float(full.square().sum())
        spread += float(offset.square().sum())
        total += offset.sum(0)
    return spread - float(total.square().sum()) / len(rows) <= CONSTANT * size


@dataclass(frozen=True, slots=True)
class Sample:
    """Embeddings of the identity view of images drawn at random."""

    rows: Tensor
    """(n, D) float32."""
    images: int
    """N, of which the rows were drawn."""
    zeros: int
    """Rows left out because they are zero, where only directions count."""

    @property
    def constant(self) -> bool:
        """Whether there is nothing to measure: no rows, or one vector for all."""
        return not len(self.rows) or is_constant(self.rows)

    @property
    def said(self) -> str:
        """What a note says of it; empty for all images."""
        drawn = len(self.rows) + self.zeros
        texts = []
        if drawn < self.images:
            texts.append(f" {drawn:,} of {self.images:,} images, drawn at random.")
        if self.zeros:
            texts.append(f" Left out: {self.zeros:,} images whose embedding is zero, without direction.")
        return "".join(texts)


def draw(inputs: "MetricInputs", *, directions: bool = False) -> Sample:
    """At most ``images`` (the option) embeddings; without zero rows where only ``directions`` count."""
    embeddings = inputs.embeddings
    order = inputs.rng().permutation(len(embeddings))[: int(inputs.options["images"])]
    rows = embeddings[order]
    there = rows.any(axis=1) if directions else np.ones(len(rows), dtype=bool)
    return Sample(
        rows=torch.from_numpy(rows[there]).to(inputs.device),
        images=len(embeddings),
        zeros=int((~there).sum()),
    )
