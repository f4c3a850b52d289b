"""Images whose identity views are changed before the encoder sees them."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch

from sslaudit.data import Dataset, only
from sslaudit.extraction.embedder import Embedder
from sslaudit.extraction.how import Alteration, OnProgress, Progress
from sslaudit.extraction.pipeline import decoded, features_of
from sslaudit.extraction.pixels import PixelViews

T = TypeVar("T")


class AlteredImages:
    """The images of one data set through alterations, as one encoder sees them.

    Embeddings are kept in ``cache`` like all features, pixels in memory as long as this lives.
    """

    def __init__(
        self, embedder: Embedder, data: Dataset, *, cache: Path, on_progress: OnProgress | None = None
    ) -> None:
        self.data = data
        self._embedder = embedder
        self._cache = cache
        self._on_progress = on_progress
        self._made: dict[Hashable, object] = {}
        self._pixels: dict[tuple[str, tuple[int, ...]], np.ndarray] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an identity view."""
        return self._embedder.encoder.preprocess.size

    def digests(self, images: Iterable[int] | np.ndarray) -> list[str]:
        """The content digest of each of these images, by index."""
        return [self.data.digests[i] for i in images]

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` gives of these images, made when ``key`` is first asked for and held afterwards."""
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])

    def embedded(self, alteration: Alteration | None, images: Sequence[int] | np.ndarray) -> np.ndarray:
        """Embeddings (m, D) float32 of these images, altered; of the plain images where that is None.

        The alteration must leave the size of a view as it is. Raises ``DataError`` for an image that
        cannot be read any more and ``StoreError`` when the disk refuses.
        """
        embedder = self._embedder.of(replace(self._embedder.how, views=1, alteration=alteration))
        return features_of(
            embedder.encoder,
            only(self.data, [int(i) for i in images]),
            embedder.how,
            cache=self._cache,
            embedder=embedder,
            on_progress=self._on_progress,
        ).identity()

    def pixels(
        self,
        alteration: Alteration,
        images: Sequence[int] | np.ndarray,
        *,
        also: Sequence[Alteration] = (),
    ) -> np.ndarray:
        """Pixels (m, 3, H', W') uint8 of these images, altered. Raises ``DataError`` like ``embedded``.

        ``also`` are alterations that will be asked for next: images are decoded once for all of them.
        """
        order = tuple(int(i) for i in images)
        if (alteration.key, order) not in self._pixels:
            wanted = {one.key: one for one in (alteration, *also)}
            self._make(list(wanted.values()), order)
        return self._pixels[alteration.key, order]

    def _make(self, wanted: Sequence[Alteration], order: tuple[int, ...]) -> None:
        plain = replace(self._embedder.how, views=1, alteration=None)
        views = PixelViews(self.data, plain, self._embedder.encoder.preprocess)
        made: dict[str, list[torch.Tensor]] = {alteration.key: [] for alteration in wanted}
        done = 0
        self._tell(done, len(order))
        with decoded(views, list(order)) as images:
            for block, pixels in views.made(order, images):
                for alteration in wanted:
                    altered = alteration.apply(pixels[:, 0], self.digests(block))
                    made[alteration.key].append(altered.cpu())
                done += len(block)
                self._tell(done, len(order))
        for key, pieces in made.items():
            self._pixels[key, order] = torch.cat(pieces).numpy()

    def _tell(self, done: int, total: int) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(done=done, total=total, cached=0))
