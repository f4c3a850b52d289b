"""Finite worlds in which everything is enumerated: whatever a condition promises must be so.

A world is a handful of images with views, as points with pixel coordinates, and an encoder given by its
value at every point. All quantities are those of the world itself, computed one pair at a time, so
there is no sampling error, and a promise that is broken once disproves a theorem or its code.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pytest

from sslaudit_theory.certificates.choice import choose, choose_by_class
from sslaudit_theory.certificates.conditions import beta, theorem1, theorem1_by_class, theorem1_sharp
from sslaudit_theory.certificates.verdicts import Certificate
from sslaudit_theory.classes.spread import cantelli_bound, cantelli_pairs, cdnv_bound, decomposition

RUNGS = (
    "theorem1",
    "theorem1 by class",
    "sharp",
    "sharp, measured q",
    "theorem1 on features",
    "theorem1 by class on features",
    "sharp on features",
    "sharp, measured q on features",
    "Chebyshev",
    "Cantelli",
)


@dataclass
class World:
    """N images with V views: where they are, and what the encoder says. The plain image is view 0."""

    pixels: np.ndarray
    features: np.ndarray
    labels: list[int]
    r: float = 1.0
    on_sphere: bool = True

    @property
    def K(self) -> int:  # noqa: N802
        return max(self.labels) + 1

    def members(self, k: int) -> list[int]:
        return [i for i, label in enumerate(self.labels) if label == k]

    @cached_property
    def p(self) -> list[float]:
        return [len(self.members(k)) / len(self.labels) for k in range(self.K)]

    @cached_property
    def mu(self) -> list[list[float]]:
        return [
            np.mean([f for i in self.members(k) for f in self.features[i]], axis=0) for k in range(self.K)
        ]

    @cached_property
    def sup(self) -> list[float]:
        return [max(math.dist(a, b) for a in views for b in views) for views in self.features.tolist()]

    @cached_property
    def lipschitz(self) -> float:
        points = list(zip(flat(self.pixels), flat(self.features), strict=True))
        L = 0.0
        for (x, f), (y, g) in combinations(points, 2):
            if (apart := math.dist(x, y)) > 0:
                L = max(L, math.dist(f, g) / apart)
            elif f != g:
                return math.inf
        return L

    def cliques(self, where: np.ndarray, k: int) -> list[tuple[tuple[int, ...], float]]:
        """All sets of images of a class, with their largest augmented distance between points ``where``."""
        own, views = self.members(k), where.tolist()
        between = {
            (i, j): min(math.dist(a, b) for a in views[i] for b in views[j]) for i, j in combinations(own, 2)
        }
        return [
            (some, max((between[pair] for pair in combinations(some, 2)), default=0.0))
            for size in range(1, len(own) + 1)
            for some in combinations(own, size)
        ]

    @cached_property
    def right(self) -> list[bool]:
        """Whether the plain image is strictly nearest to its own centre."""
        answer = []
        for views, label in zip(self.features.tolist(), self.labels, strict=True):
            own = math.dist(views[0], self.mu[label])
            answer.append(all(own < math.dist(views[0], mu) for k, mu in enumerate(self.mu) if k != label))
        return answer

    @property
    def error(self) -> float:
        return 1 - sum(self.right) / len(self.right)


def flat(points: np.ndarray) -> list[tuple[float, ...]]:
    return [tuple(point) for image in points.tolist() for point in image]


def circle(rng: np.random.Generator) -> World:
    """Classes round evenly spaced directions, f the scaled identity; some views and images astray."""
    K, V = int(rng.integers(2, 4)), int(rng.integers(1, 4))
    labels = [k for k in range(K) for _ in range(rng.integers(2, 5))]
    wide = rng.choice([0.0, 0.001, 0.01, 0.1, 1.0])
    astray = rng.choice([0.0, 0.0, 0.1, 0.3])
    turn = np.array([2 * math.pi * k / K for k in labels])[:, None] + wide * rng.normal(size=(len(labels), V))
    turn += rng.choice([0.1, 0.5, math.pi]) * (rng.random(turn.shape) < astray)
    turn[:, :] += rng.choice([0.2, math.pi]) * (rng.random((len(labels), 1)) < astray / 2)
    features = np.stack([np.cos(turn), np.sin(turn)], axis=2)
    if rng.random() < 0.3:  # a common view, or none: distance 0 within a class
        features[:, -1] = [features[labels.index(k), -1] for k in labels]
    return World(rng.choice([0.1, 1.0, 255.0]) * features, features, labels)


def opposite(rng: np.random.Generator) -> World:
    """Two narrow opposite classes with many slightly misaligned images: rho between 1/2 and its largest."""
    labels = [0] * 4 + [1] * 4
    turn = np.array([math.pi * k for k in labels])[:, None] + 1e-3 * rng.normal(size=(8, 2))
    some = rng.permutation(8)[: rng.integers(1, 4)]
    turn[some, 1] += rng.choice([0.02, 0.2, 1.0]) * rng.random(len(some))
    features = np.stack([np.cos(turn), np.sin(turn)], axis=2)
    return World(features, features, labels)


def lattice(rng: np.random.Generator) -> World:
    """Few points on few directions: ties, duplicates and equal distances."""
    K, V = int(rng.integers(2, 4)), int(rng.integers(1, 5))
    labels = [k for k in range(K) for _ in range(rng.integers(1, 5))]
    directions = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    home = np.array(labels)[:, None]
    stray = rng.random((len(labels), V)) < rng.choice([0.05, 0.2])
    which = np.where(stray, rng.integers(0, 5, (len(labels), V)), home)
    return World(which[:, :, None].astype(float), directions[which], labels)


def anywhere(rng: np.random.Generator) -> World:
    """Random points on the sphere, pixels unrelated to them."""
    K, V, D = int(rng.integers(2, 4)), int(rng.integers(1, 4)), int(rng.integers(2, 4))
    labels = [k for k in range(K) for _ in range(rng.integers(1, 5))]
    features = rng.normal(size=(K, 1, D))[labels] + rng.choice([0.05, 0.3, 2.0]) * rng.normal(
        size=(len(labels), V, D)
    )
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    return World(rng.normal(size=(len(labels), V, 2)), features, labels)


def in_the_ball(rng: np.random.Generator) -> World:
    """Norms at most r, not equal to it: only the sharp conditions and the second moments apply."""
    world = circle(rng)
    shrink = 1 - rng.choice([0.01, 0.2, 0.8]) * rng.random((*world.features.shape[:2], 1))
    features = 2.5 * shrink * world.features
    return World(0.5 * features, features, world.labels, r=2.5, on_sphere=False)


FAMILIES = (circle, opposite, lattice, anywhere, in_the_ball)


def rungs(
    world: World, where: np.ndarray, L: float, rng: np.random.Generator, counts: Counter[str]
) -> Iterator[tuple[str, Certificate, list[list[int]]]]:
    """Certificates with augmented distances between points ``where``, and the good images of each class."""
    K, n = world.K, [len(world.members(k)) for k in range(world.K)]
    cliques = [world.cliques(where, k) for k in range(K)]
    widths = sorted({wide for own in cliques for _, wide in own})
    deltas = widths if len(widths) < 5 else sorted(rng.choice(widths, 5, replace=False).tolist())
    sigmas = np.array(
        [
            [max(len(c) for c, wide in cliques[k] if wide <= delta) / n[k] for k in range(K)]
            for delta in deltas
        ]
    )
    mu = np.array(world.mu)
    overlap = np.array([[float(a @ b) for b in mu] for a in mu]) / world.r**2
    distances = np.array([[math.dist(a, b) for b in mu] for a in mu])
    delta_mu = 1 - min(overlap[k, k] for k in range(K))
    geometry = {"L": L, "r": world.r}
    # Besides the best eps and delta, some others: a theorem knows nothing of the choice.
    any_setting, at = rng.random() < 0.3, int(rng.integers(len(deltas)))
    eps_at = float(rng.choice([0.0, *world.sup]))

    def good(sigma: list[float], delta: list[float], eps: list[float]) -> list[list[int]]:
        """Images with views within eps, in any set of their class that is as large and as narrow as asked."""
        return [
            sorted(
                {
                    i
                    for clique, wide in cliques[k]
                    if wide <= delta[k] and len(clique) >= sigma[k] * n[k] - 1e-9
                    for i in clique
                    if world.sup[i] <= eps[k]
                }
            )
            for k in range(K)
        ]

    def misaligned(k: int, eps: float) -> float:
        return sum(world.sup[i] > eps for i in world.members(k)) / n[k]

    if world.on_sphere:
        chosen = choose(
            world.sup, deltas, sigmas.min(axis=1), p_min=min(world.p), delta_mu=delta_mu,
            max_overlap=max(overlap[i, j] for i in range(K) for j in range(K) if i != j), **geometry,
        )  # fmt: skip
        settings = [(chosen.sigma, chosen.delta, chosen.eps)]
        if any_setting:
            settings.append((float(sigmas[at].min()), deltas[at], eps_at))
        for sigma, delta, eps in settings:
            R = sum(s > eps for s in world.sup) / len(world.sup)
            found = theorem1(overlap, delta_mu, world.p, sigma=sigma, delta=delta, eps=eps, R=R, **geometry)
            yield "theorem1", found, good([sigma] * K, [delta] * K, [eps] * K)

    own = choose_by_class(
        world.sup, world.labels, deltas, sigmas, distances=distances,
        overlap=overlap if world.on_sphere else None, delta_mu=delta_mu, **geometry,
    )  # fmt: skip
    by_class = [([c.sigma for c in own], [c.delta for c in own], [c.eps for c in own])]
    if any_setting:
        by_class.append((sigmas[at].tolist(), [deltas[at]] * K, [eps_at] * K))
    for sigma, delta, eps in by_class:
        each = {"sigma": sigma, "delta": delta, "eps": eps, "R": [misaligned(k, eps[k]) for k in range(K)]}
        reached = good(sigma, delta, eps)
        if world.on_sphere:
            yield (
                "theorem1 by class",
                theorem1_by_class(overlap, delta_mu, world.p, **each, **geometry),
                reached,
            )
        yield "sharp", theorem1_sharp(distances, world.p, **each, **geometry), reached
        # One actual set of each class, and how many of its images are good.
        parts = [
            next(c for c, wide in cliques[k] if wide <= delta[k] and len(c) >= sigma[k] * n[k] - 1e-9)
            for k in range(K)
        ]
        inside = [[i for i in parts[k] if world.sup[i] <= eps[k]] for k in range(K)]
        q = [len(inside[k]) / n[k] for k in range(K)]
        yield "sharp, measured q", theorem1_sharp(distances, world.p, **each, **geometry, q=q), inside
        within(world, inside, q, [L * d + 2 * e for d, e in zip(delta, eps, strict=True)], each, counts)


def within(
    world: World,
    inside: list[list[int]],
    q: list[float],
    D: list[float],
    each: dict[str, list[float]],
    counts: Counter[str],
) -> None:
    """Good images lie within r beta of their centre, whatever the condition; not so with 1 - rho."""
    for k, images in enumerate(inside):
        reach = float(beta(q[k], D[k], world.r))
        for i in images:
            f = world.features[i, 0]
            assert math.dist(f, world.mu[k]) <= world.r * reach + 1e-12
            if world.on_sphere:
                cosine = float(f @ np.array(world.mu[k])) / world.r**2
                assert cosine >= 1 - reach - 1e-12
                rho = 2 * (1 - each["sigma"][k]) + each["R"][k] + each["sigma"][k] * D[k] / world.r
                counts["f . mu below 1 - rho"] += bool(cosine < 1 - rho - 1e-12)


def keeps_its_promise(world: World, found: Certificate, good: list[list[int]]) -> None:
    for k in np.flatnonzero(found.rows):
        assert all(world.right[i] for i in good[k])
    assert world.error <= 1 - found.mass + 1e-12
    assert found.mass <= 1
    if found.guarantee.met:
        assert found.rows.all()
        assert world.error <= found.bound + 1e-12
    else:
        assert found.bound is None


def second_moments(world: World, seen: set[str]) -> None:
    """The bounds of P[a random view of a random image is misclassified | class], and of each confusion."""
    parts = decomposition(world.features, world.labels)
    chebyshev, pairs, cantelli = cdnv_bound(parts), cantelli_pairs(parts), cantelli_bound(parts)
    for k in range(world.K):
        views = [f for i in world.members(k) for f in world.features[i].tolist()]
        confused = [
            [math.dist(f, world.mu[j]) <= math.dist(f, world.mu[k]) - 1e-15 for f in views]
            for j in range(world.K)
        ]
        wrong = sum(any(confused[j][v] for j in range(world.K) if j != k) for v in range(len(views)))
        assert wrong / len(views) <= min(chebyshev[k], cantelli[k]) + 1e-12
        for j in range(world.K):
            assert j == k or sum(confused[j]) / len(views) <= pairs[k, j] + 1e-12
    for name, bound in (("Chebyshev", chebyshev), ("Cantelli", cantelli)):
        if float(np.dot(world.p, bound)) < 1 - max(world.p):
            seen.add(name)


@pytest.mark.parametrize("worlds", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_every_promise_is_kept(worlds: int) -> None:
    rng = np.random.default_rng(worlds)
    counts: Counter[str] = Counter()
    for number in range(worlds):
        world = FAMILIES[number % len(FAMILIES)](rng)
        seen: set[str] = set()
        for space, where, L in (("", world.pixels, world.lipschitz), (" on features", world.features, 1.0)):
            if not math.isfinite(L):
                continue
            for rung, found, good in rungs(world, where, L, rng, counts):
                keeps_its_promise(world, found, good)
                if found.rows.any():
                    seen.add(f"{rung}{space}: some class")
                if found.guarantee.met:
                    seen.add(rung + space)
                    if not found.vacuous:
                        seen.add(f"{rung}{space}: below the majority error")
                if rung == "theorem1" and found.guarantee.met and found.shares[0].total > 0.5:
                    seen.add("rho above 1/2")
        second_moments(world, seen)
        counts.update(seen)
    print(*(f"{name}: {counts[name]:,} of {worlds:,} worlds" for name in sorted(counts)), sep="\n")
    assert all(counts[name] > worlds / 100 for name in (*RUNGS, "rho above 1/2"))
    assert counts["f . mu below 1 - rho"] > 0
