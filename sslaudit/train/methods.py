"""Training methods: a backbone, a projector, and a loss over two views."""

from collections.abc import Callable

from torch import Tensor, nn

from sslaudit.train.heads import barlow_twins_projector, simclr_projector
from sslaudit.train.losses import barlow_twins as barlow_twins_loss
from sslaudit.train.losses import nt_xent


class Method(nn.Module):
    """What the loop trains: ``loss(view_a, view_b)`` of two batches (B, 3, H, W)."""

    def __init__(
        self, backbone: nn.Module, projector: nn.Module, criterion: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector
        self.criterion = criterion

    def loss(self, view_a: Tensor, view_b: Tensor) -> Tensor:
        """The loss of one step, a scalar."""
        # One pass over each view, as in the papers: batch norm sees one view at a time.
        z_a, z_b = (self.projector(self.backbone(view)) for view in (view_a, view_b))
        return self.criterion(z_a, z_b)


def simclr(backbone: nn.Module, dim: int, *, temperature: float = 0.5) -> Method:
    """SimCLR. Source: Chen et al., ICML 2020, Sec. 2.1 and Eq. 1."""
    return Method(backbone, simclr_projector(dim), lambda a, b: nt_xent(a, b, temperature=temperature))


def barlow_twins(backbone: nn.Module, dim: int, *, lambd: float = 5e-3) -> Method:
    """Barlow Twins. Source: Zbontar et al., ICML 2021, Sec. 2.1 and Eq. 1."""
    return Method(backbone, barlow_twins_projector(dim), lambda a, b: barlow_twins_loss(a, b, lambd=lambd))
