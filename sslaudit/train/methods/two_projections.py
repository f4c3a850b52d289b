"""Methods whose loss compares the projections of two views: SimCLR and Barlow Twins."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from sslaudit.train.gather import gather
from sslaudit.train.heads import barlow_twins_projector, simclr_projector
from sslaudit.train.losses import barlow_twins as barlow_twins_loss
from sslaudit.train.losses import nt_xent
from sslaudit.train.methods.base import Method, check_option


class TwoProjections(Method):
    """A method whose loss compares the projections of the two views, of all processes together."""

    def __init__(
        self, backbone: nn.Module, projector: nn.Module, criterion: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__(backbone, projector)
        self.criterion = criterion

    def loss(self, *views: Tensor) -> Tensor:
        """``criterion`` of z_a and z_b, (W B, P) each for W processes."""
        # One pass over each view, as in the papers: batch norm sees one view at a time.
        z_a, z_b = (gather(self.projector(self.backbone(view))) for view in views)
        return self.criterion(z_a, z_b)


def simclr(
    backbone: nn.Module, dim: int, *, temperature: float = 0.5, hidden: int | None = None, out: int = 128
) -> Method:
    """SimCLR. Raises ``UsageError``. Source: Chen et al., ICML 2020, Sec. 2.1 and Eq. 1."""
    check_option(temperature > 0, "simclr", "temperature", temperature, "be above 0")
    projector = simclr_projector(dim, hidden=hidden, out=out)
    return TwoProjections(backbone, projector, partial(nt_xent, temperature=temperature))


def barlow_twins(
    backbone: nn.Module, dim: int, *, lambd: float = 5e-3, hidden: int | None = None, out: int | None = None
) -> Method:
    """Barlow Twins. Raises ``UsageError``. Source: Zbontar et al., ICML 2021, Sec. 2 and Eq. 1."""
    check_option(lambd >= 0, "barlow-twins", "lambd", lambd, "not be below 0")
    projector = barlow_twins_projector(dim, hidden=hidden, out=out)
    return TwoProjections(backbone, projector, partial(barlow_twins_loss, lambd=lambd))
