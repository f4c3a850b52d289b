"""What the shapes in a file say, asked so that a damaged file gets an answer and not a traceback."""

import re

from sslaudit_checkpoints.architectures.base import State, Unfit


def shape(state: State, name: str, ndim: int) -> tuple[int, ...]:
    """Shape of the tensor ``name``. Raises ``Unfit`` when it is missing, empty or not of ``ndim`` axes."""
    if name not in state:
        raise Unfit(f"the tensor '{name}' is missing, which decides the architecture.")
    sizes = tuple(state[name].shape)
    if len(sizes) != ndim or 0 in sizes:
        raise Unfit(f"the tensor '{name}' has the shape {sizes}; one with {ndim} axes was expected.")
    return sizes


def count(state: State, pattern: str) -> int:
    """Number of different indices that group 1 of ``pattern`` finds at the start of the names."""
    return len({match[1] for name in state if (match := re.match(pattern, name))})


def refuse_gray(channels: int) -> None:
    """Raises ``Unfit`` unless a net takes three channels."""
    if channels != 3:
        what = "1 channel" if channels == 1 else f"{channels} channels"
        raise Unfit(f"it takes {what}; sslaudit feeds RGB.")
