"""``python -m benchmarks [--quick] [--only PART]``: print the table."""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks import (
    agreement,
    augmented,
    cliques,
    cost,
    cuda,
    independence,
    knn,
    probe,
    single,
    training,
    views,
    views4,
)
from benchmarks.photos import Album
from benchmarks.plan import Plan, full, quick
from benchmarks.table import Entry, render
from sslaudit.cli.process import settle

PARTS = {
    "views": views.measure,
    "single": single.measure,
    "views4": views4.measure,
    "cost": cost.measure,
    "distances": augmented.measure,
    "cliques": cliques.measure,
    "independence": independence.measure,
    "knn": knn.measure,
    "agreement": agreement.measure,
    "probe": probe.measure,
    "training": training.measure,
    "cuda": cuda.measure,
}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What views, extraction, distances and training cost."
    )
    parser.add_argument("--quick", action="store_true", help="little of everything: figures mean nothing")
    parser.add_argument("--only", choices=PARTS, help="one part of the table")
    options = parser.parse_args()
    settle()  # as the program does; what a peer does in this process gains by it too
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        album = Album(Path(folder))
        plan = quick(album) if options.quick else full(album)
        for line in render(entries(plan, [options.only] if options.only else list(PARTS))):
            print(line, flush=True)
    print(f"\nmeasured in {time.perf_counter() - start:.0f} s")


def entries(plan: Plan, parts: list[str]) -> Iterator[Entry]:
    """The rows of ``parts``, as they are measured."""
    yield (
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"CPU {torch.backends.cpu.get_cpu_capability()}, load {os.getloadavg()[0]:.1f}; "
        f"medians of {plan.rounds} rounds in turns"
    )
    for part in parts:
        yield ""
        yield from PARTS[part](plan)


if __name__ == "__main__":
    main()
