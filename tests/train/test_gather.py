"""Two processes train as one: their gradients, averaged, are those of one process on the joined batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sslaudit.train.gather import gather
from sslaudit.train.methods import Method, barlow_twins, byol, moco, simclr, simsiam, vicreg

B = 5  # images of a process in a step
BUILDERS = {
    "simclr": lambda net, dim: simclr(net, dim, temperature=0.2, out=6),
    "barlow-twins": lambda net, dim: barlow_twins(net, dim, lambd=0.1),
    "vicreg": vicreg,
    "byol": lambda net, dim: byol(net, dim, momentum=0.9, out=6),
    "simsiam": simsiam,
    "moco": lambda net, dim: moco(net, dim, momentum=0.9, queue=13, symmetric=True, out=6),
}


def built(name: str) -> Method:
    """In float64, batch norm as in evaluation: what it sees in training is each process's own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh())
        return BUILDERS[name](net, 8).double().eval()


def steps() -> Tensor:
    """Three steps, two views, the images of both processes."""
    return torch.randn(3, 2, 2 * B, 3, 2, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def trained(method: Method, of: slice, wrapped: nn.Module | None = None) -> dict[str, Tensor]:
    """All that the method holds after three steps, and the gradients of the last."""
    learner = wrapped or method
    optimiser = torch.optim.SGD(method.parameters(), lr=0.5)
    for number, (a, b) in enumerate(steps(), 1):
        optimiser.zero_grad()
        learner(a[of], b[of]).backward()
        optimiser.step()
        method.after_step(number / 3)
    gradients = {f"{name}.grad": p.grad for name, p in method.named_parameters() if p.requires_grad}
    return {**method.state_dict(), **gradients}


def worker(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2
    )
    mine = slice(rank * B, (rank + 1) * B)
    found: dict[str, object] = {}
    for name in BUILDERS:
        method = built(name)
        found[name] = trained(method, mine, DistributedDataParallel(method))
    for dtype in (torch.float32, torch.bfloat16):
        rows = torch.full((2, 3), rank + 1.0, dtype=dtype, requires_grad=True)
        joined = gather(rows.T)  # not contiguous
        (joined * (rank + 1)).sum().backward()
        found[str(dtype)] = (joined.detach(), rows.grad)
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    folder = tmp_path_factory.mktemp("two")
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(folder)], stderr=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    try:
        errors = [process.communicate(timeout=240)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("name", BUILDERS)
def test_two_processes_are_one_on_the_joined_batch(two: list[dict[str, object]], name: str) -> None:
    alone = trained(built(name), slice(None))
    assert any(key.endswith(".grad") and value.abs().max() > 1e-4 for key, value in alone.items())
    for rank in (0, 1):
        state = two[rank][name]
        for key, value in alone.items():
            torch.testing.assert_close(state[key], value, rtol=1e-8, atol=1e-10, msg=f"{name}: {key}")


def test_gathered_rows_come_in_the_order_of_ranks_with_the_gradients_of_all(
    two: list[dict[str, object]],
) -> None:
    for dtype in ("torch.float32", "torch.bfloat16"):
        for rank in (0, 1):
            joined, gradient = two[rank][dtype]
            assert joined.tolist() == [[1, 1]] * 3 + [[2, 2]] * 3
            assert gradient.tolist() == [[3] * 3] * 2  # 1 of the first process's loss, 2 of the second's


def test_alone_a_batch_is_itself() -> None:
    z = torch.ones(2, 3)
    assert gather(z) is z


if __name__ == "__main__":
    worker(int(sys.argv[1]), Path(sys.argv[2]))
