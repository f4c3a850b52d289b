"""A convolution whose weights get their gradient by one product where maps are small, in bfloat16 on a CPU.

There oneDNN takes two to three times as long for it as for the gradient of the input. Patches side by
side, times the gradients of the output, are the same sums: a weight's gradient is that of a linear layer.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, pad
from torch.nn.grad import conv2d_input

SMALL = 16
"""Pixels of an output map up to which the product is quicker."""


class Convolution(nn.Conv2d):
    """``torch.nn.Conv2d`` with 3x3 weights, padding of 1 and no bias: (B, C, H, W) to (B, O, H', W').

    Its weights have the names and shapes of torch's. It computes as torch does but for a gradient that is
    rounded otherwise, on a CPU under autocast.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The maps of ``x``."""
        pixels = -(-x.shape[-2] // self.stride[0]) * -(-x.shape[-1] // self.stride[1])
        mixed = x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
        if not mixed or pixels > SMALL:
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu")
        maps: Tensor = _ByProduct.apply(x.to(dtype), self.weight.to(dtype), self.stride[0])
        return maps


class _ByProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return conv2d(x, weight, stride=stride, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:
        x, weight = ctx.saved_tensors
        of_x: Tensor | None = None
        if ctx.needs_input_grad[0]:
            of_x = conv2d_input(x.shape, weight, grad, stride=ctx.stride, padding=1)  # type: ignore[no-untyped-call]
        rows = grad.permute(0, 2, 3, 1).flatten(0, 2)  # (B H' W', O)
        of_weight = rows.T @ _patches(x, ctx.stride)
        return of_x, of_weight.view(len(weight), 3, 3, -1).permute(0, 3, 1, 2), None


def _patches(x: Tensor, stride: int) -> Tensor:
    """What the 3x3 weights see at each pixel of the output, (B H' W', 9 C), by row, column, channel."""
    padded = pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, 3, stride).unfold(2, 3, stride)  # (B, H', W', C, 3, 3)
    return windows.permute(0, 1, 2, 4, 5, 3).flatten(0, 2).flatten(1)
