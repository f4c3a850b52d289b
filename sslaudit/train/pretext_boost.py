"""Pretext tasks boosted by downstream labels: f on top of frozen features, by the loss L(f; P).

L rewards an f from which y is predicted linearly and z is not, so that Cov[f(x), z | y] gets small. Things
to know:

- With n0 <= d_f the loss is the same for any labels: f only loses what predicts z, and with it what
  predicts y. f is learned, so from D features it can fit any labels of n0 <= D images: a small label term
  then says nothing.
- L is a surrogate: its minimiser need not be uncorrelated with z given y, even with all labels. So the
  refined encoder is to be compared with the one below it.
- x is what the encoder may see of an image beside z, and evaluation gives f the plain image: another
  distribution, on which f can be poor. With ``labelled="plain"`` the label term sees plain images, as
  evaluation does; the loss is then not that of one distribution P, and f of x says less of y.
- z is centred and divided by one number, so that E||z||^2 = 1: lambda has no unit then.

Source: Teng et al., AISTATS 2022, the loss of Theorem 2 and L_{inf,n0} of Theorem 3.
"""

import numpy as np
from numpy.typing import NDArray

from sslaudit.errors import TrainingError, UsageError
from sslaudit.pretext import pairs, parse_targets
from sslaudit.train.boost import refine
from sslaudit.train.boost.network import HIDDEN
from sslaudit.train.refinement import Learned, Task


def pretext_boost(
    task: Task,
    *,
    z: str,
    lam: float,
    network: str,
    n0: int,
    labelled: str = "seen",
    dim: int | None = None,
    steps: int | None = None,
    crop: str = "",
    seen: str = "",
    describe: str = "pixels",
) -> Learned:
    """The head f with small L(f; P): labels of ``n0`` images (0 for all), ``z`` of all.

    ``dim`` is d_f, by default the number of classes, and at most D. Raises ``UsageError``, and
    ``TrainingError`` for data without labels, of one class, or of one z.
    """
    targets = parse_targets(z, crop=crop, seen=seen, describe=describe, seed=task.seed)
    if len(targets) > 1:
        raise UsageError(
            f"pretext-boost: option z={z} names {len(targets)} targets; f is learned against one."
        )
    if not lam > 0:
        raise UsageError(f"pretext-boost: option lam={lam:g} must be above 0.")
    labels, chosen = _labelled(task, n0)
    dim = _dimensions(task, dim)
    weights = 0 if network == "linear" else HIDDEN * (task.dim + 1) + (HIDDEN + 1) * dim
    columns = len(np.unique(labels)) - 1
    task.say(labels_against_dimensions(len(chosen), dim, task.dim, weights=weights // columns))
    task.say(f"z = {targets[0].name}: {targets[0].about}.")
    task.say(_READ[labelled])
    found = pairs(targets[0], task.altered, task.images)
    if not found.z.shape[1]:
        raise TrainingError(f"z = {targets[0].name} is the same in all training images of {task.data}.")
    plain = labelled == "plain"
    x_down = task.altered.embedded(None, task.images[chosen]) if plain else found.f[chosen]
    try:
        refined = refine(
            found.f,
            _of_unit_variance(found.z),
            x_down,
            np.eye(len(task.classes))[labels],
            lam=lam,
            dim=dim,
            network=network,
            seed=task.seed,
            steps=steps,
            on_step=task.on_step,
        )
    except ValueError as error:
        raise TrainingError(f"pretext-boost cannot learn from {task.data}: {error}") from error
    results = {
        "loss": refined.loss,
        "label term": refined.label_term,
        "pretext term": refined.pretext_term,
    }
    return Learned(head=refined.module, labelled=len(chosen), results=results)


def labels_against_dimensions(n0: int, dim: int, width: int, *, weights: int = 0) -> str:
    """What ``n0`` labels say to an f of ``dim`` dimensions learned from ``width`` features, in one line.

    ``weights`` are those of a network, for each column of the labels; 0 for a linear f.
    Source: Teng et al., AISTATS 2022, Theorem 3, for n0 <= d_f; the other thresholds are own derivations,
    checked numerically.
    """
    if n0 <= dim:
        return f"warning: n0 = {n0} <= d_f = {dim}: refinement carries no label information"
    fits = "any labels are fitted as well as true ones, and a small label term says nothing"
    if n0 <= width:
        return f"warning: n0 = {n0} <= D = {width} features: {fits}"
    if weights and n0 <= weights:
        return f"warning: n0 = {n0} <= {weights}, what the weights of the network can fit: {fits}"
    compare = "compare f with the encoder below it"
    if weights:
        return f"n0 = {n0} > {weights}, what the weights of the network can fit; {compare}"
    if n0 <= 2 * width:
        return f"warning: n0 = {n0} <= 2 D = {2 * width} features: refinement carries weak label information"
    return f"n0 = {n0} > 2 D = {2 * width} features: labels inform f, which can still get worse; {compare}"


_READ = {
    "seen": "f is learned on what stands beside z; evaluate gives it the plain image.",
    "plain": "the label term sees plain images, the pretext term what stands beside z.",
}


def _dimensions(task: Task, dim: int | None) -> int:
    """d_f: ``dim``, or the number of classes. Raises ``UsageError`` when it cannot be."""
    images = len(task.images)
    if dim is None:
        dim = min(len(task.classes), task.dim)
    elif dim > task.dim:
        raise UsageError(
            f"pretext-boost: option dim={dim} is above {task.dim}, the dimensions of the encoder."
        )
    if dim > images - 2:
        most = f"give dim={images - 2} or less, or more images" if images > 2 else "give more images"
        raise UsageError(
            f"pretext-boost: f of {dim} dimensions is learned from {dim + 2} images or more, and {task.data} "
            f"has {images} for training; {most}."
        )
    return dim


def _of_unit_variance(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """``z`` (N, d_z) centred, with E||z||^2 = 1."""
    centred = z - z.mean(axis=0)
    unit: NDArray[np.float64] = centred / np.sqrt(np.square(centred).sum(axis=1).mean())
    return unit


def _labelled(task: Task, n0: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``n0`` images that lend their labels, drawn by the seed: their labels, and places among all."""
    if task.labels is None:
        raise TrainingError(f"{task.data} has no labels, and pretext-boost reads those of training images.")
    images = len(task.labels)
    if n0 > images:
        raise UsageError(
            f"pretext-boost: option n0={n0} is above {images}, the training images of {task.data}."
        )
    chosen = np.sort(np.random.default_rng(task.seed).permutation(images)[: n0 or images])
    labels = task.labels[chosen]
    if len(np.unique(labels)) < 2:
        only = task.classes[labels[0]]
        raise TrainingError(
            f"{task.data}: the labels of {len(labels)} of {images} training images are read, and all are "
            f"'{only}'; there is nothing to tell apart."
        )
    return labels, chosen
