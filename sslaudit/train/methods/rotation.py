"""Rotation: the pretext task of telling by which quarter turn an image was rotated."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sslaudit.train.losses.precision import in_float32
from sslaudit.train.methods.base import Method

TURNS = 4
"""Quarter turns, counter-clockwise, from none to three."""


class Rotation(Method):
    """A linear classifier of the quarter turns; it takes the place of the projector."""

    n_views = 1

    def loss(self, *views: Tensor) -> Tensor:
        """The mean cross-entropy over the batch (B, 3, S, S) in all four turns, log 4 for a guess.

        All turns of an image are in one batch, as in the paper, so that batch norm tells none apart.
        Source: Gidaris et al., ICLR 2018, Eq. 2 and 3.
        """
        (images,) = views
        turned = torch.cat([images.rot90(turn, (2, 3)) for turn in range(TURNS)])  # 4B x 3 x S x S
        turns = torch.arange(TURNS, device=images.device).repeat_interleave(len(images))
        return _cross_entropy(self.projector(self.backbone(turned)), turns=turns)


def rotation(backbone: nn.Module, dim: int) -> Method:
    """Prediction of rotations. Source: Gidaris et al., ICLR 2018, Sec. 2."""
    return Rotation(backbone, nn.Linear(dim, TURNS))


@in_float32
def _cross_entropy(scores: Tensor, *, turns: Tensor) -> Tensor:
    return functional.cross_entropy(scores, turns)
