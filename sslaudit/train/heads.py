"""Projectors: what stands between the embedding h and the space of the loss."""

from torch import nn


def simclr_projector(dim: int, *, hidden: int | None = None, out: int = 128) -> nn.Sequential:
    """Two layers with one ReLU, (B, D) to (B, out). Source: Chen et al., ICML 2020, Sec. 2.1."""
    hidden = hidden or dim
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out))


def barlow_twins_projector(dim: int, *, hidden: int | None = None, out: int | None = None) -> nn.Sequential:
    """Three layers, batch norm and ReLU after the first two. Source: Zbontar et al., ICML 2021, Sec. 2.2."""
    hidden = hidden or 2 * dim
    out = out or hidden
    layers: list[nn.Module] = []
    for width_in in (dim, hidden):
        layers += [nn.Linear(width_in, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(hidden, out, bias=False))
