"""VICReg: views stay near, dimensions keep their spread and are uncorrelated."""

from functools import partial

from torch import nn

from sslaudit.train.heads import vicreg_expander
from sslaudit.train.losses import vicreg as vicreg_loss
from sslaudit.train.methods.base import Method, check_option
from sslaudit.train.methods.two_projections import TwoProjections


def vicreg(
    backbone: nn.Module,
    dim: int,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    hidden: int | None = None,
    out: int | None = None,
) -> Method:
    """VICReg. Raises ``UsageError``. Source: Bardes et al., ICLR 2022, Sec. 4 and Eq. 6."""
    weights = {"invariance": invariance, "variance": variance, "covariance": covariance}
    for option, weight in weights.items():
        check_option(weight >= 0, "vicreg", option, weight, "not be below 0")
    criterion = partial(vicreg_loss, invariance=invariance, variance=variance, covariance=covariance)
    return TwoProjections(backbone, vicreg_expander(dim, hidden=hidden, out=out), criterion)
