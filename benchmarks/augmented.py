"""Augmented distances of all pairs of images: against a matrix product, and against distances one by one.

All rates count the products of the symmetric half, D (n V)^2 flop, so a peer that computes both halves
loses a factor of two by that alone.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from benchmarks.plan import Plan
from benchmarks.race import Contender, Result, race
from benchmarks.table import Entry
from sslaudit_theory.sigma.augmented import augmented_distances

IMAGES, VIEWS, DIM = 1000, 4, 3072
"""The largest comparison: 32-pixel images."""
OF_PRODUCT = 0.5
"""Target: of the rate of a float32 matrix product of side 4,096."""

Work = tuple[str, float, Callable[[], object]]
"""Name, flop, and the call that does it."""


def measure(plan: Plan) -> Iterator[Entry]:
    """Rows for bytes and for floats against the product, then for bytes against peers on fewer images."""
    yield f"Augmented distances of all pairs, V={VIEWS}, D={DIM}"
    images = max(8, int(IMAGES * min(1.0, plan.seconds / 2)))
    side = min(4096, 5 * images)
    matrix = torch.from_numpy(_pixels(side, side)).float()
    pixels = _pixels(images * VIEWS, DIM).reshape(images, VIEWS, DIM)
    floats = pixels.astype(np.float32) / 255
    flop = DIM * float(images * VIEWS) ** 2
    bytewise, single, product = _rates(
        plan,
        ("sslaudit", flop, lambda: augmented_distances(pixels)),
        ("sslaudit", flop, lambda: augmented_distances(floats)),
        (f"matrix product {side:,}, float32", 2.0 * side**3, lambda: matrix @ matrix),
    )
    yield bytewise.row(f"distances, n={images:,}, bytes, exact", product, "GFLOP/s", OF_PRODUCT)
    yield single.row(f"distances, n={images:,}, float32", product, "GFLOP/s", OF_PRODUCT)
    few = pixels[: images // 4]
    rows, flop = few.reshape(-1, DIM), DIM * float(len(few) * VIEWS) ** 2
    own, *others = _rates(
        plan,
        ("sslaudit", flop, lambda: augmented_distances(few)),
        ("torch.cdist, float32, without products", flop, lambda: _least(_torch_distances(rows))),
        ("scipy cdist, float64", flop, lambda: _least(torch.from_numpy(cdist(rows, rows)))),
    )
    for other in others:
        yield own.row(f"distances, n={len(few):,}, bytes, exact", other, "GFLOP/s")


def _rates(plan: Plan, *works: Work) -> list[Result]:
    """GFLOP/s of each, in turns."""
    contenders = [Contender(name=name, run=lambda *_, call=call: call()) for name, _, call in works]
    return [
        Result(name=result.name, rates=tuple(rate * flop / 1e9 for rate in result.rates))
        for result, (_, flop, _) in zip(race(contenders, 1, plan.rounds), works, strict=True)
    ]


def _pixels(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, columns), dtype=np.uint8)


def _torch_distances(rows: np.ndarray) -> Tensor:
    values = torch.from_numpy(rows).float()
    return torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist")


def _least(distances: Tensor) -> Tensor:
    """Of all pairs of views."""
    images = len(distances) // VIEWS
    return distances.view(images, VIEWS, images, VIEWS).amin(dim=(1, 3))
