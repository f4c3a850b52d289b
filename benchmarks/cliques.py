"""Maximum cliques on a panel of graphs of distances: bounds and seconds of each, and networkx on small ones.

Digits are the 8-pixel images of scikit-learn with shifts by a pixel as views; points are uniform in a
cube of 16 dimensions; natural images are noise whose spectrum falls like that of photographs.
"""

import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
from scipy.spatial.distance import pdist, squareform
from sklearn.datasets import load_digits

from benchmarks.plan import Plan
from benchmarks.race import Result
from benchmarks.table import Entry
from sslaudit_theory.sigma.augmented import augmented_distances
from sslaudit_theory.sigma.cliques import CliqueBounds, maximum_clique

DENSITIES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
SIZES = (200, 500, 1797)
SMALL, OF_SMALL, OF_LARGE = 500, 2.0, 8.0
"""Up to so many vertices bounds should meet within the first number of seconds; others have the second."""

_NETWORKX = """
import io, sys, time
import networkx, numpy
graph = networkx.from_numpy_array(numpy.load(io.BytesIO(sys.stdin.buffer.read())))
start = time.perf_counter()
networkx.max_weight_clique(graph, weight=None)
print(time.perf_counter() - start)
"""


def measure(plan: Plan) -> Iterator[Entry]:
    """A line for each graph, and a row for each that networkx is given."""
    yield "Maximum cliques of graphs of distances, with certified bounds"
    scale = min(1.0, plan.seconds / 2)
    for name, family in FAMILIES.items():
        for size in SIZES:
            distances = family(max(20, int(size * scale)))
            yield from _graphs(name, distances, peer=size == SIZES[0])


def _graphs(name: str, distances: np.ndarray, *, peer: bool) -> Iterator[Entry]:
    for density in DENSITIES:
        graph = _nearest(distances, density)
        what = f"{name}, n={len(graph):,}, density {density:g}"
        start = time.perf_counter()
        found = maximum_clique(graph)
        took = time.perf_counter() - start
        bounds = f"[{found.lower}, {found.upper}]"
        yield f"  {what:<46} {bounds:<14}{took:6.2f} s  {_verdict(len(graph), found, took)}"
        if peer and density == 0.5:
            yield _against_networkx(what, graph, took)


def _verdict(n: int, found: CliqueBounds, took: float) -> str:
    small = n <= SMALL
    limit = OF_SMALL if small else OF_LARGE
    met = took <= limit and (found.exact or not small)
    return f"{'exact ' * small}within {limit:g} s: {'met' if met else 'missed'}"


def _against_networkx(what: str, graph: np.ndarray, took: float) -> Entry:
    if find_spec("networkx") is None:
        return "  networkx is not installed here, so not measured"
    file = io.BytesIO()
    np.save(file, graph)
    command = [sys.executable, "-c", _NETWORKX]
    try:
        done = subprocess.run(
            command, input=file.getvalue(), capture_output=True, check=True, timeout=OF_LARGE
        )
    except subprocess.TimeoutExpired:
        return f"  networkx: no answer within {OF_LARGE:g} s, and no bounds"
    other = Result(name="networkx max_weight_clique", rates=(1 / float(done.stdout),))
    return Result(name="sslaudit", rates=(1 / took,)).row(what, other, "graphs/s")


def _nearest(distances: np.ndarray, density: float) -> np.ndarray:
    """The graph of that share of the pairs, the nearest ones."""
    graph: np.ndarray = distances <= np.quantile(distances[np.triu_indices(len(distances), 1)], density)
    return graph


def _digits(n: int) -> np.ndarray:
    images = load_digits().images.astype(np.uint8)
    chosen = images[np.random.default_rng(0).permutation(len(images))[:n]]
    shifts = [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)]
    views = np.stack([np.roll(chosen, shift, axis=(1, 2)) for shift in shifts], axis=1)
    return augmented_distances(views.reshape(len(chosen), len(shifts), -1))


def _points(n: int) -> np.ndarray:
    distances: np.ndarray = squareform(pdist(np.random.default_rng(0).random((n, 16))))
    return distances


def _natural(n: int, side: int = 16) -> np.ndarray:
    generator = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    noise = np.fft.fft2(generator.normal(size=(n, side, side)))
    images = np.fft.ifft2(noise / np.maximum(frequency, 1 / side)).real
    images /= images.std(axis=(1, 2), keepdims=True)
    images *= generator.uniform(0.3, 1.5, (n, 1, 1))
    images += generator.normal(scale=0.5, size=(n, 1, 1))
    distances: np.ndarray = squareform(pdist(images.reshape(n, -1)))
    return distances


FAMILIES: dict[str, Callable[[int], np.ndarray]] = {
    "digits": _digits,
    "points": _points,
    "natural images": _natural,
}
