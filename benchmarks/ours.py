"""sslaudit at work: the encoder alone, and extraction from files to features on disk.

It runs as ``sslaudit evaluate`` does when nothing is asked for but the precision: its own batch size
and number of threads that decode, the encoder made ready once. ``encoder alone`` is that same ready
encoder on pixels that lie in memory: batch norm folded, channels_last, equal batches.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.networks import Network
from benchmarks.photos import Album
from benchmarks.race import fastest
from sslaudit import load_dataset
from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, from_module
from sslaudit.extraction import (
    Embedder,
    Extraction,
    PixelViews,
    Precision,
    choose_precision,
    features_of,
    pick_batch_size,
    pick_workers,
)
from sslaudit.recipes import BUILTIN_RECIPES, Recipe, parse_recipe

LOW: Precision = "bf16"


def recipe(text: str) -> Recipe:
    """The recipe that ``text`` names."""
    return parse_recipe(text, {spec.name: spec for spec in BUILTIN_RECIPES})


def settings(network: Network, *, views: int, precision: Precision = "fp32") -> Extraction:
    """No augmentation for one view, else SimCLR's; the rest as ``sslaudit evaluate`` picks it."""
    return Extraction(
        recipe=recipe("none" if views == 1 else "simclr"),
        views=views,
        seed=0,
        precision=precision,
        batch_size=pick_batch_size(network.preprocess.size, network.device),
        workers=pick_workers(network.device),
        device=network.device,
    )


def encoder_of(network: Network) -> Encoder:
    """The network as sslaudit holds it."""
    return from_module(network.fresh(), preprocess=network.preprocess, device=network.device)


def best_precision(network: Network) -> Precision:
    """The precision at which the encoder is fastest on this machine, measured on one batch."""
    there: tuple[Precision, ...] = ("fp32", LOW)
    runs = {precision: encoder_alone(network, precision=precision) for precision in there}
    return min(there, key=lambda precision: fastest(lambda: runs[precision](4, 0)))


def automatic_precision(network: Network, album: Album) -> str:
    """What ``--precision auto`` takes, and why, in a sentence."""
    how = replace(settings(network, views=3), recipe=recipe("simclr"))
    pairs = PixelViews(album.first(16).data, how, network.preprocess).head(8)[:, 1:]
    choice = choose_precision(encoder_of(network), pairs, how, LOW)
    return f"--precision auto takes {choice.precision}: {choice.reason}"


def extraction(
    network: Network, album: Album, *, views: int = 1, precision: Precision = "fp32"
) -> Callable[[int, int], np.ndarray]:
    """``run(images, workers)``: features (N, V, D) of an opened folder, in a new cache each time."""
    how = settings(network, views=views, precision=precision)
    embedder = Embedder(encoder_of(network), how)
    return lambda images, workers: _extracted(embedder, album.first(images).data)


def all_in_all(network: Network, album: Album, *, precision: Precision) -> Callable[[int, int], np.ndarray]:
    """``run(images, workers)``: as ``extraction`` of one view, and the folder is opened too."""
    embedder = Embedder(encoder_of(network), settings(network, views=1, precision=precision))
    return lambda images, workers: _extracted(embedder, load_dataset(album.first(images).folder))


def opening(album: Album) -> Callable[[int, int], Dataset]:
    """``run(images, workers)``: the folder is opened; each file is read, checked and hashed."""
    return lambda images, workers: load_dataset(album.first(images).folder)


def encoder_alone(
    network: Network, *, views: int = 1, precision: Precision = "fp32"
) -> Callable[[int, int], None]:
    """``run(images, workers)``: the encoder on ready pixels, with the settings of ``extraction``."""
    how = settings(network, views=views, precision=precision)
    embedder = Embedder(encoder_of(network), how)
    batch = torch.zeros(how.batch_size, 3, *network.preprocess.size, dtype=torch.uint8, device=network.device)

    def run(images: int, workers: int) -> None:
        del workers
        for start in range(0, images * views, how.batch_size):
            features = embedder(batch[: images * views - start])
        features.cpu()  # a GPU has worked on its own so far

    return run


def _extracted(embedder: Embedder, data: Dataset) -> np.ndarray:
    with tempfile.TemporaryDirectory() as cache:
        features = features_of(embedder.encoder, data, embedder.how, cache=Path(cache), embedder=embedder)
        return features.read()
