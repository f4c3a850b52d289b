"""CKA and mutual neighbours against definitions, their jackknives against leaving out."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit_probes.between import similarity
from sslaudit_probes.between.similarity import Similarity, debiased_linear_cka, linear_cka, mutual_knn
from sslaudit_theory import debiased_cka

TURNED = np.array(
    [
        [-0.80, -1.32, -0.25],
        [0.42, 1.14, 0.11],
        [-0.55, -0.78, 0.75],
        [1.63, 0.27, -1.23],
        [-0.96, 1.60, 0.20],
        [-1.73, -0.08, -1.16],
    ]
)
Q = np.linalg.qr(np.array([[-0.7, -0.7, 0.1], [0.2, -0.4, -0.9], [0.7, -0.6, 0.4]]))[0]
CROSS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def pair(seed: int, n: int, first: int, second: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    F = generator.normal(size=(n, first)) + 0.3
    return F, F @ generator.normal(size=(first, second)) + noise * generator.normal(size=(n, second))


def jackknife(values: list[float]) -> float:
    n = len(values)
    return float(np.sqrt((n - 1) / n * np.square(np.array(values) - np.mean(values)).sum()))


def half(found: Similarity) -> float:
    """The half width of an interval whose lower limit is not cut."""
    return (found.value - found.interval.low) / 1.959963984540054


def test_linear_cka_of_small_features() -> None:
    assert linear_cka(TURNED, 3 * TURNED @ Q + 7) == pytest.approx(1, abs=1e-12)
    assert linear_cka(CROSS, np.array([[1.0], [1.0], [-1.0], [-1.0]])) == pytest.approx(0, abs=1e-12)
    assert linear_cka(CROSS, np.ones((4, 1))) is None


@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(1, 12), st.integers(1, 12))
def test_linear_cka_against_loops(seed: int, n: int, first: int, second: int) -> None:
    F, G = pair(seed, n, first, second)
    centre = np.eye(n) - 1 / n
    K, L = centre @ F @ F.T @ centre, centre @ G @ G.T @ centre
    sums = [sum(a[i, j] * b[i, j] for i in range(n) for j in range(n)) for a, b in ((K, L), (K, K), (L, L))]
    assert linear_cka(torch.from_numpy(F), G) == pytest.approx(sums[0] / np.sqrt(sums[1] * sums[2]), rel=1e-9)
    assert linear_cka(G, F) == pytest.approx(linear_cka(F, G), rel=1e-9)


def test_debiased_cka_and_its_jackknife() -> None:
    F, G = pair(0, 30, 4, 6, noise=3)
    found = debiased_linear_cka(F, G)
    assert found.value == pytest.approx(debiased_cka(F, G), rel=1e-9)
    left = [debiased_cka(np.delete(F, i, axis=0), np.delete(G, i, axis=0)) for i in range(30)]
    assert half(found) == pytest.approx(jackknife(left), rel=1e-9)
    moved = debiased_linear_cka(torch.from_numpy(50 * F @ np.linalg.qr(F[:4])[0] + 3), G)
    assert moved.value == pytest.approx(found.value, rel=1e-9)


def test_debiased_cka_of_unrelated_features_is_near_0() -> None:
    generator = np.random.default_rng(0)
    F, G = generator.normal(size=(60, 200)), generator.normal(size=(60, 300))
    found = debiased_linear_cka(F, G)
    assert linear_cka(F, G) > 0.75
    assert abs(found.value) < 0.05
    assert found.interval.low < 0 < found.interval.high


def test_constant_features_have_a_reason() -> None:
    F, G = pair(1, 12, 3, 3)
    found = debiased_linear_cka(F, np.full((12, 2), np.float32(0.3)))
    assert (found.value, found.interval, found.reason) == (None, None, "constant features: g")
    assert debiased_linear_cka(0 * F + 1, 0 * G).reason == "constant features: f and g"


def test_mutual_neighbours_of_four_points() -> None:
    F = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    G = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.1, 0.8]])
    assert mutual_knn(F, G, 1).value == 0
    assert mutual_knn(F, G, 2).value == pytest.approx(0.625, rel=1e-9)
    assert mutual_knn(F, G, 2).chance == pytest.approx(2 / 3)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.integers(8, 12), st.integers(1, 5), st.integers(1, 60))
def test_mutual_neighbours_against_loops_and_leaving_out(seed: int, n: int, k: int, held: int) -> None:
    F, G = pair(seed, n, 3, 4)

    def naive(F: np.ndarray, G: np.ndarray) -> float:
        unit = [X / np.linalg.norm(X, axis=1, keepdims=True) for X in (F, G)]
        shared = 0
        for i in range(len(F)):
            near = [sorted(set(range(len(X))) - {i}, key=lambda j, X=X: -(X[i] @ X[j]))[:k] for X in unit]
            shared += len(set(near[0]) & set(near[1]))
        return shared / k / len(F)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "_HELD", held)
        found = mutual_knn(F, torch.from_numpy(7 * G), k)
    assert found.value == pytest.approx(naive(F, G), rel=1e-9)
    left = jackknife([naive(np.delete(F, i, axis=0), np.delete(G, i, axis=0)) for i in range(n)])
    assert found.interval.low == pytest.approx(max(0, found.value - 1.959963984540054 * left), abs=1e-9)
    assert found.interval.high == pytest.approx(min(1, found.value + 1.959963984540054 * left), abs=1e-9)


def test_ties_share_the_places_and_the_order_of_images_does_not_matter() -> None:
    F, G = pair(2, 20, 3, 4)
    F[5:12] = F[5]  # duplicates
    assert mutual_knn(F, F, 3).value == pytest.approx(1, rel=1e-9)
    order = np.random.default_rng(0).permutation(20)
    assert mutual_knn(F[order], G[order], 3).value == pytest.approx(mutual_knn(F, G, 3).value, rel=1e-9)
    collapsed = mutual_knn(np.ones((20, 2)), G, 3)
    assert collapsed.value == pytest.approx(collapsed.chance, rel=1e-9)


def test_what_is_refused() -> None:
    F, G = pair(3, 6, 2, 2)
    with pytest.raises(ValueError, match=r"k is in 1\.\.n-2"):
        mutual_knn(F, G, 5)
    with pytest.raises(ValueError, match="zero row"):
        mutual_knn(0 * F, G, 2)
    with pytest.raises(ValueError, match=r"\(n, D1\) and \(n, D2\)"):
        linear_cka(F, G[:5])
    with pytest.raises(ValueError, match="not all finite"):
        linear_cka(np.where(F > 0, np.inf, F), G)
    with pytest.raises(ValueError, match="take 5 images"):
        debiased_linear_cka(F[:4], G[:4])


MEASURED = """
import resource, sys
import numpy as np
from sslaudit_probes.between.similarity import debiased_linear_cka, mutual_knn
from sslaudit_probes.classes.collapse import collapse_of, statistics
from sslaudit_probes.classes.h_score import h_score
from sslaudit_probes.classes.logme import logme
from sslaudit_probes.classes.moments import class_moments, standard_error
F = np.random.default_rng(0).standard_normal((60000, 512), dtype=np.float32)
labels = np.arange(60000) % 10
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
if sys.argv[1] == "cka":
    debiased_linear_cka(F, F)
elif sys.argv[1] == "knn":
    mutual_knn(F, F, 10)
else:
    moments = class_moments(F, labels, balanced=True)
    collapse_of(moments)
    standard_error(statistics(moments)["nc1"], moments, F, labels)
    h_score(F, labels)
    logme(F, labels)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["cka", "knn", "classes"])
def test_memory_of_sixty_thousand_images(what: str) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED, what], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1.5e6  # kilobytes


@pytest.mark.slow
def test_the_interval_of_mutual_neighbours_errs_on_the_wide_side() -> None:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(300):
        F = generator.normal(size=(100, 4))
        one = mutual_knn(F, F + 0.7 * generator.normal(size=F.shape), 5)
        found.append((one.value, half(one)))
    value, error = np.array(found).T
    assert np.mean(np.abs(value - value.mean()) < 1.96 * error) > 0.94


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    F, G = pair(4, 200, 8, 6)
    there = torch.from_numpy(F).cuda()
    assert linear_cka(there, G) == pytest.approx(linear_cka(F, G), rel=1e-9)
    assert mutual_knn(there, torch.from_numpy(G).cuda(), 5) == mutual_knn(F, G, 5)
    assert debiased_linear_cka(there, G).value == pytest.approx(debiased_cka(F, G), rel=1e-9)
