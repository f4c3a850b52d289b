"""Other ways to the same features: from the same files, with the same weights and preprocessing.

timm            ``create_dataset`` and ``create_loader`` with its prefetcher, then the model under
                ``inference_mode``, in the steps of its ``validate.py`` and ``inference.py``
CLIP_benchmark  ``run_classification`` of its zero-shot task: its extraction proper asserts a CUDA
                device; both feed a ``DataLoader`` to ``encode_image``. The product with a classifier of
                four columns, which it adds, costs nothing beside the encoder
lightly         ``Trainer.validate`` of its ``KNNClassifier``, three quarters of the images as the bank
usual           what most scripts do: a ``DataLoader`` over (image, view), one decode for each view,
                torchvision's transforms on Pillow images, the first view without augmentation

Loaders exist before the clock starts and keep their workers from round to round.
"""

import functools
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.networks import Mode, Network
from benchmarks.photos import CLASSES, Album
from benchmarks.race import Run

WORKERS = (0, 2)
"""Processes that load, of which each peer takes what is faster for it."""


def installed() -> Iterator[tuple[str, Callable[[Network, Album, Mode], Run]]]:
    """The peers of one view that are there, timm first."""
    yield "timm", timm_scripts
    if importlib.util.find_spec("clip_benchmark"):
        yield "CLIP_benchmark", clip_benchmark
    if importlib.util.find_spec("lightly") and importlib.util.find_spec("pytorch_lightning"):
        yield "lightly", lightly


def missing() -> list[str]:
    """The peers that are not installed."""
    there = {name for name, _ in installed()}
    return [name for name in ("CLIP_benchmark", "lightly") if name not in there]


def timm_scripts(network: Network, album: Album, mode: Mode) -> Run:
    """``run(images, workers)``: features (N, D) by timm's loader and forward."""
    module = network.fresh(channels_last=mode.channels_last)
    how = network.preprocess

    @functools.cache
    def loader(images: int, workers: int) -> DataLoader:
        return timm.data.create_loader(
            timm.data.create_dataset("", root=str(album.first(images).folder)),
            input_size=(3, *how.size),
            batch_size=mode.batch_size,
            interpolation=how.interpolation,
            mean=how.mean,
            std=how.std,
            crop_pct=how.crop,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=network.device == "cuda",
            device=torch.device(network.device),
        )

    @torch.inference_mode()
    def run(images: int, workers: int) -> np.ndarray:
        features = []
        for batch, _ in loader(images, workers):
            with mode.autocast(network.device):
                features.append(module(mode.inputs(batch)).float().cpu())
        return torch.cat(features).numpy()

    return run


class _EncodeImage(nn.Module):
    """The interface of a CLIP model, and of a module that lightly takes."""

    def __init__(self, module: nn.Module, mode: Mode) -> None:
        super().__init__()
        self.module, self.mode = module, mode

    def encode_image(self, images: Tensor) -> Tensor:
        return self.module(self.mode.inputs(images))

    forward = encode_image


def clip_benchmark(network: Network, album: Album, mode: Mode) -> Run:
    """``run(images, workers)``: scores (N, 4) by CLIP_benchmark."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    from clip_benchmark.metrics.zeroshot_classification import run_classification

    model = _EncodeImage(network.fresh(channels_last=mode.channels_last), mode)
    classifier = torch.ones(network.module.num_features, CLASSES, device=network.device)

    @functools.cache
    def loader(images: int, workers: int) -> DataLoader:
        return _loader(_folder(network, album, images), mode, workers)

    def run(images: int, workers: int) -> Tensor:
        return run_classification(model, classifier, loader(images, workers), network.device, amp=mode.bf16)[
            0
        ]

    return run


def lightly(network: Network, album: Album, mode: Mode) -> Run:
    """``run(images, workers)``: accuracy of lightly's nearest-neighbour classifier."""
    import logging

    from lightly.utils.benchmarking import KNNClassifier
    from pytorch_lightning import Trainer

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    model = _EncodeImage(network.fresh(channels_last=mode.channels_last), mode)

    @functools.cache
    def loaders(images: int, workers: int) -> list[DataLoader]:
        photos = _folder(network, album, images)
        bank = [i for i in range(images) if i % 4]
        query = [i for i in range(images) if i % 4 == 0]
        return [_loader(Subset(photos, part), mode, workers) for part in (bank, query)]

    def run(images: int, workers: int) -> object:
        classifier = KNNClassifier(
            model,
            num_classes=CLASSES,
            knn_k=3,  # the bank of the first, cold run holds no more
            knn_t=0.1,
            train_dataloader_idx=0,
            val_dataloader_idx=1,
            topk=(1,),
        )
        trainer = Trainer(
            accelerator="gpu" if network.device == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if mode.bf16 else "32-true",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return trainer.validate(classifier, loaders(images, workers), verbose=False)

    return run


def usual(network: Network, album: Album, mode: Mode, *, views: int) -> Run:
    """``run(images, workers)``: features (N, V, D) by the usual pipeline."""
    module = network.fresh(channels_last=mode.channels_last)

    @functools.cache
    def loader(images: int, workers: int) -> DataLoader:
        photos = ImageFolder(str(album.first(images).folder))
        return _loader(_Views([path for path, _ in photos.samples], views, network), mode, workers)

    @torch.inference_mode()
    def run(images: int, workers: int) -> np.ndarray:
        features = []
        for batch in loader(images, workers):
            with mode.autocast(network.device):
                out = module(mode.inputs(batch.to(network.device, non_blocking=True)))
            features.append(out.float().cpu())
        return torch.cat(features).unflatten(0, (images, views)).numpy()

    return run


class _Views(Dataset[Tensor]):
    """V views of each file, one after the other; each of them opens the file."""

    def __init__(self, paths: list[str], views: int, network: Network) -> None:
        self._paths, self._views = paths, views
        self._identity = _identity(network)
        self._drawn = transforms.Compose([*simclr(network.preprocess.size[0]), *_normalised(network)])

    def __len__(self) -> int:
        return len(self._paths) * self._views

    def __getitem__(self, index: int) -> Tensor:
        image, view = divmod(index, self._views)
        with Image.open(self._paths[image]) as file:
            return (self._drawn if view else self._identity)(file.convert("RGB"))


def simclr(size: int) -> list[Callable[..., object]]:
    """SimCLR's augmentation as torchvision has it, for Pillow images."""
    return [
        transforms.RandomResizedCrop(size),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
        transforms.RandomGrayscale(0.2),
        transforms.RandomApply([transforms.GaussianBlur(max(3, int(0.1 * size) | 1), (0.1, 2.0))], p=0.5),
    ]


def _normalised(network: Network) -> list[Callable[..., object]]:
    return [transforms.ToTensor(), transforms.Normalize(network.preprocess.mean, network.preprocess.std)]


def _identity(network: Network) -> Callable[[Image.Image], Tensor]:
    how = network.preprocess
    return timm.data.create_transform(
        how.size, interpolation=how.interpolation, mean=how.mean, std=how.std, crop_pct=how.crop
    )


def _folder(network: Network, album: Album, images: int) -> ImageFolder:
    return ImageFolder(str(album.first(images).folder), transform=_identity(network))


def _loader(data: Dataset, mode: Mode, workers: int) -> DataLoader:
    return DataLoader(
        data,
        batch_size=mode.batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
