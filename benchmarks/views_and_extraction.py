"""What views and extraction cost, as ratios against a peer and a floor measured in the same run.

    make bench

The peer of the views is torchvision's per-image transform; the floor of extraction is the encoder
alone on ready inputs. Ratios are medians of alternating runs: compare them, never the seconds.
"""

import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms import v2

from sslaudit import Preprocess, load_dataset
from sslaudit.data import Dataset, subset
from sslaudit.encoder import from_module
from sslaudit.extraction import Extraction, embed_batch, features_of
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe
from sslaudit.train.backbones import build_backbone
from sslaudit.views import draw, make_views

ROUNDS = 3
RECIPE = parse_recipe("simclr", {spec.name: spec for spec in BUILTIN_RECIPES})


def main() -> None:
    """Print one table."""
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, medians of {ROUNDS} rounds\n")
    print(f"{'':<44}{'ours':>12}{'other':>12}{'ratio':>8}")
    for size, views in ((32, 512), (224, 32)):
        ours, theirs = _alternate(partial(_our_views, size, views), partial(_torchvision_views, size, views))
        _row(f"simclr views, {size} px, ms a view, torchvision", 1e3 * ours / views, 1e3 * theirs / views)
    data = subset(load_dataset("digits"), max_images=512)
    for size, backbone, views in ((8, "conv3", 8), (32, "resnet18-cifar", 2)):
        total = len(data) * views
        ours, floor = _alternate(
            partial(_extract, data, size, backbone, views), partial(_encoder_alone, total, size, backbone)
        )
        _row(f"{backbone}, {size} px, V={views}, views/s, encoder alone", total / ours, total / floor)


def _row(label: str, ours: float, other: float) -> None:
    print(f"{label:<44}{ours:>12,.3g}{other:>12,.3g}{ours / other:>8.2f}")


def _alternate(ours: Callable[[], None], other: Callable[[], None]) -> tuple[float, float]:
    """Median seconds of each, run in turns after one warm-up."""
    ours(), other()
    times = [(_seconds(ours), _seconds(other)) for _ in range(ROUNDS)]
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def _seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@functools.cache
def _images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (375, 500, 3), dtype=np.uint8) for _ in range(count)]


def _our_views(size: int, views: int) -> None:
    images = _images(4)
    uniforms = draw(0, [str(i) for i in range(4)], views // 4)
    make_views(images, uniforms, RECIPE, Preprocess(size=(size, size)), identity=False)


def _torchvision_views(size: int, views: int) -> None:
    kernel = max(3, int(0.1 * size) | 1)
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(kernel, (0.1, 2.0))], p=0.5),
        ]
    )
    for image in _images(4):
        tensor = torch.from_numpy(image).permute(2, 0, 1)
        for _ in range(views // 4):
            transform(tensor)


def _extract(data: Dataset, size: int, backbone: str, views: int) -> None:
    encoder = from_module(build_backbone(backbone, seed=0), preprocess=Preprocess(size=(size, size)))
    how = Extraction(recipe=RECIPE, views=views, seed=0, batch_size=256)
    with tempfile.TemporaryDirectory() as folder:
        features_of(encoder, data, how, cache=Path(folder))


def _encoder_alone(count: int, size: int, backbone: str) -> None:
    encoder = from_module(build_backbone(backbone, seed=0), preprocess=Preprocess(size=(size, size)))
    how = Extraction(recipe=RECIPE, views=1, seed=0, batch_size=256)
    batch = torch.zeros(256, 3, size, size, dtype=torch.uint8)
    for _ in range(count // 256):
        embed_batch(encoder, batch, how)


if __name__ == "__main__":
    main()
