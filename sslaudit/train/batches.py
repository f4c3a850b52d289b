"""The batches of a training run: views of the training images, drawn anew in every epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from sslaudit.data import Dataset
from sslaudit.encoder import Preprocess
from sslaudit.errors import DataError, TrainingError, UsageError
from sslaudit.extraction import Extraction, PixelViews, pick_workers
from sslaudit.extraction.pipeline import decoded
from sslaudit.recipes import Recipe
from sslaudit.train.choices import Choices
from sslaudit.views import SLOTS, make_views
from sslaudit.world import ALONE, World

KEPT_BYTES = 2**30
"""Decoded images that stay in memory from epoch to epoch; the others are decoded in every epoch."""


class Batches:
    """The views of each training image, in a new order every epoch.

    Order and views depend on seed, epoch and step alone, so an epoch that is taken up in the middle
    goes on as it would have. Each of several processes takes an equal share of every batch, in the
    order of ranks: together they see what one process would see. Raises ``UsageError`` when the batch,
    and ``TrainingError`` when the data, would leave a process fewer than the 2 images a step that batch
    norm needs.
    """

    def __init__(
        self,
        data: Dataset,
        recipe: Recipe,
        preprocess: Preprocess,
        choices: Choices,
        *,
        n_views: int = 2,
        device: str = "cpu",
        world: World = ALONE,
    ) -> None:
        _check(data, choices, world)
        self._preprocess, self._seed, self._world = preprocess, choices.seed, world
        self.batch_size = _whole(min(choices.batch_size, len(data.train)), world.size)
        """Images in a step, over all processes: a multiple of their number."""
        steps, rest = divmod(len(data.train), self.batch_size)
        last = _whole(rest, world.size) if rest >= 2 * world.size else 0
        self.left_over = rest - last
        """Images that an epoch leaves out, others every time: too few for a step or for equal shares."""
        self._sizes = [self.batch_size] * steps + [last] * (last > 0)
        how = Extraction(
            recipe=recipe,
            views=n_views,
            seed=choices.seed,
            batch_size=self.batch_size,
            workers=pick_workers(device),
            device=device,
        )
        self._pixels = _Drawn(data, how, preprocess)
        self._room = KEPT_BYTES

    def __len__(self) -> int:
        """Steps in an epoch."""
        return len(self._sizes)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """A normalised batch (B, 3, H, W) float32 for each of the views, for each step from ``start`` on.

        B is the share of this process. Images that are not kept are decoded by threads, some of them
        ahead of their step. Raises ``DataError`` when an image cannot be read any more.
        """
        order = self._generator(number).permutation(self._pixels.data.train)
        steps = range(start, len(self))
        mine = [int(i) for step in steps for i in order[step * self.batch_size :][self._share(step)]]
        pixels = self._pixels
        if all(i in pixels.kept for i in mine):  # nothing is left for threads to do
            pixels = replace(pixels, how=replace(pixels.how, workers=0))
        with decoded(pixels, mine) as images:
            kept = self._keeping(mine, images)
            for step in steps:
                shape = (self._sizes[step], pixels.how.views, SLOTS)
                uniforms = self._generator(number, step).random(shape)[self._share(step)]
                drawn = replace(pixels, uniforms=uniforms)
                views = torch.cat([piece for _, piece in drawn.made(range(len(uniforms)), kept)])
                yield tuple(self._preprocess.normalise(view) for view in views.unbind(1))

    def _generator(self, *of: int) -> np.random.Generator:
        """Of the order of an epoch, and of the views of an epoch and step."""
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=of))

    def _share(self, step: int) -> slice:
        """What this process takes of the batch."""
        share = self._sizes[step] // self._world.size
        return slice(self._world.rank * share, (self._world.rank + 1) * share)

    def _keeping(self, order: Sequence[int], images: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """``images``, which are kept as long as there is room."""
        for i, image in zip(order, images, strict=True):
            if i not in self._pixels.kept and image.nbytes <= self._room:
                self._pixels.kept[i] = image
                self._room -= image.nbytes
            yield image


@dataclass(frozen=True, slots=True)
class _Drawn(PixelViews):
    """Views that are all drawn, from ``uniforms`` (B, V, SLOTS) of one step."""

    kept: dict[int, np.ndarray] = field(default_factory=dict)
    uniforms: np.ndarray = field(default_factory=lambda: np.empty((0, 0, SLOTS)))

    def read(self, i: int) -> np.ndarray:
        """The pixels (H, W, 3) of image i. Raises ``DataError`` when it was readable once and is not now."""
        image = self.kept.get(i)
        if image is not None:
            return image
        try:
            return self.data.read(i)
        except (OSError, DataError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise DataError(
                f"'{self.data.ids[i]}' of '{self.data.ref}' cannot be read any more: {reason}. "
                "Bring the image back and go on, or train again without it."
            ) from error

    def views(self, block: Sequence[int], images: Sequence[np.ndarray]) -> Tensor:
        """The views (n, V, 3, H, W) of the images at the places ``block`` of the step."""
        return make_views(
            images,
            self.uniforms[block],
            self.how.recipe,
            self.preprocess,
            identity=False,
            device=self.how.device,
        )


def _check(data: Dataset, choices: Choices, world: World) -> None:
    least = 2 * world.size
    apart = f", 2 for each of {world.size} processes" if world.size > 1 else ""
    if choices.batch_size < least:
        raise UsageError(f"--batch-size {choices.batch_size}: a step needs at least {least} images{apart}.")
    if len(data.train) < least:
        raise TrainingError(
            f"{data.ref} has {len(data.train)} training images of {len(data)}; "
            f"training needs at least {least}{apart}."
        )


def _whole(images: int, processes: int) -> int:
    return images - images % processes
