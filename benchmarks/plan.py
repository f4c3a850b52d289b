"""How much is measured: all of it, or as little as shows that it works."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.networks import Network, build
from benchmarks.photos import Album


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Sizes of the measurements."""

    album: Album
    rounds: int
    seconds: float
    """What one run of a contender should take at the rate of the encoder alone."""
    least_images: int
    most_images: int
    networks: tuple[Callable[[], Network], ...]
    view_sizes: tuple[tuple[int | None, int, int], ...]
    """Views alone: side of the images in pixels, None for the photographs; side of the views; images."""
    cost_views: tuple[int, ...]
    """V, at the first of ``cost_images``."""
    cost_images: tuple[int, ...]
    """N, at the second of ``cost_views``."""
    training: tuple[tuple[str, int], ...]
    """Backbones, and the steps of one run."""
    training_batch: int
    """Images in a step."""

    def images(self, rate: float, views: int) -> int:
        """Images of one run when ``rate`` views are done in a second: whole batches where that can be."""
        step = self.least_images if views == 1 else self.least_images // 2
        return max(step, min(self.most_images, int(self.seconds * rate / views) // step * step))


def full(album: Album) -> Plan:
    """About twelve minutes on two cores."""
    return Plan(
        album=album,
        rounds=3,
        seconds=2.0,
        least_images=16,
        most_images=256,
        networks=(
            partial(build, "resnet18", "ResNet-18", size=224),
            partial(build, "vit_small_patch16_224", "ViT-S/16", size=224),
            partial(build, "resnet50", "ResNet-50", size=224),
        ),
        view_sizes=((32, 32, 256), (None, 32, 64), (None, 224, 16)),
        cost_views=(1, 2, 4, 8, 16),
        cost_images=(64, 128, 256, 512),
        training=(("resnet18-cifar", 1), ("conv4", 16)),
        training_batch=256,
    )


def quick(album: Album) -> Plan:
    """One round with little of everything: figures that mean nothing."""
    return Plan(
        album=album,
        rounds=1,
        seconds=0.1,
        least_images=4,
        most_images=4,
        networks=(partial(build, "resnet18", "ResNet-18, 64 px", size=64),),
        view_sizes=((32, 32, 4), (None, 224, 1)),
        cost_views=(1, 2, 4),
        cost_images=(4, 8, 16),
        training=(("conv4", 2),),
        training_batch=4,
    )
