"""Cost against V and against N: seconds grow in proportion, memory does not grow.

Each line is measured in a process of its own, from the smallest point to the largest, so that the
highest memory so far at a point is due to that point.
"""

import multiprocessing
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from torch import nn

from benchmarks import ours
from benchmarks.networks import Network
from benchmarks.photos import Album
from benchmarks.plan import Plan
from benchmarks.race import Result, seconds
from benchmarks.table import Entry
from sslaudit import Preprocess

Point = tuple[int, int]
"""N images and V views."""


def measure(plan: Plan) -> Iterator[Entry]:
    """A line for V and a line for N, and whether what is added late costs what is added early.

    The first view of an image also pays for decoding it, so the rate rises with V towards that of views.
    """
    yield "Cost against V and N, a network of one convolution at 64 px"
    images, views = plan.cost_images, plan.cost_views
    yield from _line(plan, f"V, at N={images[0]}", [(images[0], v) for v in views], views)
    yield from _line(plan, f"N, at V={views[1]}", [(n, views[1]) for n in images], images)


def _line(plan: Plan, name: str, points: list[Point], steps: tuple[int, ...]) -> Iterator[Entry]:
    for images, _ in points:
        plan.album.first(images)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        found = process.submit(_points, plan.album.folder, points, plan.rounds).result()
    medians = [statistics.median(times) for times, _ in found]
    rates = [images * views / median for (images, views), median in zip(points, medians, strict=True)]
    peaks = ["-" if peak is None else f"{peak:.0f}" for _, peak in found]
    yield f"  {name:<12}" + "".join(f"{step:>8}" for step in steps)
    yield f"  {'seconds':<12}" + "".join(f"{median:>8.3g}" for median in medians)
    yield f"  {'views/s':<12}" + "".join(f"{rate:>8.4g}" for rate in rates)
    yield f"  {'extra MiB':<12}" + "".join(f"{peak:>8}" for peak in peaks)
    middle = len(steps) // 2
    rounds = list(zip(*(times for times, _ in found), strict=True))
    late = Result(name="", rates=tuple(_slope(points, times, middle, -1) for times in rounds))
    early = Result(
        name=f"added {name[0]} from {steps[0]} to {steps[middle]} (1: in proportion)",
        rates=tuple(_slope(points, times, 0, middle) for times in rounds),
    )
    yield late.row(f"added {name[0]} from {steps[middle]} to {steps[-1]}", early, "views/s")


def _slope(points: list[Point], times: Sequence[float], start: int, end: int) -> float:
    """Added views per added second between two points."""
    (n0, v0), (n1, v1) = points[start], points[end]
    return (n1 * v1 - n0 * v0) / (times[end] - times[start])


def _points(folder: Path, points: list[Point], rounds: int) -> list[tuple[list[float], float | None]]:
    """Seconds in each round, and the highest memory so far above that before the first point, in MiB."""
    layers = nn.Sequential(nn.Conv2d(3, 16, 8, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = Network(
        name="one convolution", module=layers.eval(), preprocess=Preprocess(size=(64, 64)), device="cpu"
    )
    album = Album(folder)
    for images, _ in points:
        _ = album.first(images).data  # opened before memory is looked at
    before, peaks, runs = _memory("VmRSS"), [], []
    for images, views in points:
        runs.append(partial(ours.extraction(network, album, views=views), images, 0))
        runs[-1]()
        peak = _memory("VmHWM")
        peaks.append(None if peak is None or before is None else max(0.0, peak - before))
    times = [[seconds(run) for run in runs] for _ in range(rounds)]
    return [(list(of_point), peak) for of_point, peak in zip(zip(*times, strict=True), peaks, strict=True)]


def _memory(entry: str) -> float | None:
    """``VmRSS`` or ``VmHWM`` (its highest value) of this process in MiB; None where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields[entry].split()[0]) / 1024
