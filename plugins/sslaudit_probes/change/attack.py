"""Projected gradient ascent within a small box round each image, against a classifier of its pixels.

The loss is the margin of the best wrong class over the true one, not cross-entropy: where the
classifier is very sure, the gradient of cross-entropy is zero in float32 and an attack that follows it
goes nowhere. What an attack does not find may still be there, so accuracy under it bounds the robust
accuracy from above, never from below.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sslaudit_probes.change.pixels import generator

PACE = 2.5
"""All steps together could cross the box so often."""


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """The largest logit of another class minus that of the label: (n, K), (n,) to (n,); above 0 is wrong.

    Raises ``ValueError`` for fewer than two classes.
    Source: Carlini and Wagner, IEEE S&P 2017, loss f_6, away from the label instead of towards a target.
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(f"logits of shape {tuple(logits.shape)} are not those of two classes or more.")
    own = labels[:, None]
    others = logits.scatter(1, own, -torch.inf).amax(dim=1)
    return others - logits.gather(1, own)[:, 0]


def random_starts(
    key: str, digests: Sequence[str], shape: tuple[int, ...], eps: float, device: str = "cpu"
) -> Tensor:
    """Uniform in [-eps, eps], (n, *shape) float32, drawn for each image by ``key`` and its digest."""
    drawn = [generator(key, digest).uniform(-eps, eps, shape).astype(np.float32) for digest in digests]
    return torch.from_numpy(np.stack(drawn)).to(device)


def pgd(
    logits: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int,
    starts: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The worst images found, and their margins (n,), above 0 where the classifier is fooled.

    ``images`` (n, 3, H, W) are float pixels in [0, 1] and ``logits`` maps such to (n, K). From ``images``
    + ``starts``, ``steps`` steps of 2.5 eps / steps along the sign of the gradient of the margin are each
    cut to the box of pixels within eps and to [0, 1]. The plain images and all that is passed on the way
    count; the largest margin is kept. Parameters of the classifier get no gradient, and images no
    influence on each other as long as they have none in ``logits``. Raises ``ValueError`` for eps < 0,
    steps < 1 and logits through which no gradient flows.
    Source: Madry et al., ICLR 2018, Section 2.1.
    """
    if eps < 0 or steps < 1:
        raise ValueError(f"an attack needs eps >= 0 and a step or more, not eps={eps} and steps={steps}.")
    images = images.detach()
    low, high = (images - eps).clamp(min=0), (images + eps).clamp(max=1)
    best = images.clone()
    with torch.no_grad():
        largest = margins(logits(images), labels)
    at = images if starts is None else torch.clamp(images + starts, low, high)
    for step in range(steps + 1):
        at = at.detach().requires_grad_()
        with torch.enable_grad():
            margin = margins(logits(at), labels)
        worse = margin.detach() > largest
        largest = torch.where(worse, margin.detach(), largest)
        best[worse] = at.detach()[worse]
        if step < steps:
            at = torch.clamp(at.detach() + PACE * eps / steps * _gradient(margin, at).sign(), low, high)
    return best, largest


def _gradient(margin: Tensor, at: Tensor) -> Tensor:
    found = torch.autograd.grad(margin.sum(), at, allow_unused=True) if margin.requires_grad else (None,)
    if found[0] is None:
        raise ValueError("no gradient flows from the logits to the pixels.")
    return found[0]
