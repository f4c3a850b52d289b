"""Which precision a forward pass of training takes. ``auto`` asks no clock, so that a run repeats."""

from typing import Literal

import torch
from torch import nn

from sslaudit.encoder import count_parameters
from sslaudit.errors import UsageError
from sslaudit.train.choices import Precision

LARGE = 1_000_000
"""Parameters of a backbone from which a CPU takes bfloat16. Smaller ones are quick in float32, which
gives the same weights on CPUs with and without bfloat16."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def settle(precision: Literal["auto"] | Precision, device: str, backbone: nn.Module) -> Precision:
    """``auto`` by what the device has arithmetic for; anything else as it is.

    Raises ``UsageError`` for float16 away from CUDA: gradients would vanish, or crawl.
    """
    kind = torch.device(device).type
    if precision == "fp16" and kind != "cuda":
        raise UsageError(f"--precision fp16: training on {kind} takes fp32 or bf16; fp16 is for CUDA.")
    if precision != "auto":
        return precision
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if kind == "cpu" and count_parameters(backbone) >= LARGE and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
