"""Heads: projectors, between the embedding h and the space of the loss, and predictors.

Published widths that are multiples of ResNet-50's 2048 are here the same multiples of the embedding's
dimension D. Biases before batch norm, which it cancels, are left out.
"""

from itertools import pairwise

from torch import nn


def simclr_projector(dim: int, *, hidden: int | None = None, out: int = 128) -> nn.Sequential:
    """Two layers with one ReLU, (B, D) to (B, out), hidden width D; SimCLR's and MoCo v2's.

    Source: Chen et al., ICML 2020, Sec. 2.1; Chen et al., 2020 (MoCo v2), Sec. 3.
    """
    hidden = hidden or dim
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out))


def barlow_twins_projector(dim: int, *, hidden: int | None = None, out: int | None = None) -> nn.Sequential:
    """Three layers, batch norm and ReLU after the first two; published width 8192, here 2 D.

    Source: Zbontar et al., ICML 2021, Sec. 2.2.
    """
    hidden = hidden or 2 * dim
    return _mlp(dim, hidden, hidden, out or hidden)


def vicreg_expander(dim: int, *, hidden: int | None = None, out: int | None = None) -> nn.Sequential:
    """Three layers, batch norm and ReLU after the first two; published width 8192 = 4 * 2048, here 4 D.

    Source: Bardes et al., ICLR 2022, Sec. 4.2.
    """
    hidden = hidden or 4 * dim
    return _mlp(dim, hidden, hidden, out or hidden)


def byol_head(dim: int, *, hidden: int, out: int = 256) -> nn.Sequential:
    """Two layers, batch norm and ReLU after the first: BYOL's projector, and its predictor.

    Source: Grill et al., NeurIPS 2020, Sec. 3.3.
    """
    return _mlp(dim, hidden, out)


def simsiam_projector(
    dim: int, *, layers: int = 3, hidden: int | None = None, out: int | None = None
) -> nn.Sequential:
    """Layers with batch norm each and ReLU between; the last norm has no weights; width D.

    Two layers are the published choice for CIFAR-10. Source: Chen and He, CVPR 2021, Sec. 3 and
    Appendix D.
    """
    hidden = hidden or dim
    out = out or hidden
    return nn.Sequential(*_mlp(dim, *[hidden] * (layers - 1), out), nn.BatchNorm1d(out, affine=False))


def simsiam_predictor(dim: int) -> nn.Sequential:
    """A bottleneck of a quarter of the width, (B, D) to (B, D), with a bias at the end.

    Source: Chen and He, CVPR 2021, Sec. 3.
    """
    return _mlp(dim, max(1, dim // 4), dim, bias=True)


def _mlp(*widths: int, bias: bool = False) -> nn.Sequential:
    """Linear layers between the widths, batch norm and ReLU after all but the last; ``bias`` is its."""
    layers: list[nn.Module] = []
    for width, after in pairwise(widths[:-1]):
        layers += [nn.Linear(width, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1], bias=bias))
