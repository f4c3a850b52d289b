"""Contenders that take turns at the same work."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.table import Row

WARM_UP = 4
"""Images of the first, cold run of each contender, which is not counted."""

Run = Callable[[int, int], object]
"""``run(images, workers)`` does the work once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """One way to do the work."""

    name: str
    run: Run
    workers: tuple[int, ...] = (0,)
    """Numbers of workers that are tried; the fastest one runs in the rounds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a contender did: its rate in each round."""

    name: str
    rates: tuple[float, ...]
    """Images, or views, per second."""

    @property
    def rate(self) -> float:
        """The median."""
        return statistics.median(self.rates)

    def row(self, what: str, other: "Result", unit: str, target: float | None = None) -> Row:
        """This result, of sslaudit, against another one."""
        ratios = [a / b for a, b in zip(self.rates, other.rates, strict=True)]
        return Row(
            what=what,
            against=other.name,
            unit=unit,
            ours=self.rate,
            other=other.rate,
            ratio=statistics.median(ratios),
            spread=(min(ratios), max(ratios)),
            target=target,
        )


def race(contenders: Sequence[Contender], images: int, rounds: int, *, views: int = 1) -> list[Result]:
    """Results in the order of the contenders, each at its best number of workers.

    A round before the first does not count: workers of another contender have just been forked, and every
    page that this process writes for the first time after that is copied.
    """
    chosen = [_best_workers(contender, images) for contender in contenders]
    measured: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds + 1):
        for contender, workers, times in zip(contenders, chosen, measured, strict=True):
            times.append(seconds(partial(contender.run, images, workers)))
    return [
        Result(
            name=f"{contender.name}, {workers} workers" if len(contender.workers) > 1 else contender.name,
            rates=tuple(images * views / t for t in times[1:]),
        )
        for contender, workers, times in zip(contenders, chosen, measured, strict=True)
    ]


def fastest(call: Callable[[], object]) -> float:
    """Seconds of the fastest of three calls."""
    return min(seconds(call) for _ in range(3))


def _best_workers(contender: Contender, images: int) -> int:
    contender.run(min(images, WARM_UP), contender.workers[0])
    if len(contender.workers) == 1:
        return contender.workers[0]
    return min(contender.workers, key=lambda workers: seconds(partial(contender.run, images, workers)))


def seconds(call: Callable[[], object]) -> float:
    """Of one call, by the wall clock."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
