"""SimSiam: predict the other view's projection, without negatives and without a momentum target."""

from torch import Tensor, nn

from sslaudit.train.heads import simsiam_predictor, simsiam_projector
from sslaudit.train.losses import negative_cosine
from sslaudit.train.methods.base import Method, check_option


class SimSiam(Method):
    """A predictor on one view, the bare projection of the other as its target, and both ways round."""

    def __init__(
        self, backbone: nn.Module, projector: nn.Module, predictor: nn.Module, *, stop_gradient: bool
    ) -> None:
        super().__init__(backbone, projector)
        self.predictor = predictor
        self.stop_gradient = stop_gradient

    def loss(self, *views: Tensor) -> Tensor:
        """D(p_a, z_b) / 2 + D(p_b, z_a) / 2, in [-1, 1]. Source: Chen and He, CVPR 2021, Eq. 2."""
        z_a, z_b = (self.projector(self.backbone(view)) for view in views)
        p_a, p_b = self.predictor(z_a), self.predictor(z_b)
        if self.stop_gradient:
            z_a, z_b = z_a.detach(), z_b.detach()
        return (negative_cosine(p_a, z_b) + negative_cosine(p_b, z_a)) / 2


def simsiam(
    backbone: nn.Module,
    dim: int,
    *,
    stop_gradient: bool = True,
    layers: int = 3,
    hidden: int | None = None,
    out: int | None = None,
) -> Method:
    """SimSiam; with ``stop_gradient=False`` it collapses. Raises ``UsageError``.

    Source: Chen and He, CVPR 2021, Sec. 3 and Algorithm 1; Sec. 4.1 for the collapse.
    """
    check_option(layers in (2, 3), "simsiam", "layers", layers, "be 2 or 3")
    projector = simsiam_projector(dim, layers=layers, hidden=hidden, out=out)
    predictor = simsiam_predictor(out or hidden or dim)
    return SimSiam(backbone, projector, predictor, stop_gradient=stop_gradient)
