"""Numbers as a card takes and shows them."""

import math
from typing import SupportsFloat

from sslaudit.errors import MetricError


def finite(value: SupportsFloat, what: str) -> float:
    """``value`` as a finite float. Raises ``MetricError`` for NaN, infinity and what is no number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise MetricError(f"{what} is no number: {error}.") from None
    if not math.isfinite(number):
        raise MetricError(f"{what} is {number}; give a finite number, or no value with a reason.")
    return number + 0.0  # -0.0 equals 0.0, and reads like it


def number(value: float) -> str:
    """Three decimals below ten in the card's manner: ``.884``, ``1.250``; ``1.2e-05``, ``3.10e+06``."""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    if abs(value) >= 1e6:
        return f"{value:.2e}"
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
