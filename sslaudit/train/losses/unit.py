"""Rows of unit length, as losses of cosines take them."""

from torch import Tensor


def unit_rows(z: Tensor) -> Tensor:
    """(N, D) with l2-normalised rows; a zero row stays zero and has gradients of ordinary size.

    A floor under the length, the usual way, would give a zero row gradients of 1e12.
    """
    length: Tensor = z.norm(dim=1, keepdim=True)
    return z / length.where(length > 0, 1.0)
