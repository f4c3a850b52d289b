"""Is the difference of cards real? Paired by image, so what all find hard cancels."""

from sslaudit.comparison.comparable import check_comparable
from sslaudit.comparison.comparing import compare
from sslaudit.comparison.paired import paired_difference
from sslaudit.comparison.ranking import Ranking, Standing, rank
from sslaudit.comparison.record import Comparison

__all__ = ["Comparison", "Ranking", "Standing", "check_comparable", "compare", "paired_difference", "rank"]
