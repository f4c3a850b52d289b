"""Samples by class, as a test of Cov[f(x), z | y] = 0 looks at them: residuals from the class means.

A class with fewer than five samples is left out and listed. It is not merged with others: a merged stratum
mixes the means of its classes, and means of f and z that move together from class to class are a
covariance there, which C1 does not forbid. Five is also the least from which one sample can be left out
of an unbiased covariance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

SMALLEST = 5
"""Samples that a class needs."""

_CONSTANT = 1e-12
"""A variance below this share of the mean square of its column is rounding of single-precision features."""

_RANGE = 1e60
"""Fourth powers of what is no larger, and no smaller than its inverse, are floats."""


@dataclass(frozen=True, slots=True, eq=False)
class Stratum:
    """One class."""

    label: int
    f: np.ndarray
    """(n_k, d_f) f - fbar_k; columns that are constant but for rounding are exactly 0."""
    z: np.ndarray
    """(n_k, d_z) z - zbar_k, likewise."""
    weight: float
    """w_k = n_k / n over the classes that are kept."""

    @property
    def n(self) -> int:
        """n_k."""
        return len(self.f)

    @property
    def constant(self) -> str:
        """Which of the two is constant here: ``f``, ``z``, ``f and z`` or nothing."""
        return " and ".join(name for name, rows in (("f", self.f), ("z", self.z)) if not rows.any())


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """The classes of a sample."""

    kept: tuple[Stratum, ...]
    """Classes with enough samples, by label."""
    dropped: tuple[tuple[int, int], ...]
    """(label, n_k) of those without."""

    @property
    def varying(self) -> tuple[Stratum, ...]:
        """Kept classes in which both f and z vary; the others have no covariance."""
        return tuple(stratum for stratum in self.kept if not stratum.constant)

    @property
    def trivial(self) -> str:
        """Why C1 is true whatever the rest of f and z is; empty when it is not, or nothing is kept."""
        if not self.kept or self.varying:
            return ""
        for what in ("f and z", "z", "f"):
            if all(what in stratum.constant for stratum in self.kept):
                return f"{what} constant within classes"
        return "f or z constant within each class"


def split(f: ArrayLike, z: ArrayLike, labels: ArrayLike, smallest: int = SMALLEST) -> Strata:
    """Residuals of f (n, d_f) and z (n, d_z) from their means in the classes of ``labels`` (n,) int.

    Features of no columns are constant.

    Raises ``ValueError`` for other shapes, numbers that are not finite or too large or small for their
    fourth powers, and labels that are not whole numbers.
    Source: Teng et al., AISTATS 2022, criterion (C1), for a y with finitely many values.
    """
    first, second = _features(f, "f"), _features(z, "z")
    own = _whole(labels)
    if not len(first) == len(second) == len(own):
        raise ValueError(
            f"f, z and labels speak of the same samples, not of {len(first)}, {len(second)} and {len(own)}."
        )
    values, sizes = np.unique(own, return_counts=True)
    enough = sizes >= smallest
    kept, scales = int(sizes[enough].sum()), [np.square(rows).mean(axis=0) for rows in (first, second)]
    return Strata(
        kept=tuple(
            Stratum(
                int(label),
                _residuals(first[own == label], scales[0]),
                _residuals(second[own == label], scales[1]),
                int(n) / kept,
            )
            for label, n in zip(values[enough], sizes[enough], strict=True)
        ),
        dropped=tuple((int(label), int(n)) for label, n in zip(values[~enough], sizes[~enough], strict=True)),
    )


def _whole(labels: ArrayLike) -> np.ndarray:
    own = np.asarray(labels)
    if own.ndim != 1 or own.dtype.kind not in "biuf" or not (own == np.floor(own)).all():
        raise ValueError("labels (n,) are whole numbers, one for each sample.")
    return own.astype(np.int64)


def _features(values: ArrayLike, name: str) -> np.ndarray:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"{name} is (n, d) with one sample at least, not {rows.shape}.")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} is not finite everywhere.")
    peak = float(np.abs(rows).max(initial=0.0))
    if peak and not 1 / _RANGE < peak < _RANGE:
        raise ValueError(f"{name} is of size {peak:.1e}: rescale it.")
    return rows


def _residuals(rows: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Rows less their mean; ``scale`` is the mean square of the columns over all samples."""
    offset = rows - rows[0]  # so that equal rows have residuals of exactly 0
    offset -= offset.mean(axis=0)
    offset[:, np.square(offset).mean(axis=0) <= _CONSTANT * scale] = 0.0
    return np.asarray(offset)
