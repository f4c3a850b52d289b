"""How many dimensions a spectrum has: one number for its shape.

Traps:

* RankMe takes singular values of the features as they are. The entropy of covariance eigenvalues is another
  number: of singular values (2, 1, 1) the one is 2.83, of their squares the other is 2.38.
* 0 log 0 is 0. eps = 1e-7 of RankMe adds up to 1.6e-6 for each singular value that is 0.
* The stable rank and NESum are one formula on two spectra: with the mean and without.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr


def rankme(singular_values: ArrayLike, eps: float = 1e-7) -> float:
    """exp(-sum p log p) with p = sigma / sum(sigma) + eps, of all min(N, D) uncentred singular values.

    In [1, min(N, D)] but for eps. Raises ``ValueError`` for no positive value.
    Source: Garrido et al., ICML 2023, RankMe.
    """
    return float(np.exp(entr(_shares(singular_values) + eps).sum()))


def effective_rank(eigenvalues: ArrayLike) -> float:
    """exp of the entropy of the eigenvalues of a covariance, as shares of their sum.

    In [1, number of eigenvalues]. Raises ``ValueError`` for no positive value.
    Source: Roy and Vetterli, EUSIPCO 2007, on eigenvalues in place of singular values.
    """
    return float(np.exp(entr(_shares(eigenvalues)).sum()))


def participation_ratio(eigenvalues: ArrayLike) -> float:
    """(sum lambda)^2 / sum lambda^2 of the eigenvalues of a covariance. Raises as ``effective_rank``.

    Source: Gao et al., A theory of multineuronal dimensionality, dynamics and measurement, 2017.
    """
    return float(1 / np.square(_shares(eigenvalues)).sum())


def stable_rank(singular_values: ArrayLike) -> float:
    """||X||_F^2 / ||X||_2^2, the squared singular values over the largest. Raises as ``effective_rank``.

    Source: Rudelson and Vershynin, Journal of the ACM 2007.
    """
    return nesum(np.square(np.asarray(singular_values, dtype=np.float64)))


def nesum(eigenvalues: ArrayLike) -> float:
    """sum lambda / lambda_1 of the eigenvalues of a covariance. Raises as ``effective_rank``.

    Source: He and Ozay, ICML 2022, normalised eigenvalue sum.
    """
    return float(1 / _shares(eigenvalues).max())


def dimensions_for(eigenvalues: ArrayLike, share: float) -> float:
    """How many of the largest eigenvalues hold ``share`` of their sum; the last one counts in part.

    Rounded up it is the number of principal components. Raises ``ValueError`` for a share outside (0, 1],
    or as ``effective_rank``.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of the variance is in (0, 1], not {share}.")
    held = np.concatenate([[0.0], np.cumsum(np.sort(_shares(eigenvalues))[::-1])])
    last = int(np.searchsorted(held, min(share, held[-1])))
    return float(last - 1 + (min(share, held[-1]) - held[last - 1]) / (held[last] - held[last - 1]))


def _shares(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size or array.min() < 0 or not np.isfinite(array.max()):
        raise ValueError("a spectrum is a list of finite numbers from 0 on.")
    if not array.any():
        raise ValueError("all values of the spectrum are zero, so none has a share.")
    shares: np.ndarray = array / array.max()  # first, so that nothing overflows
    shares /= shares.sum()
    return shares
