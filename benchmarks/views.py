"""Views alone, SimCLR's recipe: against torchvision's transforms, and kornia's where it is installed."""

import functools
import importlib.util
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks import ours
from benchmarks.peers import WORKERS
from benchmarks.plan import Plan
from benchmarks.race import Contender, race
from benchmarks.table import Entry
from sslaudit import Preprocess
from sslaudit.views import draw, identity_view, make_views

VIEWS = 8
"""Of each image, all drawn."""
TARGETS = {32: 10.0, 224: 5.0}
"""Of torchvision, by input size in pixels."""


def measure(plan: Plan) -> Iterator[Entry]:
    """Rows of all sizes, from decoded pixels to uint8 views."""
    yield f"Views alone, SimCLR's recipe, {VIEWS} of each decoded image"
    if not importlib.util.find_spec("kornia"):
        yield "  kornia is not installed here, so not measured"
    for side, size, images in plan.view_sizes:
        yield from _size(plan, side, size, images)


def _size(plan: Plan, side: int | None, size: int, images: int) -> Iterator[Entry]:
    data = plan.album.first(images).data
    pixels = [data.read(i) for i in range(images)]
    if side:
        pixels = [identity_view(image, Preprocess(size=(side, side))) for image in pixels]
    tensors = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in pixels]
    uniforms, preprocess = draw(0, data.digests, VIEWS), Preprocess(size=(size, size))

    def sslaudit(count: int, workers: int) -> Tensor:
        del workers
        return make_views(pixels[:count], uniforms[:count], ours.recipe("simclr"), preprocess, identity=False)

    @functools.cache
    def loader(count: int, workers: int) -> DataLoader:
        views = _Views(tensors[:count], size)
        return DataLoader(views, batch_size=16, num_workers=workers, persistent_workers=workers > 0)

    def torchvision(count: int, workers: int) -> list[Tensor]:
        return list(loader(count, workers))

    contenders = [
        Contender(name="sslaudit", run=sslaudit),
        Contender(name="torchvision v2, each image, uint8 tensors", run=torchvision, workers=WORKERS),
    ]
    if importlib.util.find_spec("kornia"):
        contenders.append(Contender(name="kornia, batches", run=_kornia(tensors, size)))
    own, *others = race(contenders, images, plan.rounds, views=VIEWS)
    for other in others:
        target = TARGETS[size] if other is others[0] else None
        yield own.row(
            f"views of {size} px from {f'{side} px' if side else 'photographs'}", other, "views/s", target
        )


class _Views(Dataset[Tensor]):
    """V views of each image, one after the other."""

    def __init__(self, images: list[Tensor], size: int) -> None:
        self._images = images
        self._transform = v2.Compose(
            [
                v2.RandomResizedCrop(size, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
                v2.RandomGrayscale(0.2),
                v2.RandomApply([v2.GaussianBlur(max(3, int(0.1 * size) | 1), (0.1, 2.0))], p=0.5),
            ]
        )

    def __len__(self) -> int:
        return len(self._images) * VIEWS

    def __getitem__(self, index: int) -> Tensor:
        return self._transform(self._images[index // VIEWS])


def _kornia(tensors: list[Tensor], size: int) -> Callable[[int, int], list[Tensor]]:
    from kornia import augmentation

    kernel = max(3, int(0.1 * size) | 1)
    transform = torch.nn.Sequential(
        augmentation.RandomResizedCrop((size, size)),
        augmentation.RandomHorizontalFlip(),
        augmentation.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        augmentation.RandomGrayscale(p=0.2),
        augmentation.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=0.5),
    )

    def run(count: int, workers: int) -> list[Tensor]:
        del workers
        batch = torch.stack(tensors[:count]).float().div_(255)
        return [transform(batch) for _ in range(VIEWS)]

    return run
