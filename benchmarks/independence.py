"""The test of C1 with both nulls: seconds against images and draws, and the plain loop over permutations."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.plan import Plan
from benchmarks.race import Contender, race, seconds
from benchmarks.table import Entry
from sslaudit_theory.independence.condition import c1_test
from sslaudit_theory.independence.nulls import permutation_null
from sslaudit_theory.independence.strata import split

DIM, TARGET, CLASSES = 512, 64, 10
IMAGES, DRAWS = 5_000, 499
FEWEST = 199
LIMIT = 30.0
"""Seconds that the test may take for ``IMAGES`` and ``DRAWS``."""


def measure(plan: Plan) -> Iterator[Entry]:
    """A line for each number of images and of draws, and a row for the null of permutations."""
    yield f"C1 with both nulls, {DIM} features, {TARGET} targets, {CLASSES} classes"
    scale = min(1.0, plan.seconds / 2)
    images = int(IMAGES * scale)
    base = seconds(partial(_test, images, DRAWS))
    met = "met" if base <= LIMIT else "missed"
    yield f"  {images:>6,} images, {DRAWS:>4} draws  {base:6.2f} s  within {LIMIT:g} s: {met}"
    for n, draws in ((images // 2, DRAWS), (2 * images, DRAWS), (images, FEWEST), (images, 2 * DRAWS)):
        took = seconds(partial(_test, n, draws))
        work = n / images * draws / DRAWS
        compared = f"{took / base:.2f} x the time for {work:.2f} x the work"
        yield f"  {n:>6,} images, {draws:>4} draws  {took:6.2f} s  {compared}"
    yield _against_a_loop(images, plan.rounds)


def _against_a_loop(images: int, rounds: int) -> Entry:
    draws = FEWEST

    def ours(_: int, __: int) -> None:
        f, z, labels = _world(images)
        permutation_null(split(f, z, labels).kept, np.random.default_rng(0), draws)

    def plain(_: int, __: int) -> None:
        f, z, labels = _world(images)
        rng = np.random.default_rng(0)
        for own in split(f, z, labels).kept:
            for _draw in range(draws):
                np.square(own.f.T @ own.z[rng.permutation(len(own.z))]).sum()

    contenders = [Contender(name="sslaudit", run=ours), Contender(name="loop of covariances", run=plain)]
    mine, other = race(contenders, draws, rounds)
    return mine.row(f"permutations, n={images:,}", other, "draws/s")


def _test(n: int, draws: int) -> None:
    c1_test(*_world(n), rng=np.random.default_rng(0), draws=draws)


def _world(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, DIM)), rng.normal(size=(n, TARGET)), np.arange(n) % CLASSES
