"""The metric ``embedding-map``: the embeddings as a picture, with the views of some images joined."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sslaudit.figures import Points, Scatter, Series
from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate
from sslaudit_probes.shape.plane import Plane, centre_plane, closest_centres, principal_plane
from sslaudit_probes.shape.sample import ROWS, is_constant, unit_matrix

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

SAMPLE = 1000
"""Images at most that a plane is fitted to and its share of variance taken of."""
POINTS = 240
"""Images at most that a figure shows."""
JOINED = 6
"""Of these, images whose views are shown, too."""
VIEWS = 8
"""Views at most of each of them, the image itself included."""
NAMED = 10
"""More classes than this are one group, but for the closest ones."""
DIGITS = 3
"""Decimals of coordinates, behind the first digit of the largest."""
OTHERS, CENTRES, IMAGES = "other classes", "class centres", "images"
"""Names of groups that are no class."""


@dataclass(frozen=True, slots=True, eq=False)
class _World:
    """The images of a run whose embedding has a direction."""

    rows: np.ndarray
    """(N, D) embeddings of all images as they are."""
    order: np.ndarray
    """(n,) indices of those with a direction, in random order."""
    labels: np.ndarray
    """(N,) an index into ``names``."""
    names: tuple[str, ...]
    """``IMAGES`` alone where there are no labels."""

    def drawn(self, among: np.ndarray | None = None) -> np.ndarray:
        """At most ``SAMPLE`` indices, of classes ``among``, each in proportion; so is every first part."""
        order = self.order if among is None else self.order[np.isin(self.labels[self.order], among)]
        by_class = np.argsort(self.labels[order], kind="stable")
        sizes = np.bincount(self.labels[order])
        sizes = sizes[sizes > 0]
        place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        share = (place + 0.5) / np.repeat(sizes, sizes)
        return order[by_class[np.argsort(share, kind="stable")[:SAMPLE]]]

    def unit(self, images: np.ndarray) -> np.ndarray:
        """(n, D) float64, of length 1."""
        return _unit(self.rows[images])


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``embedding-map``: a picture of the embeddings, and how much of their variance it keeps.

    Formula: sum of squares of the images in the plane over that in the space, both about their mean, of
      embeddings at length 1. The plane goes through the two closest class centres and the centre nearest to
      them, and the images are those of these classes; without labels it is that of the two principal
      components, which the second figure shows with all classes.
    Shapes: the identity view of all images for the centres, (N, D), of at most 1,000 for a plane; the views
      of six images.
    Range: 0 to 1; 1 where the embeddings lie in a plane.
    Typical: of the SimCLR encoder of ``sslaudit demo`` the plane of its three closest classes keeps .468 of
      their variance, two principal components keep .318 of that of all ten (digits).
    High: what the picture shows is about all there is to see.
    Low: the picture shows little: images that look near each other may be far apart. Distances in a plane
      are never larger than those in the space.
    Bias: none: it describes the images that are drawn. With as few images as dimensions principal components
      keep more than they would of others.
    Source: Pearson, Philosophical Magazine 1901, for principal components; the plane of centres is own, for
      the closest classes in the condition of Huang et al., ICLR 2023, Theorem 1.
    """
    rows, known = inputs.embeddings, inputs.labels_if_any
    world = _World(
        rows=rows,
        order=inputs.rng().permutation(np.flatnonzero(rows.any(axis=1))),
        labels=np.zeros(len(rows), dtype=np.int64) if known is None else known.values,
        names=(IMAGES,) if known is None else known.classes,
    )
    if len(world.order) < 2:
        return Estimate.not_applicable("fewer than two images have an embedding that is not zero")
    sample = world.drawn()
    units = world.unit(sample)
    if is_constant(units):
        return Estimate.not_applicable("zero variance: all embeddings are equal")
    classes, centres = _closest(world)
    components = principal_plane(units)
    share = components.kept(units)
    whole = Scatter(
        title="plane of the two principal components",
        x_label="first principal component",
        y_label="second principal component",
        equal=True,
        note="What is apart here is apart in the space, what is near here may not be; lines join an image to "
        "its views.",
        **_drawn(inputs, world, components, sample[:POINTS], classes),
    )
    if not len(classes):
        return _estimate(share, "the two principal components", sample, {}, (whole,))
    names = [world.names[k] for k in classes]
    images = world.drawn(among=classes)
    try:
        plane = centre_plane(centres, world.unit(images))
    except ValueError:
        coincide = f"the two principal components, as the centres of {names[0]} and {names[1]} coincide"
        return _estimate(share, coincide, sample, {}, (whole,))
    first = Scatter(
        title="plane of the closest class centres",
        x_label="along the line of the two closest centres",
        y_label="towards the third centre" if len(names) > 2 else "direction of most spread across that line",
        equal=True,
        note="Where classes mix here their images spread farther than their centres are apart; lines join an "
        "image to its views.",
        **_drawn(inputs, world, plane, images[:POINTS], classes, centres),
    )
    return _estimate(
        plane.kept(world.unit(images)),
        f"the closest class centres ({', '.join(names)})",
        images,
        {
            "classes": ", ".join(names),
            "centre_distance": float(np.linalg.norm(centres[1] - centres[0])),
            "principal_components": share,
            "reading": f"PCA {number(share)}",
        },
        (first, whole),
    )


def _estimate(
    value: float, plane: str, images: np.ndarray, details: Mapping[str, Detail], figures: tuple[Scatter, ...]
) -> Estimate:
    return Estimate(
        value=value,
        no_interval="a picture of these images, no estimate for others",
        claim="measured",
        note=f"Share of the variance of {len(images):,} embeddings at length 1 in the plane of {plane}. "
        "Distances in a plane are smaller than in the space: it is a picture, no measurement.",
        details={**details, "images": len(images)},
        figures=figures,
        minor=True,
    )


def _closest(world: _World) -> tuple[np.ndarray, np.ndarray]:
    """The classes with the closest centres, two or three, and their centres; none of fewer than two classes.

    Centres are means over the images at length 1, as they are.
    """
    present, own = np.unique(world.labels[world.order], return_inverse=True)
    if len(present) < 2:
        return present[:0], np.empty((0, world.rows.shape[1]))
    sums = torch.zeros(len(present), world.rows.shape[1], dtype=torch.float64)
    for start in range(0, len(own), ROWS):
        part = slice(start, start + ROWS)
        rows = torch.from_numpy(world.rows[world.order[part]]).double()
        sums.index_add_(0, torch.from_numpy(own[part]), rows / rows.norm(dim=1, keepdim=True))
    centres = sums.numpy() / np.bincount(own)[:, None]
    found = list(closest_centres(centres))
    return present[found], centres[found]


def _drawn(
    inputs: "MetricInputs",
    world: _World,
    plane: Plane,
    images: np.ndarray,
    classes: np.ndarray,
    centres: np.ndarray | None = None,
) -> dict[str, Any]:
    """Groups and lines of a figure: ``images`` by class, the first with views, and ``centres`` (K, D)."""
    at = plane.coordinates(world.unit(images))
    stars = {place: plane.coordinates(views) for place, views in _views(inputs, images[:JOINED]).items()}
    marked = plane.coordinates(np.empty((0, world.rows.shape[1])) if centres is None else centres)
    extent = float(max(np.abs(points).max(initial=0.0) for points in (at, marked, *stars.values())))
    decimals = DIGITS - math.floor(math.log10(extent)) if extent else 0

    def columns(points: np.ndarray) -> dict[str, Any]:
        rounded = np.round(points, decimals) + 0.0
        return {"x": rounded[:, 0].tolist(), "y": rounded[:, 1].tolist()}

    named = _named(world, images, classes)
    groups = [
        Points(name=name, **columns(at[[own == name for own in named]]))
        for name in sorted(
            set(named), key=lambda name: world.names.index(name) if name in world.names else len(world.names)
        )
    ]
    if len(marked):
        groups.append(Points(name=CENTRES, labels=[world.names[k] for k in classes], **columns(marked)))
    lines = []
    for place, views in stars.items():
        star = np.repeat(at[place][None], 2 * len(views) + 1, axis=0)
        star[1::2] = views
        lines.append(Series(name=named[place], **columns(star)))
    return {"groups": groups, "lines": lines}


def _named(world: _World, images: np.ndarray, closest: np.ndarray) -> list[str]:
    """The group of each image: its class; of many classes ``closest`` alone, and ``OTHERS``."""
    labels = world.labels[images].tolist()
    shown = set(labels if len(set(labels)) <= NAMED else closest.tolist())
    return [world.names[k] if k in shown else OTHERS for k in labels]


def _views(inputs: "MetricInputs", images: np.ndarray) -> dict[int, np.ndarray]:
    """By place in ``images``, the views (V - 1, D) of an image at length 1, without the image itself."""
    found: dict[int, np.ndarray] = {}
    for rows, block in inputs.views.chunks():
        for place in np.flatnonzero((images >= rows.start) & (images < rows.stop)).tolist():
            views = block[images[place] - rows.start, 1:VIEWS]
            if len(views) and views.any(axis=1).all():
                found[place] = _unit(views)
    return dict(sorted(found.items()))


def _unit(rows: np.ndarray) -> np.ndarray:
    unit: np.ndarray = unit_matrix(rows.astype(np.float64)).numpy()
    return unit
