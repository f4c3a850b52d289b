"""Optimisers of the trainers, and how their learning rate goes."""

import math

import torch
from torch import nn

from sslaudit.errors import TrainingError
from sslaudit.train.choices import Choices

TRUST = 1e-3
"""eta of LARS: the share of its norm that a step moves a layer by, at a learning rate of 1."""


def build_optimiser(method: nn.Module, choices: Choices) -> torch.optim.Optimizer:
    """AdamW, SGD or LARS over the parameters of ``method`` that take a gradient, in two groups.

    Biases and the scales and shifts of norms, which are vectors, have no weight decay; LARS does not
    adapt to their norm either. Raises ``TrainingError`` when no parameter takes a gradient.
    Source: Loshchilov and Hutter, ICLR 2019 (AdamW); You et al., 2017, Eq. 6 (LARS); Grill et al.,
    NeurIPS 2020, App. C (what LARS leaves out).
    """
    learned = [parameter for parameter in method.parameters() if parameter.requires_grad]
    if not learned:
        raise TrainingError("the method has no parameter that takes a gradient; there is nothing to train.")
    matrices = {"params": [p for p in learned if p.ndim > 1], "weight_decay": choices.weight_decay}
    vectors = {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0}
    # One kernel over all tensors: on CPUs too several times as fast as one tensor after the other.
    fused = {parameter.device.type for parameter in learned} <= {"cpu", "cuda"}
    if choices.optimiser == "adamw":
        return torch.optim.AdamW([matrices, vectors], lr=choices.lr, fused=fused)
    if choices.optimiser == "sgd":
        return torch.optim.SGD([matrices, vectors], lr=choices.lr, momentum=choices.momentum, fused=fused)
    from timm.optim.lars import Lars  # here, since timm brings all its models along

    matrices["always_adapt"] = True  # else timm adapts only what decays
    lars: torch.optim.Optimizer = Lars(
        [matrices, vectors], lr=choices.lr, momentum=choices.momentum, trust_coeff=TRUST
    )
    return lars


def rate(step: int, steps: int, choices: Choices) -> float:
    """Share of the peak learning rate of step 0, 1, ... of ``steps``: a linear rise, then half a cosine.

    Source: Loshchilov and Hutter, ICLR 2017, Eq. 5, one period; the rise is that of Goyal et al., 2017.
    """
    rise = round(choices.warm_up * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
