"""What the processes of one run say to each other."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeVar

from torch import distributed

from sslaudit.world import World

T = TypeVar("T")

# A rank that is done early waits for the slowest: longer than any extraction.
_PATIENCE = timedelta(days=30)


@contextlib.contextmanager
def together(world: World) -> Iterator[None]:
    """The processes of ``world``, connected while the work is done."""
    if world.size == 1:
        yield
        return
    distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def gather(world: World, value: T) -> list[T]:
    """The ``value`` of every process, by rank, in every process; they wait for each other here."""
    if world.size == 1:
        return [value]
    values: list[Any] = [None] * world.size
    distributed.all_gather_object(values, value)
    return values
