"""RotNet's Network in Network: blocks of one spatial and two pointwise convolutions.

Source: Gidaris et al., ICLR 2018, Sec. 3.1; gidariss/FeatureLearningRotNet architectures/NetworkInNetwork.py.
"""

import re
from collections import OrderedDict

from torch import Tensor, nn

from sslaudit.encoder import Preprocess
from sslaudit_checkpoints.architectures.base import Architecture, Dialect, Hints, Reading, State, Unfit

_WIDTHS = {1: (192, 160, 96)}
_USUAL = (192, 192, 192)
_READ = 2
"""The block after which the authors evaluate (their Table 1)."""


class NetworkInNetwork(nn.Module):
    """Images (B, 3, H, W) to the global average after the second block, (B, 192)."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self._feature_blocks = nn.ModuleList()
        channels = 3
        for block in range(1, blocks + 1):
            parts: OrderedDict[str, nn.Module] = OrderedDict()
            for place, width in enumerate(_WIDTHS.get(block, _USUAL), 1):
                kernel = (5 if block < 3 else 3) if place == 1 else 1
                parts[f"Block{block}_ConvB{place}"] = _Convolution(channels, width, kernel)
                channels = width
            self._feature_blocks.append(nn.Sequential(parts))
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self._feature_blocks[1](self.pool(self._feature_blocks[0](x)))
        return x.mean((2, 3))


class _Convolution(nn.Module):
    def __init__(self, inner: int, outer: int, kernel: int) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["Conv"] = nn.Conv2d(inner, outer, kernel, padding=(kernel - 1) // 2, bias=False)
        parts["BatchNorm"] = nn.BatchNorm2d(outer)
        parts["ReLU"] = nn.ReLU(inplace=True)
        self.layers = nn.Sequential(parts)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def _read(state: State, hints: Hints) -> Reading:
    blocks = len({match[1] for name in state if (match := re.match(r"_feature_blocks\.(\d+)\.Block", name))})
    if blocks < _READ:
        raise Unfit("it is a Network in Network of one block; it is read after the second.")
    state = {
        (f"classifier.{name}" if ".Classifier." in name else name): tensor for name, tensor in state.items()
    }
    architecture = Architecture(
        name=f"Network in Network, {blocks} blocks",
        build=lambda: NetworkInNetwork(blocks),
        preprocess=Preprocess(size=(32, 32), source="assumed"),
        facts={"layer": "block 2, where its authors evaluate", "pooling": "global average, before the pool"},
    )
    return Reading(architecture=architecture, state=state)


DIALECTS = (
    Dialect(
        name="Network in Network (RotNet)",
        anchor=re.compile(r"_feature_blocks\.0\.Block1_ConvB1\.layers\.Conv\.weight$"),
        read=_read,
    ),
)
