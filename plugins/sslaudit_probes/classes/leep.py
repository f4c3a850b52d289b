"""LEEP and NCE: how well labels are predicted from what a source head, or a mixture, says of an image.

The table p(y | z) is made from the same images that are scored, so both err upwards, the more so the more
source classes there are for the images.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

KEPT = 0.8
"""Share of the variance that the principal components keep for the mixture."""
RATIO = 5
"""Components of the mixture for each class."""
_ROUNDING = 1e-12
_EACH = 5
"""Images that a component has on average at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """What a Gaussian mixture says of the images, in place of a source head."""

    responsibilities: np.ndarray
    """(N, Z); rows add up to 1."""
    dim: int
    """Principal components that were kept."""
    converged: bool


def leep(probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """log sum_z p(y_i | z) P_iz of each image, in nats: (N,), whose mean is LEEP.

    ``probabilities`` (N, Z) are those of a source head, ``labels`` (N,) are whole numbers from 0; with the
    joint p(y, z) = sum of P_iz over the images of y, over N. Raises ``ValueError`` for rows that are no
    distribution and for labels that do not fit.
    Source: Nguyen et al., ICML 2020, Equation 2.
    """
    P, own = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if P.ndim != 2 or not P.size or not (P >= 0).all() or not np.allclose(P.sum(axis=1), 1, atol=1e-4):
        raise ValueError("probabilities are (N, Z) with rows that add up to 1.")
    if own.shape != (len(P),) or own.dtype.kind not in "iu" or own.min() < 0:
        raise ValueError("labels (N,) are whole numbers from 0, one for each row of probabilities.")
    joint = np.zeros((own.max() + 1, P.shape[1]))
    np.add.at(joint, own, P)
    marginal = joint.sum(axis=0)
    given = np.divide(joint, marginal, out=np.zeros_like(joint), where=marginal > 0)
    each = np.log(np.einsum("nz,nz->n", given[own], P))
    return np.where(each > -_ROUNDING, 0.0, each)


def nce(source: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """log p(y_i | z_i) of each image, in nats: (N,), whose mean is NCE = -H(y | z).

    ``source`` (N,) and ``labels`` (N,) are whole numbers from 0; LEEP of certain source labels.
    Source: Tran, Nguyen and Hassner, ICCV 2019.
    """
    z = np.asarray(source)
    if z.ndim != 1 or not len(z) or z.dtype.kind not in "iu" or z.min() < 0:
        raise ValueError("source labels (N,) are whole numbers from 0.")
    return leep(np.eye(int(z.max()) + 1)[z], labels)


def mixture(features: np.ndarray, classes: int, seed: int) -> Mixture:
    """A Gaussian mixture on the principal components of features (N, D) that keep 80 % of the variance.

    5 components for each class, fewer where that leaves less than 5 images for each, with diagonal
    covariances. Raises ``ValueError`` for constant features.
    Source: Li et al., CVPR 2021, N-LEEP; diagonal covariances are our choice, for few images.
    """
    X = np.asarray(features, dtype=np.float64)
    centred = X - X[0]
    if np.square(centred).sum() <= _ROUNDING * np.square(X).sum():
        raise ValueError("the features are constant.")
    reduced = PCA(KEPT, svd_solver="full").fit_transform(centred)
    reduced = reduced / reduced[:, 0].std()  # the floor of the variances is absolute
    components = max(1, min(RATIO * classes, len(X) // _EACH))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told by ``converged``
        found = GaussianMixture(components, covariance_type="diag", random_state=seed).fit(reduced)
        said = found.predict_proba(reduced)
    return Mixture(said / said.sum(axis=1, keepdims=True), reduced.shape[1], bool(found.converged_))
