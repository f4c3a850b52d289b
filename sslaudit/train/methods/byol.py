"""BYOL: predict the projection that a slow copy of the network makes of the other view."""

import torch
from torch import Tensor, nn

from sslaudit.train.heads import byol_head
from sslaudit.train.losses import negative_cosine
from sslaudit.train.methods.base import Method, check_option
from sslaudit.train.methods.momentum import follow, rising, target_of


class BYOL(Method):
    """A predictor on the online network's view; the target network sees the other one."""

    def __init__(
        self, backbone: nn.Module, projector: nn.Module, predictor: nn.Module, *, momentum: float
    ) -> None:
        super().__init__(backbone, projector)
        self.predictor = predictor
        self.target = target_of(backbone, projector)
        self.momentum = momentum

    def loss(self, *views: Tensor) -> Tensor:
        """The squared distances of normalised predictions and targets, mean over images, summed over
        the two ways round, in [0, 8]. Source: Grill et al., NeurIPS 2020, Eq. 2 and the line after it."""
        p_a, p_b = (self.predictor(self.projector(self.backbone(view))) for view in views)
        with torch.no_grad():
            z_a, z_b = (self.target(view) for view in views)
        return 4 + 2 * (negative_cosine(p_a, z_b) + negative_cosine(p_b, z_a))

    def after_step(self, done: float) -> None:
        """The target follows, slower and slower: its momentum rises to 1 at the last step."""
        follow(self.target, self.backbone, self.projector, momentum=rising(self.momentum, done))


def byol(
    backbone: nn.Module, dim: int, *, momentum: float = 0.996, hidden: int | None = None, out: int = 256
) -> Method:
    """BYOL. Published hidden width 4096 = 2 * 2048, here 2 D. Raises ``UsageError``.

    Source: Grill et al., NeurIPS 2020, Sec. 3.
    """
    check_option(0 <= momentum <= 1, "byol", "momentum", momentum, "lie between 0 and 1")
    hidden = hidden or 2 * dim
    projector, predictor = (byol_head(width, hidden=hidden, out=out) for width in (dim, out))
    return BYOL(backbone, projector, predictor, momentum=momentum)
