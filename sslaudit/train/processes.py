"""The processes of one data-parallel run: connected, agreed, and one model in all of them."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from sslaudit.errors import TrainingError
from sslaudit.train.methods import Method
from sslaudit.world import World

T = TypeVar("T")

_PATIENCE = timedelta(minutes=30)
"""The others wait so long for the first process, which looks at embeddings and writes checkpoints."""


@contextlib.contextmanager
def connected(world: World, device: str) -> Iterator[None]:
    """The processes of ``world``, connected while they train.

    Raises ``TrainingError`` when one of the others is lost.
    """
    if world.size == 1 or distributed.is_initialized():
        yield
        return
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise
        raise TrainingError(
            f"process {world.rank} of {world.size} lost the others; the last checkpoint stays as it is: "
            "start all of them again with --resume."
        ) from error
    finally:
        distributed.destroy_process_group()


def shared(world: World, value: T) -> T:
    """The ``value`` of the first process, in every process."""
    if world.size == 1:
        return value
    values: list[Any] = [value]
    distributed.broadcast_object_list(values, device=torch.device("cpu"))
    shared_value: T = values[0]
    return shared_value


def agreed(world: World, loss: float, signal: int) -> tuple[float, int]:
    """The mean loss of all processes, and the signal that any of them caught; they wait for each other."""
    if world.size == 1:
        return loss, signal
    rows = [torch.empty(2, dtype=torch.float64) for _ in range(world.size)]
    distributed.all_gather(rows, torch.tensor([loss, signal], dtype=torch.float64))
    losses, signals = torch.stack(rows).unbind(1)
    return float(losses.mean()), int(signals.max())


def with_synchronised_norms(
    method: Method, world: World, device: str, batch_size: int, say: Callable[[str], None]
) -> Method:
    """On GPUs batch norm sees the batches of all processes together; on CPUs torch has none that does."""
    if world.size == 1 or not any(isinstance(module, _BatchNorm) for module in method.modules()):
        return method
    if torch.device(device).type != "cuda":
        share = batch_size // world.size
        say(f"batch norm: each of {world.size} processes normalises its own {share} images of a step.")
        return method
    say(f"batch norm: synchronised over {world.size} processes.")
    converted: Method = nn.SyncBatchNorm.convert_sync_batchnorm(method)  # type: ignore[no-untyped-call]
    return converted


def parallel(method: Method, world: World, device: str) -> nn.Module:
    """``method``, with gradients averaged over all processes; alone, as it is."""
    if world.size == 1:
        return method
    cuda = torch.device(device).type == "cuda"
    return DistributedDataParallel(method, device_ids=[torch.device(device)] if cuda else None)
