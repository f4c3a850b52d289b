"""Training by SimCLR: images/s against lightly's, with its own views and loader.

sslaudit takes the very steps of ``sslaudit train``, without its reports and checkpoints. lightly trains
as its documentation shows: ``SimCLRTransform`` on Pillow images in a ``DataLoader``, the two views
through the network one after the other, ``NTXentLoss``, SGD, float32. Networks start from the same
weights, and both draw views by the same parameters: crop, flip, colour of strength 1, gray, blur.
Images of 32 pixels, cut from photographs, lie decoded in memory, as torchvision's CIFAR-10 does.

A run is an epoch of few steps, and loaders keep their workers. A run of a single step hides none of
the loader's work behind the network; where it is one, with ResNet-18, that work is 2 % or so.
"""

import importlib.util
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks import ours
from benchmarks.peers import WORKERS
from benchmarks.photos import HEIGHT, WIDTH
from benchmarks.plan import Plan
from benchmarks.race import Contender, Run, race
from benchmarks.table import Entry
from sslaudit import Preprocess
from sslaudit.data import Dataset as Images
from sslaudit.encoder import embedding_dim
from sslaudit.train.backbones import build_backbone
from sslaudit.train.batches import Batches
from sslaudit.train.choices import Choices, Precision
from sslaudit.train.methods import simclr
from sslaudit.train.precision import settle
from sslaudit.train.state import Training

SIDE = 32
TARGETS = {"resnet18-cifar": 2.0, "conv4": 3.0}
"""Of lightly, by backbone, at the precision that is taken when none is asked for."""
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
GEOMETRY = Preprocess(size=(SIDE, SIDE), mean=(0.5,) * 3, std=(0.5,) * 3)
"""As ``sslaudit train`` has it."""


def measure(plan: Plan) -> Iterator[Entry]:
    """Rows of all backbones."""
    yield f"SimCLR training, {SIDE} px, batch {plan.training_batch}"
    if not importlib.util.find_spec("lightly"):
        yield "  lightly is not installed here, so not measured"
    for backbone, steps in plan.training:
        yield from _backbone(plan, backbone, steps)


def _backbone(plan: Plan, backbone: str, steps: int) -> Iterator[Entry]:
    batch = plan.training_batch
    pixels = tiles(plan, steps * batch)
    auto = settle("auto", "cpu", _network(backbone)[0], SIDE)
    yield f"  {backbone}: --precision auto takes {auto}"
    contenders = [
        Contender(name=f"sslaudit, {precision}", run=sslaudit(backbone, pixels, batch, precision))
        for precision in PRECISIONS
    ]
    ready = sslaudit(backbone, pixels, batch, auto, ready=True)
    contenders.append(Contender(name=f"the steps alone, views ready, {auto}", run=ready))
    if importlib.util.find_spec("lightly"):
        run = lightly(backbone, pixels, batch)
        contenders.append(Contender(name="lightly's SimCLR, float32", run=run, workers=WORKERS))
    results = race(contenders, len(pixels), plan.rounds)
    own = dict(zip(PRECISIONS, results[: len(PRECISIONS)], strict=True))
    alone, *others = results[len(own) :]
    for other in others:
        for precision, result in own.items():
            target = TARGETS[backbone] if precision == auto else None
            yield result.row(f"{backbone}, {precision}", other, "images/s", target)
    yield own[auto].row(f"{backbone}, {auto}", alone, "images/s")


def tiles(plan: Plan, images: int) -> np.ndarray:
    """Squares (N, 32, 32, 3) uint8 cut from photographs."""
    rows, columns = HEIGHT // SIDE, WIDTH // SIDE
    photos = plan.album.first(-(-images // (rows * columns))).data
    cut = np.stack([photos.read(i)[: rows * SIDE, : columns * SIDE] for i in range(len(photos))])
    squares = cut.reshape(len(cut), rows, SIDE, columns, SIDE, 3).swapaxes(2, 3)
    return squares.reshape(-1, SIDE, SIDE, 3)[:images]


def _network(backbone: str) -> tuple[nn.Module, int]:
    """The same weights at every call, and the width of the embeddings."""
    net = build_backbone(backbone, seed=0, size=SIDE)
    dim = embedding_dim(net.eval(), GEOMETRY, "cpu")
    return net.train(), dim


def sslaudit(
    backbone: str, pixels: np.ndarray, batch: int, precision: Precision, *, ready: bool = False
) -> Run:
    """``run(images, workers)``: so many images in steps of training; with ``ready`` on views made before."""
    data = Images.build(
        ref="tiles",
        read=lambda i: pixels[i],
        digests=[str(i) for i in range(len(pixels))],
        class_names=None,
        splits=["train"] * len(pixels),
    )
    choices = Choices(batch_size=batch, epochs=1000)  # of the schedule: more than are run
    batches = Batches(data, ours.recipe("simclr"), GEOMETRY, choices)
    training = Training(simclr(*_network(backbone)).train(), choices, steps=len(batches), precision=precision)
    numbers, kept = itertools.count(1), list(batches.epoch(0)) if ready else None

    def run(images: int, workers: int) -> None:
        del workers
        left = images
        for views in kept or batches.epoch(next(numbers)):
            training.step([view[:left] for view in views])
            left -= len(views[0])
            if left <= 0:
                return

    return run


def lightly(backbone: str, pixels: np.ndarray, batch: int) -> Run:
    """``run(images, workers)``: so many images in steps of training, by lightly."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    net, dim = _network(backbone)
    head = SimCLRProjectionHead(dim, dim, 128)
    model = nn.Sequential(net.to(memory_format=torch.contiguous_format), head).train()
    criterion, optimizer = NTXentLoss(), torch.optim.SGD(model.parameters(), lr=0.06)
    dataset = _Tiles(pixels, SimCLRTransform(input_size=SIDE))
    loaders = {
        workers: DataLoader(
            dataset, batch_size=batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        for workers in WORKERS
    }

    def run(images: int, workers: int) -> None:
        left = images
        for (x0, x1), _ in loaders[workers]:
            loss = criterion(model(x0[:left]), model(x1[:left]))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            left -= len(x0)
            if left <= 0:
                return

    return run


class _Tiles(Dataset[tuple[list[Tensor], int]]):
    """Views and label, as torchvision's data sets in memory give them."""

    def __init__(self, pixels: np.ndarray, transform: Callable[[Image.Image], list[Tensor]]) -> None:
        self._pixels, self._transform = pixels, transform

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> tuple[list[Tensor], int]:
        return self._transform(Image.fromarray(self._pixels[index])), 0
