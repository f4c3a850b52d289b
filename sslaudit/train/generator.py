"""The networks that BiGAN plays with beside its encoder: a generator of images, and a discriminator."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

LARGEST = 32
"""Pixels of the side of an image that the two see, at most."""
_SMALLEST = 4
"""Pixels of a generator's first maps."""
_LEAK = 0.2


class Generator(nn.Module):
    """Latents (B, L) to images (B, 3, S, S) in [-1, 1], as views are normalised, of any side S.

    A linear layer to 4 x 4 maps, then twice resized to the nearest pixel and convolved, in equal
    ratios from 4 to S; batch norm and ReLU between. Source: Radford et al., ICLR 2016 (DCGAN); Odena et
    al., Distill 2016, for resizing in place of transposed convolutions.
    """

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.start = nn.Sequential(
            nn.Linear(latent, width * _SMALLEST**2), nn.Unflatten(1, (width, _SMALLEST, _SMALLEST))
        )
        widths = (width, width, 3)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels_in), nn.ReLU(), nn.Conv2d(channels_in, channels, 3, padding=1)
            )
            for channels_in, channels in pairwise(widths)
        )

    def forward(self, z: Tensor, side: int) -> Tensor:
        """Images (B, 3, ``side``, ``side``)."""
        maps: Tensor = self.start(z)
        for number, stage in enumerate(self.stages, 1):
            wide = round(_SMALLEST * (side / _SMALLEST) ** (number / len(self.stages)))
            maps = stage(interpolate(maps, size=(wide, wide)))
        return maps.tanh()


class Discriminator(nn.Module):
    """Pairs of an image (B, 3, S, S) and a latent (B, L) to logits (B, 1), of any side S.

    Convolutions that halve the side, average pooling, and layers that join the latent: features of both
    and their product, which tells early what belongs together (Miyato and Koyama, ICLR 2018). No batch
    norm, which would tell the two kinds of pairs apart by their batches.
    """

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels in ((3, width), (width, width), (width, 2 * width)):
            layers += [
                nn.Conv2d(channels_in, channels, kernel_size=3, stride=2, padding=1),
                nn.LeakyReLU(_LEAK),
            ]
        self.image = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.latent = nn.Sequential(
            nn.Linear(latent, 2 * width), nn.LeakyReLU(_LEAK), nn.Linear(2 * width, 2 * width)
        )
        self.pair = nn.Sequential(
            nn.Linear(6 * width, 4 * width), nn.LeakyReLU(_LEAK), nn.Linear(4 * width, 1)
        )

    def forward(self, images: Tensor, z: Tensor) -> Tensor:
        """Logits (B, 1): high for an image with its encoding, low for a latent with its image."""
        seen, told = self.image(images), self.latent(z)
        logits: Tensor = self.pair(torch.cat([seen, told, seen * told], dim=1))
        return logits
