"""What the public functions make of the views that they are given: arrays, or what becomes one."""

import numpy as np
from numpy.typing import ArrayLike


def view_array(views: ArrayLike) -> np.ndarray:
    """Views (N, V, D) as an array of their own type.

    Raises ``ValueError`` for other shapes, and for no images, views or features.
    """
    array = np.asarray(views)
    if array.ndim != 3 or not array.size:
        raise ValueError(f"views have shape (N, V, D), no axis 0, not {array.shape}.")
    return array


def finite_views(views: ArrayLike) -> np.ndarray:
    """``view_array`` as float64. Raises ``ValueError`` for values that are not finite, too."""
    array = view_array(views).astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("the views are not all finite.")
    return array
