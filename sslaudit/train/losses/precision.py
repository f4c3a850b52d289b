"""The number type that losses are computed in."""

import functools
from collections.abc import Callable
from typing import ParamSpec, cast

import torch
from torch import Tensor

P = ParamSpec("P")


def in_float32(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """``loss`` computed in float32 at least, also under autocast.

    Its positional arguments are tensors; they come in the widest of their types and float32.
    """

    @functools.wraps(loss)
    def computed(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        tensors = cast(tuple[Tensor, ...], args)
        dtype = functools.reduce(torch.promote_types, (z.dtype for z in tensors), torch.float32)
        with torch.autocast(tensors[0].device.type, enabled=False):
            return cast(Callable[..., Tensor], loss)(*(z.to(dtype) for z in tensors), **kwargs)

    return computed
