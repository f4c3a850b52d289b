"""What the metrics of pretext learning read: features, pretext target and label of the same images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.errors import UsageError
from sslaudit.results import Estimate

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs
    from sslaudit.pretext import Target


@dataclass(frozen=True, slots=True)
class Pairs:
    """m images through one pretext target."""

    target: str
    """``disjoint-crop``, ``rotation``, ..."""
    images: np.ndarray
    """(m,) indices into the data, ascending."""
    f: np.ndarray
    """(m, D) float64: the embedding of what the encoder may see of each image."""
    z: np.ndarray
    """(m, d_z) float64: what is to be predicted."""
    floor: np.ndarray
    """(m, d_p) float64: principal components of the raw pixels that the encoder sees."""
    labels: np.ndarray
    """(m,) int64, an index into ``names``."""
    names: tuple[str, ...]
    train: np.ndarray
    """(m,) bool: which images may be fitted on."""


def of_targets(
    inputs: "MetricInputs", measure: Callable[[tuple[Pairs, ...]], Mapping[str, Estimate]]
) -> dict[str, Estimate]:
    """What ``measure`` says of the targets of the option ``z``, on at most ``images`` images.

    A target that these images or this encoder cannot take is not applicable, and the others are measured:
    ``rotation`` of images that are not square, a crop of less than a pixel, embeddings that are not finite.
    The choice of images depends on the seed of the run alone and takes the classes and both sides of the
    split in proportion.
    """
    from sslaudit.pretext import parse_targets

    options = inputs.options
    targets = parse_targets(
        str(options["z"]),
        crop=str(options["crop"] or ""),
        seen=str(options["seen"] or ""),
        describe=str(options["describe"]),
        seed=inputs.seed,
    )
    images = chosen_images(inputs, int(options["images"]))
    found, impossible = [], {}
    for target in targets:
        try:
            found.append(_pairs(inputs, target, images))
        except (UsageError, ValueError) as error:
            impossible[target.name] = Estimate.not_applicable(str(error).rstrip("."))
    return {**(measure(tuple(found)) if found else {}), **impossible}


def _pairs(inputs: "MetricInputs", target: "Target", images: np.ndarray) -> Pairs:
    from sslaudit.pretext import pairs

    made = pairs(target, inputs.altered, images)
    finite = np.isfinite(made.f).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"the encoder gives numbers that are not finite for {(~finite).sum():,} of {len(images):,} "
            f"images as it sees them for z={target.name}."
        )
    return Pairs(
        target=target.name,
        images=images,
        f=made.f.astype(np.float64),
        z=np.asarray(made.z, dtype=np.float64),
        floor=np.asarray(made.floor, dtype=np.float64),
        labels=inputs.labels[images],
        names=inputs.classes,
        train=np.isin(images, inputs.train),
    )


def chosen_images(inputs: "MetricInputs", most: int) -> np.ndarray:
    """Indices of at most ``most`` images, each class and side of the split in proportion."""
    order = np.random.default_rng(inputs.seed).permutation(len(inputs.labels))
    group = 2 * inputs.labels[order] + np.isin(order, inputs.train)
    by_group = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    share = (place + 0.5) / np.repeat(sizes, sizes)
    first = by_group[np.lexsort((by_group, share))[:most]]  # of equal shares any class, as drawn
    return np.sort(order[first])
