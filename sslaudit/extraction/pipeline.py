"""Features of a data set: decode once, make V views, run the encoder, write a part.

Within a part everything happens in one fixed order and batches are cut from one stream of views, so
features do not depend on the number of workers or processes, or on where a killed run stopped. The
batch size is part of what is recorded: kernels are chosen by shape, and float32 features agree over
batch sizes to about 1e-5.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder
from sslaudit.extraction.devices import pick_batch_size, pick_workers
from sslaudit.extraction.embedder import Embedder
from sslaudit.extraction.how import Extraction, OnProgress, Progress
from sslaudit.extraction.pixels import DECODED_BYTES, PixelViews
from sslaudit.extraction.together import gather
from sslaudit.recipes import parse_recipe
from sslaudit.registry import installed
from sslaudit.store import PART_IMAGES, Features, Parts, default_cache
from sslaudit.world import ALONE, World


def features_of(
    encoder: Encoder,
    data: Dataset,
    how: Extraction,
    *,
    cache: Path,
    embedder: Embedder | None = None,
    embedded: Features | None = None,
    on_progress: OnProgress | None = None,
    world: World = ALONE,
) -> Features:
    """Features (N, V, D), read from ``cache`` where they are there and computed where not.

    Of several processes each computes the parts of its number and waits for the others; ``cache``
    must then be one folder for all. ``embedder`` is the encoder made ready for ``how``. Projections
    are made of ``embedded``, the embeddings of the same run, where they are given.
    """
    parts = parts_of(encoder, data, how, cache=cache)
    mine = [part for part in range(parts.count) if world.takes(part)]
    missing = [part for part in mine if not parts.has(part)]
    views = {part: len(parts.block(part)) * how.views for part in mine}
    done = cached = sum(views.values()) - sum(views[part] for part in missing)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if on_progress:
            on_progress(Progress(done=done, total=sum(views.values()), cached=cached))

    advance(0)
    parts.describe(how.about(encoder, data))
    if missing:
        embedder = embedder or Embedder(encoder, how)
        if embedded is not None:
            _project_parts(embedder, embedded.parts, parts, missing, advance)
            missing = []
        pixels = PixelViews(data, how, encoder.preprocess)
        with decoded(pixels, [i for part in missing for i in parts.block(part)]) as images:
            for part in missing:
                parts.write(part, _part(embedder, pixels, parts.block(part), images, advance))
    gather(world, None)  # every part is there when all have come
    return Features(parts)


def parts_of(encoder: Encoder, data: Dataset, how: Extraction, *, cache: Path) -> Parts:
    """Where the features of this key lie."""
    return Parts(cache / "features" / how.key(encoder, data), len(data))


def _part(
    embedder: Embedder,
    pixels: PixelViews,
    block: range,
    images: Iterator[np.ndarray],
    advance: Callable[[int], None],
) -> np.ndarray:
    """(n, V, D) float32 of the images in ``block``; ``advance`` hears of every batch of views."""
    pieces = (views.flatten(0, 1) for _, views in pixels.made(block, images))
    rows = []
    for batch in _rebatched(pieces, pixels.how.batch_size):
        rows.append(embedder(batch))
        advance(len(batch))
    # A GPU has worked on its own so far; this waits for it.
    return torch.cat(rows).cpu().view(len(block), pixels.how.views, -1).numpy()


def _project_parts(
    embedder: Embedder, embedded: Parts, parts: Parts, missing: list[int], advance: Callable[[int], None]
) -> None:
    """Write the missing parts of projections. Batches are those of a pass over pixels: so are the bytes."""
    for part in missing:
        block = embedded.read(part)
        rows = torch.from_numpy(block.reshape(-1, block.shape[2]).copy())
        parts.write(part, embedder.project(rows).cpu().view(*block.shape[:2], -1).numpy())
        advance(len(rows))


def _rebatched(pieces: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Batches of ``size`` rows cut from the stream of ``pieces``; the last one holds what remains."""
    left: Tensor | None = None
    for piece in pieces:
        rows = piece if left is None else torch.cat([left, piece])
        whole = len(rows) - len(rows) % size
        yield from torch.split(rows[:whole], size) if whole else ()
        left = rows[whole:] if whole < len(rows) else None
    if left is not None:
        yield left


@contextlib.contextmanager
def decoded(pixels: PixelViews, order: list[int]) -> Iterator[Iterator[np.ndarray]]:
    """The decoded images in order, some ahead when there are workers.

    Threads, not processes: decoding releases the interpreter lock, and threads need no shared
    memory, no ``__main__`` guard and no start method.
    """
    workers = pixels.how.workers
    if workers == 0:
        yield map(pixels.read, order)
        return
    with ThreadPoolExecutor(workers) as pool:

        def ahead() -> Iterator[np.ndarray]:
            waiting: deque[Future[np.ndarray]] = deque()
            rest, room = iter(order), workers
            while True:
                waiting.extend(pool.submit(pixels.read, i) for i in islice(rest, max(0, room - len(waiting))))
                if not waiting:
                    return
                image = waiting.popleft().result()
                # Images of a data set are of about one size.
                room = max(workers, min(PART_IMAGES, DECODED_BYTES // max(1, image.nbytes)))
                yield image

        try:
            yield ahead()
        finally:
            pool.shutdown(cancel_futures=True)


def extract(
    encoder: Encoder,
    dataset: Dataset,
    *,
    recipe: str,
    views: int,
    seed: int,
    cache: Path | None = None,
    device: str = "cpu",
) -> Features:
    """Embeddings of all views, memory-mapped, (N, V, D) float32; view 0 is the identity view.

    ``recipe`` is a name or terms. With ``cache=None`` features lie in the default cache. See
    ``features_of`` for every choice. Raises ``RefError`` for an unknown recipe.
    """
    how = Extraction(
        recipe=parse_recipe(recipe, installed().recipes.usable()),
        views=views,
        seed=seed,
        batch_size=pick_batch_size(encoder.preprocess.size, device),
        workers=pick_workers(device),
        device=device,
    )
    return features_of(encoder, dataset, how, cache=cache or default_cache())
