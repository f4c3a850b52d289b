"""What is no part of a data set, counted by reason."""

from collections import defaultdict
from collections.abc import Sequence

from sslaudit.data.dataset import Skipped

_SHOWN = 5


class Skips:
    """Collects names by reason while a data set is opened."""

    def __init__(self) -> None:
        self._by_reason: dict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, name: str) -> None:
        """One more thing that is left out for ``reason``."""
        self._by_reason[reason].append(name)

    def summary(self) -> tuple[Skipped, ...]:
        """Count and up to three names for each reason, by reason."""
        return tuple(
            Skipped(reason=reason, count=len(names), examples=tuple(names[:3]))
            for reason, names in sorted(self._by_reason.items())
        )


def counted(skipped: Sequence[Skipped]) -> str:
    """``" 2 skipped: hidden or litter (a, b)."`` for the most frequent reasons; empty without any."""
    often = sorted(skipped, key=lambda s: -s.count)
    shown = "".join(f" {s.count} skipped: {s.reason} ({', '.join(s.examples)})." for s in often[:_SHOWN])
    more = sum(s.count for s in often[_SHOWN:])
    return shown + (f" {more} skipped for other reasons." if more else "")
