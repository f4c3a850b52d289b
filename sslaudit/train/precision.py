"""Which precision a forward pass of training takes. ``auto`` asks no clock, so that a run repeats."""

from typing import Literal

import torch
from torch import Tensor, nn

from sslaudit.encoder import count_parameters
from sslaudit.errors import UsageError
from sslaudit.train.choices import Precision
from sslaudit.train.convolution import Convolution
from sslaudit.train.modes import evaluating

LARGE = 250_000
"""Parameters of a backbone from which a CPU takes bfloat16: ``conv4`` does, ``conv3`` does not. Smaller ones
are quick in float32, which gives the same weights on CPUs with and without bfloat16."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def settle(precision: Literal["auto"] | Precision, device: str, backbone: nn.Module, size: int) -> Precision:
    """``auto`` by what the device has arithmetic for; anything else as it is.

    ``size`` is the side of the images in pixels. Raises ``UsageError`` for float16 away from CUDA,
    where gradients would vanish, or crawl, and for bfloat16 on a CPU where a convolution of torch of several
    pixels meets a map of one: torch leaves its gradient unwritten there.
    """
    kind = torch.device(device).type
    if precision == "fp16" and kind != "cuda":
        raise UsageError(f"--precision fp16: training on {kind} takes fp32 or bf16; fp16 is for CUDA.")
    if kind == "cpu" and precision == "bf16" and _meets_single_pixels(backbone, size):
        raise UsageError(
            f"--precision bf16: maps of one pixel at --size {size} get wrong gradients in bfloat16 on a CPU; "
            "take --precision fp32, or larger images."
        )
    if precision != "auto":
        return precision
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    quick = kind == "cpu" and count_parameters(backbone) >= LARGE and _cpu_has_bf16()
    return "bf16" if quick and not _meets_single_pixels(backbone, size) else "fp32"


def _meets_single_pixels(backbone: nn.Module, size: int) -> bool:
    """Whether a convolution of torch with a kernel above 1 sees a map whose height or width is 1."""
    found: list[bool] = []

    def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        found.append(max(module.kernel_size) > 1 and min(args[0].shape[-2:]) == 1)  # type: ignore[arg-type]

    convolutions = [
        module
        for module in backbone.modules()
        if isinstance(module, nn.Conv2d) and not isinstance(module, Convolution)  # ours gets it right
    ]
    if not convolutions:
        return False
    hooks = [module.register_forward_pre_hook(look) for module in convolutions]
    with evaluating(backbone):
        backbone(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return any(found)


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
