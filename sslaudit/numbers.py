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
    return number


def number(value: float) -> str:
    """Three significant digits in the card's manner: ``.884``, ``1.25``, ``-.31``, ``1.2e-05``."""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
