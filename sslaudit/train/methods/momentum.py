"""Momentum targets: copies of a network that follow it slowly and get no gradient."""

import copy
import math

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def target_of(*online: nn.Module) -> nn.Sequential:
    """A copy of the modules in a row, equal at first, whose parameters take no gradient.

    Batch norm keeps running statistics of its own from what the target sees.
    """
    target = nn.Sequential(*(copy.deepcopy(module) for module in online))
    return target.requires_grad_(False)


def follow(target: nn.Module, *online: nn.Module, momentum: float) -> None:
    """xi <- m xi + (1 - m) theta for each parameter xi of ``target`` and theta of ``online``.

    Source: Grill et al., NeurIPS 2020, Eq. 1; He et al., CVPR 2020, Eq. 2.
    """
    average = get_ema_multi_avg_fn(momentum)  # type: ignore[no-untyped-call]
    average(list(target.parameters()), [theta for module in online for theta in module.parameters()], None)


def rising(momentum: float, done: float) -> float:
    """1 - (1 - m) (cos(pi done) + 1) / 2: from m to 1 as ``done`` goes from 0 to 1.

    Source: Grill et al., NeurIPS 2020, Sec. 3.3.
    """
    return 1 - (1 - momentum) * (math.cos(math.pi * done) + 1) / 2
