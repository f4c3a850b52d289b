"""Augmented distances against double loops, and what products of floats may not lose."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from sslaudit_theory.sigma.augmented import (
    augmented_distance,
    augmented_distances,
    augmented_winners,
    nearest_other_class,
    share_within,
)

TOLERANCES = {"uint8": 1e-15, "float16": 1e-6, "float32": 1e-6, "float64": 1e-9}
"""Relative, of a distance."""


def naive(views: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Loops over both sides and all pairs of views, by direct difference in float64."""
    found = np.full((len(views), len(others)), np.inf)
    for i, first in enumerate(views.astype(np.float64)):
        for j, second in enumerate(others.astype(np.float64)):
            for a in first:
                for b in second:
                    found[i, j] = min(found[i, j], float(np.sqrt(np.sum((a - b) ** 2))))
    return found


def draw(seed: int, shape: tuple[int, ...], kind: str, spread: float = 50.0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(128, spread, shape)
    return values.clip(0, 255).astype(kind) if kind == "uint8" else values.astype(kind)


def one(*rows: float) -> np.ndarray:
    return np.array(rows)[:, None]


def test_the_closest_views_count() -> None:
    assert augmented_distance(one(0.0, 1.0), one(3.0, 5.0)) == 2.0
    first, second = np.array([[0, 0], [3, 4]]), np.array([[6, 8], [3, 0], [-1, 1]])
    assert augmented_distance(first, second) == pytest.approx(1.4142135623730951, abs=1e-12)


def test_there_is_no_triangle_inequality() -> None:
    x, a, y = one(0.0), one(0.0, 10.0), one(10.0)
    found = [augmented_distance(*pair) for pair in ((x, a), (a, y), (x, y))]
    assert found == [0.0, 0.0, 10.0]


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 40)),
    others=st.none() | st.tuples(st.integers(1, 9), st.integers(1, 4)),
    kind=st.sampled_from(sorted(TOLERANCES)),
    block_bytes=st.sampled_from([1, 500, 3000, 2**23]),
)
@settings(deadline=None)
def test_distances_are_those_of_loops(
    seed: int, shape: tuple[int, int, int], others: tuple[int, int] | None, kind: str, block_bytes: int
) -> None:
    views = draw(seed, shape, kind)
    beside = None if others is None else draw(seed + 1, (*others, shape[2]), kind)
    found = augmented_distances(views, beside, block_bytes=block_bytes)
    expected = naive(views, views if beside is None else beside)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCES[kind])
    if beside is None:
        assert (np.diagonal(found) == 0).all()
        np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("kind", sorted(TOLERANCES))
@pytest.mark.parametrize("dim", [257, 1500, 3073])
def test_long_rows_too(kind: str, dim: int) -> None:
    views, others = draw(0, (11, 3, dim), kind), draw(1, (7, 2, dim), kind)
    found = augmented_distances(views, others, block_bytes=4000)
    np.testing.assert_allclose(found, naive(views, others), rtol=TOLERANCES[kind])


def test_two_kinds_of_views() -> None:
    views, anchors = draw(0, (6, 3, 300), "uint8"), draw(1, (4, 1, 300), "float32")
    np.testing.assert_allclose(augmented_distances(views, anchors), naive(views, anchors), rtol=1e-6)


@pytest.mark.parametrize("dim", [3072, 5000])
def test_bytes_are_exact_to_the_last_unit(dim: int) -> None:
    views = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (5, 2, dim))
    views[1, 0] = views[0, 1]
    views[1, 0, 17] ^= 1
    squares = np.array(
        [[min(int(np.square(p - q).sum()) for p in a for q in b) for b in views.astype(int)]
         for a in views.astype(int)]
    )  # fmt: skip
    np.testing.assert_array_equal(augmented_distances(views), np.sqrt(squares))
    assert augmented_distances(views, scale=1 / 255)[0, 1] == 1 / 255


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("apart", [1e-3, 1e-5, 1e-7, 1e-9])
def test_near_duplicates_keep_their_digits(kind: str, apart: float) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(12, 3072))
    rows *= 50 / np.linalg.norm(rows, axis=1, keepdims=True)
    steps = generator.normal(size=rows.shape)
    steps *= apart / np.linalg.norm(steps, axis=1, keepdims=True)
    views = np.stack([rows, -2 * rows], axis=1).astype(kind)
    others = np.stack([3 * rows, rows + steps], axis=1).astype(kind)
    np.testing.assert_allclose(augmented_distances(views, others), naive(views, others), rtol=1e-6)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("apart", [0.3, 1e-2, 1e-6])
def test_tight_classes_far_from_one_another(kind: str, apart: float) -> None:
    """All products of a class have one sign, the worst case of rounding."""
    generator = np.random.default_rng(1)
    centres = np.abs(generator.normal(size=(4, 1, 700)))
    views = (np.repeat(centres, 5, axis=0) + apart * generator.normal(size=(20, 3, 700))).astype(kind)
    expected = cdist(views.reshape(60, 700).astype(float), views.reshape(60, 700).astype(float))
    expected = expected.reshape(20, 3, 20, 3).min(axis=(1, 3))
    np.testing.assert_allclose(augmented_distances(views), expected, rtol=1e-6 if kind == "float32" else 1e-9)


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_equal_rows_are_at_zero(kind: str) -> None:
    views = draw(0, (6, 2, 500), kind)
    views[4, 1] = views[1, 0]
    found = augmented_distances(views)
    assert found[1, 4] == 0 == found[4, 1]
    assert (found == 0).sum() == 8
    constant = np.full((5, 2, 300), 7, kind)
    assert (augmented_distances(constant) == 0).all()


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e18])
def test_extreme_units(size: float) -> None:
    views = (np.random.default_rng(0).normal(size=(5, 2, 300)) * size).astype(np.float32)
    np.testing.assert_allclose(augmented_distances(views), naive(views, views), rtol=1e-6)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_products_of_reduced_precision_elsewhere_in_the_process(kind: str) -> None:
    views = draw(0, (40, 4, 600), kind)
    expected = augmented_distances(views)
    torch.set_float32_matmul_precision("medium")
    try:
        np.testing.assert_allclose(augmented_distances(views), expected, rtol=1e-6)
    finally:
        torch.set_float32_matmul_precision("highest")


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["uint8", "float32", "float64"]))
@settings(deadline=None)
def test_views_added_never_move_images_apart(seed: int, kind: str) -> None:
    views = draw(seed, (6, 5, 12), kind)
    few, more = augmented_distances(views[:, :3]), augmented_distances(views)
    assert (more <= few * (1 + 1e-9)).all()


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_neither_blocks_nor_repetition_change_the_answer(kind: str) -> None:
    views = draw(3, (37, 3, 400), kind)
    found = augmented_distances(views)
    assert found.tobytes() == augmented_distances(views.copy()).tobytes()
    for block_bytes in (1, 2000, 50_000, 2**25):
        np.testing.assert_allclose(
            augmented_distances(views, block_bytes=block_bytes), found, rtol=2 * TOLERANCES[kind]
        )
    frozen = views.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(augmented_distances(frozen), found)


@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["uint8", "float32", "float64"]),
    block_bytes=st.sampled_from([1, 2000, 2**23]),
    itself=st.booleans(),
)
@settings(deadline=None)
def test_winners_are_the_closest_views(seed: int, kind: str, block_bytes: int, itself: bool) -> None:
    generator = np.random.default_rng(seed)
    views = generator.integers(0, 3, (7, 3, 4)).astype(kind)  # many ties
    others = views if itself else generator.integers(0, 3, (5, 2, 4)).astype(kind)
    found, winners = augmented_winners(views, None if itself else others, block_bytes=block_bytes)
    np.testing.assert_allclose(found, naive(views, others), rtol=1e-9)
    for i, j in np.ndindex(found.shape):
        first, second = (j, i) if itself and i > j else (i, j)
        table = cdist(views[first].astype(float), others[second].astype(float))
        expected = np.unravel_index(table.argmin(), table.shape)
        if itself and i == j:
            expected = (0, 0)
        assert tuple(winners[i, j]) == (expected if (first, second) == (i, j) else expected[::-1])


def test_the_nearest_image_of_another_class() -> None:
    generator = np.random.default_rng(0)
    for kind in ("uint8", "float32", "float64"):
        views, labels = draw(5, (31, 2, 20), kind), generator.integers(0, 4, 31)
        distances = naive(views, views)
        expected = [distances[i, labels != labels[i]].min() for i in range(31)]
        for block_bytes in (1, 3000, 2**23):
            found = nearest_other_class(views, labels, block_bytes=block_bytes)
            np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_classes_that_share_a_sample_are_found() -> None:
    views = np.array([[[0.0], [1.0]], [[1.0], [2.0]], [[9.0], [9.5]]])
    nearest = nearest_other_class(views, np.array(["cat", "dog", "cat"]))
    np.testing.assert_array_equal(nearest, [0.0, 0.0, 7.0])
    assert [share_within(nearest, delta) for delta in (0.0, 6.9, 7.0)] == [2 / 3, 2 / 3, 1.0]


def test_memory_is_that_of_a_block() -> None:
    """Products of all pairs of views would take 240 MiB in float64."""
    script = """
import resource
import numpy as np
from sslaudit_theory.sigma.augmented import nearest_other_class
views = np.random.default_rng(0).integers(0, 256, (700, 8, 32), dtype=np.uint8)
nearest_other_class(views[:50], np.arange(50))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
nearest_other_class(views, np.arange(700) % 10, block_bytes=2**21)
nearest_other_class(views.astype(np.float32), np.arange(700) % 10, block_bytes=2**21)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    plugins = Path(sys.modules["sslaudit_theory"].__path__[0]).parent
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=plugins
    )
    assert int(done.stdout) < 40 * 1024  # KiB


def test_what_is_refused() -> None:
    views = np.zeros((3, 2, 4))
    with pytest.raises(ValueError, match=r"\(V, D\) and \(W, D\)"):
        augmented_distance(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="a view of each image"):
        augmented_distance(np.zeros((0, 3)), np.zeros((2, 3)))
    for wrong in (np.zeros((3, 4)), np.zeros((3, 0, 4)), np.zeros((0, 2, 4))):
        with pytest.raises(ValueError, match=r"\(n, V, D\)"):
            augmented_distances(wrong)
    with pytest.raises(ValueError, match="same D"):
        augmented_distances(views, np.zeros((3, 2, 5)))
    for bad in (np.nan, np.inf, -np.inf):
        broken = np.array([[[0.0, bad]], [[-bad, 1.0]]])
        with pytest.raises(ValueError, match="not finite"):
            augmented_distances(broken)
        with pytest.raises(ValueError, match="not finite"):
            augmented_distances(views[..., :2], broken.astype(np.float32))
        with pytest.raises(ValueError, match="not finite"):
            augmented_distance(broken[0], broken[1])
    with pytest.raises(ValueError, match="two classes"):
        nearest_other_class(views, np.zeros(3))
    with pytest.raises(ValueError, match="as many labels"):
        nearest_other_class(views, np.zeros(2))
    with pytest.raises(ValueError, match="needs distances"):
        share_within(np.zeros(0), 1.0)
