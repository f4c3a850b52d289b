"""What an upper bound of the product of two class centres says, in words.

A bound that is no smaller than what holds for every encoder is vacuous and gives no guarantee.
"""

import numpy as np


def reading(bounds: np.ndarray, trivial: float) -> str:
    """One line about the bounds (P,) of P pairs of classes; ``trivial`` holds for every encoder.

    Raises ``ValueError`` for no bounds.
    """
    if not bounds.size:
        raise ValueError("a bound of two class centres needs two classes.")
    least, pairs = float(bounds.min()), bounds.size
    if least >= trivial:
        return f"vacuous, gives no guarantee: {least:.4g} at best, trivial bound {trivial:.4g}"
    informative = int((bounds < trivial).sum())
    return (
        f"holds: below the trivial bound {trivial:.4g} for {informative:,} of {pairs:,} pairs of classes, "
        f"{least:.4g} at best and {float(bounds.max()):.4g} at worst"
    )
