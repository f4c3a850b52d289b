"""Features of a data set: decode once, make V views, run the encoder, write a part.

Within a part everything happens in one fixed order, so features do not depend on the number of
workers or on where a killed run stopped. The batch size is part of what is recorded: kernels are
chosen by shape, and float32 features agree over batch sizes to about 1e-5.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, Preprocess
from sslaudit.errors import UsageError
from sslaudit.plan import Space
from sslaudit.recipes import VERSION as OPERATIONS
from sslaudit.recipes import Recipe, parse_recipe
from sslaudit.registry import installed
from sslaudit.store import PART_IMAGES, Features, Parts, default_cache, key_of
from sslaudit.views import draw, make_views

Precision = Literal["fp32", "bf16", "fp16"]
ViewsMode = Literal["per-image", "bank"]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_VIEW_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Extraction:
    """How features are computed; together with encoder and data it is their identity."""

    recipe: Recipe
    views: int
    """V, the identity view included."""
    seed: int
    views_mode: ViewsMode = "per-image"
    space: Space = "embedding"
    precision: Precision = "fp32"
    batch_size: int
    """Views in one forward pass."""
    workers: int = 0
    """Threads that decode; not part of the identity."""
    device: str = "cpu"

    def key(self, encoder: Encoder, data: Dataset) -> str:
        """The content address of the features."""
        # The bytes depend on the kernels that batch size and kind of device choose.
        preprocess = {name: v for name, v in asdict(encoder.preprocess).items() if name != "source"}
        return key_of(
            {
                "encoder": encoder.digest,
                "projector": encoder.project_digest if self.space == "projection" else "",
                "preprocess": preprocess,
                "space": self.space,
                "precision": self.precision,
                "batch_size": self.batch_size,
                "device": torch.device(self.device).type,
                "images": list(data.digests),
                "recipe": self.recipe.key(),
                "operations": OPERATIONS,
                "views": self.views,
                "views_mode": self.views_mode,
                "seed": self.seed,
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where an extraction stands; handed to the progress callback after every batch."""

    done: int
    total: int
    """Views."""
    cached: int
    """Views that were in the cache already."""


OnProgress = Callable[[Progress], None]


def features_of(
    encoder: Encoder, data: Dataset, how: Extraction, *, cache: Path, on_progress: OnProgress | None = None
) -> Features:
    """Features (N, V, D), read from ``cache`` where they are there and computed where not."""
    parts = Parts(cache / "features" / how.key(encoder, data), len(data))
    missing = parts.missing()
    total = len(data) * how.views
    done = cached = total - sum(len(parts.block(part)) for part in missing) * how.views

    def advance(views: int) -> None:
        nonlocal done
        done += views
        if on_progress:
            on_progress(Progress(done=done, total=total, cached=cached))

    advance(0)
    with _decoder(how.workers) as decode:
        for part in missing:
            parts.write(part, _part(encoder, data, how, parts.block(part), decode, advance))
    return Features(parts)


def _part(
    encoder: Encoder,
    data: Dataset,
    how: Extraction,
    block: range,
    decode: "_Decode",
    advance: Callable[[int], None],
) -> np.ndarray:
    """(n, V, D) float32 of the images in ``block``; ``advance`` hears of every batch of views."""
    pixels = PixelViews(data, how, encoder.preprocess)
    groups = _groups(block, how.views, encoder.preprocess.size)
    rows = []
    for group, images in zip(groups, decode(data, groups), strict=True):
        flat = pixels.views(group, images).flatten(0, 1)
        for batch in torch.split(flat, how.batch_size):
            rows.append(embed_batch(encoder, batch, how))
            advance(len(batch))
    return torch.cat(rows).view(len(block), how.views, -1).numpy()


def forget(encoder: Encoder, data: Dataset, how: Extraction, *, cache: Path) -> None:
    """Remove the features of this key from the cache."""
    Parts(cache / "features" / how.key(encoder, data), len(data)).drop()


@dataclass(frozen=True, slots=True)
class PixelViews:
    """The views of a data set as pixels, made when they are read: (N, V, 3, H, W) uint8."""

    data: Dataset
    how: Extraction
    preprocess: Preprocess

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Rows and their views, piece by piece in order."""
        for group in _groups(range(len(self.data)), self.how.views, self.preprocess.size):
            yield slice(group.start, group.stop), self.views(group, [self.data.read(i) for i in group])

    def head(self, images: int) -> Tensor:
        """The first view of the first images, (B, 3, H, W)."""
        block = range(min(images, len(self.data)))
        return self.views(block, [self.data.read(i) for i in block])[:, 0]

    def views(self, block: range, images: Sequence[np.ndarray]) -> Tensor:
        """The views (n, V, 3, H, W) of the decoded images of ``block``."""
        uniforms = draw(
            self.how.seed, [self.data.digests[i] for i in block], self.how.views, mode=self.how.views_mode
        )
        return make_views(images, uniforms, self.how.recipe, self.preprocess, device=self.how.device)


def _groups(block: range, views: int, size: tuple[int, int]) -> list[range]:
    """``block`` in pieces whose views fit a bounded memory; depends on nothing but V and size."""
    step = max(1, min(PART_IMAGES, _VIEW_BYTES // (views * 3 * size[0] * size[1])))
    return [block[i : i + step] for i in range(0, len(block), step)]


@torch.inference_mode()
def embed_batch(encoder: Encoder, images: Tensor, how: Extraction) -> Tensor:
    """Features (B, D) float32 on the CPU of uint8 images (B, 3, H, W)."""
    dtype = _DTYPES.get(how.precision)
    device = torch.device(how.device)
    autocast = torch.autocast(device.type, dtype=dtype) if dtype else contextlib.nullcontext()
    with autocast:
        features = encoder.embed(encoder.preprocess.normalise(images.to(device)))
        if how.space == "projection":
            if encoder.project is None:
                raise UsageError(f"{encoder.ref} has no projector; --space projection needs one.")
            features = encoder.project(features)
    return features.float().cpu()


def precision_floor(encoder: Encoder, images: Tensor, how: Extraction) -> float:
    """Largest l2 distance between unit embeddings in ``how.precision`` and in float32, over a probe batch."""
    if how.precision == "fp32":
        return 0.0
    low = torch.nn.functional.normalize(embed_batch(encoder, images, how), dim=1)
    full = torch.nn.functional.normalize(embed_batch(encoder, images, replace(how, precision="fp32")), dim=1)
    return float((low - full).norm(dim=1).max())


def pick_device(name: str) -> str:
    """``auto`` as the best device there is. Raises ``UsageError`` for one that is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        raise UsageError(f"--device {name} is not a device; write auto, cpu, cuda, cuda:1 or mps.") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        raise UsageError(f"--device {name}: torch sees no such device here; write --device cpu.")
    return name


def pick_batch_size(size: tuple[int, int], device: str) -> int:
    """Views in a forward pass: 256, and 16 for large images on a CPU, where small batches stay in cache."""
    large = size[0] * size[1] > 64 * 64
    return 16 if large and torch.device(device).type == "cpu" else 256


_Decode = Callable[[Dataset, list[range]], Iterator[list[np.ndarray]]]


@contextlib.contextmanager
def _decoder(workers: int) -> Iterator[_Decode]:
    """A function that decodes groups of images in order, one group ahead when there are workers.

    Threads, not processes: decoding releases the interpreter lock, and threads need no shared memory.
    """
    if workers == 0:
        yield lambda data, groups: ([data.read(i) for i in group] for group in groups)
        return
    with ThreadPoolExecutor(workers) as pool:

        def ahead(data: Dataset, groups: list[range]) -> Iterator[list[np.ndarray]]:
            waiting = [pool.submit(data.read, i) for i in groups[0]]
            for group in [*groups[1:], range(0)]:
                ready, waiting = waiting, [pool.submit(data.read, i) for i in group]
                yield [future.result() for future in ready]

        yield ahead


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
        device=device,
    )
    return features_of(encoder, dataset, how, cache=cache or default_cache())
