"""The training method: views of one image near each other, images far apart on the sphere."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sslaudit.train.gather import gather
from sslaudit.train.methods import Method


class AlignUniform(Method):
    """Alignment plus weighted uniformity of l2-normalised projections.

    Source: Wang and Isola, ICML 2020, Eq. 2 and 3, with exponents 2.
    """

    def __init__(self, backbone: nn.Module, dim: int, *, weight: float = 1.0, out: int = 64) -> None:
        super().__init__(backbone, nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, out)))
        self.weight = weight

    def loss(self, *views: Tensor) -> Tensor:
        """Scalar of the two views (B, 3, H, W); with several processes all rows are compared."""
        a, b = (functional.normalize(gather(self.projector(self.backbone(view))).float()) for view in views)
        alignment = (a - b).square().sum(dim=1).mean()
        uniformity = sum(_uniformity(z) for z in (a, b)) / 2
        return alignment + self.weight * uniformity


def _uniformity(z: Tensor) -> Tensor:
    return torch.pdist(z).square().mul(-2).exp().mean().log()
