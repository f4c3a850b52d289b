"""Files of pretext-task projects."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.plugins.checkpoints.layouts_conv import Layout, State, layout, tensors


class _SecondBlock(nn.Module):
    """The features conv2 of RotNet, averaged over the map; from the tensors, without the module's names."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state

    def forward(self, x: Tensor) -> Tensor:
        for block in (1, 2):
            for k in (1, 2, 3):
                at = f"_feature_blocks.{block - 1}.Block{block}_ConvB{k}.layers."
                x = functional.conv2d(x, self.state[f"{at}Conv.weight"], padding=2 if k == 1 else 0)
                mean, variance, weight, bias = (
                    self.state[f"{at}BatchNorm.{part}"]
                    for part in ("running_mean", "running_var", "weight", "bias")
                )
                x = torch.relu(functional.batch_norm(x, mean, variance, weight, bias))
            if block == 1:
                x = functional.max_pool2d(x, 3, stride=2, padding=1)
        return x.mean((2, 3))


@layout
def rotnet_nin() -> Layout:
    """Source: gidariss/FeatureLearningRotNet architectures/NetworkInNetwork.py, algorithms/Algorithm.py"""
    state: State = {}
    widths = {1: (3, 192, 160, 96), 2: (96, 192, 192, 192)} | dict.fromkeys((3, 4), (192, 192, 192, 192))
    for block, channels in widths.items():
        for k, (inner, outer) in enumerate(pairwise(channels), 1):
            part = f"_feature_blocks.{block - 1}.Block{block}_ConvB{k}.layers."
            kernel = (5 if block < 3 else 3) if k == 1 else 1
            norm = nn.BatchNorm2d(outer)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            nn.init.normal_(norm.running_mean, std=0.1)
            state |= tensors(f"{part}Conv.", nn.Conv2d(inner, outer, kernel, bias=False))
            state |= tensors(f"{part}BatchNorm.", norm)
    state |= tensors("_feature_blocks.4.Classifier.", nn.Linear(192, 4))
    return Layout(
        content={"epoch": 200, "network": state},
        reference=_SecondBlock(state),
        branch="network",
        prefix="",
        ignored=("classifier",),
        name="Network in Network, 4 blocks",
        project="rotnet-nin",
        pixels=32,
        size=32,
        mean=(125.3 / 255, 123.0 / 255, 113.9 / 255),
        std=(63.0 / 255, 62.1 / 255, 66.7 / 255),
    )
