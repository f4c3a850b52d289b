"""What happens to the length of an embedding before anything is measured.

The theorem is about features on a sphere of radius r. Each choice makes a different f, so every
quantity, the classifier among them, is computed for it anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from sslaudit.encoder import unit_rows
from sslaudit.errors import EncoderError
from sslaudit_theory.options import NORMS as NORMS

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


def normalised(features: ArrayLike, norm: str, centre: ArrayLike | None = None) -> np.ndarray:
    """Features (..., D) after one of ``NORMS``, float64.

    ``centre`` (D,) is what ``center-sphere`` subtracts. Raises ``EncoderError`` for a zero vector on a
    sphere and for features that are not finite, ``ValueError`` for an unknown norm or a missing centre.
    Source: Huang et al., ICLR 2023, ||f(x)|| = r.
    """
    if norm not in NORMS:
        raise ValueError(f"norm is one of {', '.join(NORMS)}, not '{norm}'.")
    features = np.asarray(features, dtype=np.float64)
    if not np.isfinite(features).all():
        raise EncoderError("some features are not finite numbers.")
    if norm == "as-is":
        return features
    if norm == "sphere":
        return unit_rows(features)
    if centre is None:
        raise ValueError("center-sphere needs the centre that it subtracts.")
    offset = features - np.asarray(centre, dtype=np.float64)
    if zeros := int((~offset.any(axis=-1)).sum()):
        raise EncoderError(f"{zeros} embeddings are exactly zero less the centre and have no direction.")
    return unit_rows(offset)


@dataclass(frozen=True, slots=True)
class NormedViews:
    """The views of a run after the option ``norm`` of the metric."""

    inputs: "MetricInputs"
    norm: str
    centre: np.ndarray | None
    """(D,): the mean over the views of the training images, for ``center-sphere``."""
    r: float
    """Radius of the sphere; the largest norm for ``as-is``."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """N, V, D."""
        return self.inputs.views.shape

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows and their views (n, V, D) float64, piece by piece in order."""
        for rows, block in self.inputs.views.chunks():
            yield rows, normalised(block, self.norm, self.centre)

    def read(self, images: np.ndarray) -> np.ndarray:
        """The views (n, V, D) float64 of some images, by their indices (n,) in any order."""
        images = np.asarray(images)
        found = np.empty((len(images), *self.shape[1:]))
        for rows, block in self.inputs.views.chunks():
            here = np.flatnonzero((images >= rows.start) & (images < rows.stop))
            if len(here):
                found[here] = normalised(block[images[here] - rows.start], self.norm, self.centre)
        return found


def normed_views(inputs: "MetricInputs", norm: str = "") -> NormedViews:
    """The views of a run after ``norm``, or the option ``norm`` of its metric."""
    norm = norm or str(inputs.options["norm"])
    centre = _train_mean(inputs) if norm == "center-sphere" else None
    r = 1.0
    if norm == "as-is":
        r = max(
            float(np.linalg.norm(block.astype(np.float64), axis=2).max())
            for _, block in inputs.views.chunks()
        )
    return NormedViews(inputs, norm, centre, r)


def _train_mean(inputs: "MetricInputs") -> np.ndarray:
    total, count = np.zeros(inputs.views.shape[2]), 0
    train = np.zeros(len(inputs.views), dtype=bool)
    train[inputs.train] = True
    if not train.any():
        train[:] = True
    for rows, block in inputs.views.chunks():
        mine = block[train[rows]].astype(np.float64)
        total += mine.sum(axis=(0, 1))
        count += mine.shape[0] * mine.shape[1]
    return total / count
