"""Is the difference of cards real? Paired by image, so what all find hard cancels."""

from sslaudit.comparison.paired import check_comparable, paired_difference

__all__ = ["check_comparable", "paired_difference"]
