"""The convolution of the own backbones: torch's, with gradients of its weights by a product."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sslaudit.train import convolution
from sslaudit.train.convolution import Convolution


def gradients(layer: nn.Module, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maps, and gradients of ``x`` and of the layer's weights, of the sum of maps times ``weights``."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype == torch.float32):
        maps = layer(x)
    (maps * weights.to(maps.dtype)).sum().backward()
    (parameter,) = layer.parameters()
    assert x.grad is not None
    assert parameter.grad is not None
    return maps.detach().double(), x.grad.double(), parameter.grad.double()


@settings(deadline=None, max_examples=60)
@given(
    batch=st.integers(1, 5),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    stride=st.integers(1, 3),
    channels_last=st.booleans(),
)
def test_the_gradients_are_those_of_a_convolution_in_float64(
    batch: int, channels: tuple[int, int], size: tuple[int, int], stride: int, channels_last: bool
) -> None:
    """Maps of one pixel too, which torch itself gets wrong in bfloat16."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels[0], *size, generator=draw)
    layer = Convolution(*channels, stride)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, layer = x.to(memory_format=layout), layer.to(memory_format=layout)
    weights = torch.randn(layer(x).shape, generator=draw)
    plain = nn.Conv2d(*channels, kernel_size=3, stride=stride, padding=1, bias=False).double()
    with torch.no_grad():
        plain.weight.copy_(layer.weight)
    if weights[0, 0].numel() > convolution.SMALL:
        return  # torch's own, of which the gradient may be unwritten
    expected = gradients(plain, x.double(), weights.double())
    with torch.no_grad():
        plain.weight.copy_(layer.weight.abs())
    plain.zero_grad()
    sizes = gradients(plain, x.double().abs(), weights.double().abs())
    for found, exact, terms in zip(gradients(layer, x, weights), expected, sizes, strict=True):
        # Both factors and the sum are rounded to eight bits: three times 2^-8 of the terms' sizes.
        assert ((found - exact).abs() <= 3.1 * 2**-8 * terms).all()


@pytest.mark.parametrize("side", [8, 32])
def test_weights_and_maps_are_torchs_own(side: int) -> None:
    """In float32, in evaluation and on large maps nothing differs, and checkpoints fit both ways."""
    layer = Convolution(4, 6, 2)
    plain = nn.Conv2d(4, 6, kernel_size=3, stride=2, padding=1, bias=False)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(3, 4, side, side)
    assert torch.equal(layer(x), plain(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), plain(x))
        with torch.inference_mode():
            assert torch.equal(layer(x), plain(x))


def test_small_maps_take_the_product_under_autocast_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick way is really taken: at 4 x 4 pixels of output, and not above."""
    called: list[int] = []
    patches = convolution._patches

    def counted(x: Tensor, stride: int) -> Tensor:
        called.append(x.shape[-1])
        return patches(x, stride)

    monkeypatch.setattr(convolution, "_patches", counted)
    layer = Convolution(2, 3, 2)
    for side in (8, 9):
        for enabled in (True, False):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                layer(torch.randn(2, 2, side, side)).float().sum().backward()
    assert called == [8]
