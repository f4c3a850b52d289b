"""The views of a data set as pixels, made when they are read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sslaudit.data import Dataset
from sslaudit.encoder import Preprocess
from sslaudit.errors import DataError
from sslaudit.extraction.how import Extraction
from sslaudit.strengths import strengths
from sslaudit.views import draw, make_views

# Views made at once: on a CPU what the encoder takes next should still be in the cache.
_CPU_BYTES, _GPU_BYTES = 16 * 2**20, 64 * 2**20

_DRAWN = 4096
"""Images whose draws are held at once."""

DECODED_BYTES = 32 * 2**20
"""Decoded pixels that wait at once to become views, and about as many again that are read ahead."""


@dataclass(frozen=True, slots=True)
class PixelViews:
    """The views of a data set as pixels: (N, V, 3, H, W) uint8."""

    data: Dataset
    how: Extraction
    preprocess: Preprocess

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Rows and their views, piece by piece in order."""
        block = range(len(self.data))
        for rows, views in self.made(block, map(self.read, block)):
            yield slice(rows[0], rows[-1] + 1), views

    def head(self, images: int) -> Tensor:
        """The views of the first images, (n, V, 3, H, W)."""
        block = range(min(images, len(self.data)))
        return self.views(block, [self.read(i) for i in block])

    def of(self, images: Sequence[int]) -> Tensor:
        """The views of some images, by their indices in any order, (n, V, 3, H, W)."""
        order = [int(i) for i in images]
        return torch.cat([views for _, views in self.made(order, map(self.read, order))])

    def read(self, i: int) -> np.ndarray:
        """The pixels (H, W, 3) of image i. Raises ``DataError`` when it was readable once and is not now."""
        try:
            return self.data.read(i)
        except (OSError, DataError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise DataError(
                f"'{self.data.ids[i]}' of '{self.data.ref}' cannot be read any more: {reason}. "
                "Features so far are kept; bring the image back, or run again without it."
            ) from error

    def transforms(self) -> dict[str, np.ndarray]:
        """How strongly each transform acts on each view, by its name: (N, V) in [0, 1].

        Transforms that act on no view at all are left out.
        """
        blocks = [
            strengths(self.how.recipe, self._uniforms(range(start, stop)), self.preprocess.size)
            for start, stop in pairwise([*range(0, len(self.data), _DRAWN), len(self.data)])
        ]
        found = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        return {name: strength for name, strength in found.items() if strength.any()}

    def _uniforms(self, block: Sequence[int]) -> np.ndarray:
        digests = [self.data.digests[i] for i in block]
        return draw(self.how.seed, digests, self.how.views, mode=self.how.views_mode)

    def views(self, block: Sequence[int], images: Sequence[np.ndarray]) -> Tensor:
        """The views (n, V, 3, H, W) of the decoded images of ``block``, on the device."""
        views = make_views(
            images, self._uniforms(block), self.how.recipe, self.preprocess, device=self.how.device
        )
        if self.how.alteration is None:
            return views
        digests = [self.data.digests[i] for i in block for _ in range(self.how.views)]
        altered = self.how.alteration.apply(views.flatten(0, 1), digests)
        return altered.view(len(block), self.how.views, *altered.shape[1:])

    def made(
        self, block: Sequence[int], images: Iterator[np.ndarray]
    ) -> Iterator[tuple[Sequence[int], Tensor]]:
        """The views of the images of ``block``, piece by piece within a bounded memory.

        ``images`` gives their pixels in order, and may have more to give afterwards.
        """
        height, width = self.preprocess.size
        most = _CPU_BYTES if torch.device(self.how.device).type == "cpu" else _GPU_BYTES
        step = max(1, most // (self.how.views * 3 * height * width))
        held: list[np.ndarray] = []
        size = 0
        for end in range(1, len(block) + 1):
            held.append(next(images))
            size += held[-1].nbytes
            if len(held) == step or size >= DECODED_BYTES or end == len(block):
                rows = block[end - len(held) : end]
                yield rows, self.views(rows, held)
                held, size = [], 0
