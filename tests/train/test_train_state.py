"""One step of a run: its precision, its clipping, and what it leaves as it was."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sslaudit import TrainingError, UsageError, load_dataset
from sslaudit.data import Dataset
from sslaudit.registry import installed
from sslaudit.specs import MethodSpec
from sslaudit.train.backbones import build_backbone
from sslaudit.train.choices import Choices
from sslaudit.train.loop import train
from sslaudit.train.methods import Method
from sslaudit.train.precision import LARGE, settle
from sslaudit.train.processes import with_synchronised_norms
from sslaudit.train.state import Training, seeded
from sslaudit.world import World

LARGE_NET, SMALL_NET = nn.Linear(1000, LARGE // 1000), nn.Linear(3, 3)


class Own(Method):
    """A layer (B, 3) to (B, 2), and a loss of it."""

    def __init__(self, loss: Callable[[Tensor], Tensor]) -> None:
        super().__init__(nn.Linear(3, 2), nn.Identity())
        self.of = loss

    def loss(self, *views: Tensor) -> Tensor:
        return self.of(self.backbone(views[0]))


def training(method: Method, device: str = "cpu", **chosen: Any) -> Training:
    precision = chosen.pop("precision", "fp32")
    choices = Choices(optimiser="sgd", momentum=0, weight_decay=0, warm_up=0, epochs=1, **chosen)
    return Training(method.to(device), choices, steps=4, precision=precision, device=device)


@pytest.mark.parametrize("has", [True, False])
def test_auto_is_by_what_the_device_can(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    assert settle("auto", "cpu", LARGE_NET, 32) == ("bf16" if has else "fp32")
    assert settle("auto", "cpu", SMALL_NET, 32) == "fp32"
    assert settle("auto", "cuda:1", SMALL_NET, 32) == ("bf16" if has else "fp16")
    assert settle("auto", "mps", LARGE_NET, 32) == "fp32"
    assert settle("bf16", "cpu", SMALL_NET, 32) == "bf16"
    assert settle("fp16", "cuda", SMALL_NET, 32) == "fp16"
    for device in ("cpu", "mps"):
        with pytest.raises(UsageError, match=f"training on {device} takes fp32 or bf16"):
            settle("fp16", device, SMALL_NET, 32)


def test_auto_knows_the_own_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """``conv4`` gains a third by bfloat16; ``conv3``, of the committed tables, stays equal everywhere."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    taken = {name: settle("auto", "cpu", build_backbone(name, size=32), 32) for name in ("conv3", "conv4")}
    assert taken == {"conv3": "fp32", "conv4": "bf16"}


@pytest.mark.parametrize(
    ("backbone", "size", "single"),
    [("conv3", 2, False), ("conv3", 8, False), ("conv4", 4, False), ("conv4", 32, False),
     ("resnet18", 16, True), ("resnet18", 64, False)],
)  # fmt: skip
def test_maps_of_one_pixel_take_float32_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, backbone: str, size: int, single: bool
) -> None:
    """torch leaves the gradient of a convolution unwritten there, in bfloat16; that of ours is right."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr("sslaudit.train.precision.LARGE", 0)
    net = build_backbone(backbone, size=size).train()
    assert settle("auto", "cpu", net, size) == ("fp32" if single else "bf16")
    assert net.training
    assert settle("bf16", "cuda", net, size) == "bf16"
    if single:
        with pytest.raises(UsageError, match=f"one pixel at --size {size} get wrong gradients"):
            settle("bf16", "cpu", net, size)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_forward_pass_is_low_and_the_weights_are_not(precision: str, dtype: torch.dtype) -> None:
    seen = []

    def loss(h: Tensor) -> Tensor:
        seen.append(h.dtype)
        return h.float().square().mean()

    method = Own(loss)
    run = training(method, precision=precision, lr=0.1)
    first = run.step([torch.ones(5, 3)])
    assert run.step([torch.ones(5, 3)]) < first
    assert seen == [dtype, dtype]
    assert method.backbone.weight.dtype == torch.float32


@pytest.mark.parametrize("clip", [None, 0.5, 1e6])
def test_gradients_are_clipped_to_the_norm(clip: float | None) -> None:
    """By hand: theta - lr g min(1, clip / |g|), the learning rate at its peak in the first step."""
    method = Own(lambda h: 100 * h.square().mean())
    x = torch.arange(15.0).reshape(5, 3)
    weight, bias = (p.detach().double().clone() for p in method.backbone.parameters())
    rows = x.double()
    pull = 100 * 2 * (rows @ weight.T + bias) / 10  # 5 x 2
    g_weight, g_bias = pull.T @ rows, pull.sum(0)
    norm = float((g_weight.square().sum() + g_bias.square().sum()).sqrt())
    share = 1.0 if clip is None else min(1.0, clip / norm)
    run = training(method, lr=1e-3, clip=clip)
    run.step([x])
    near = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(method.backbone.weight.double(), weight - 1e-3 * share * g_weight, **near)
    torch.testing.assert_close(method.backbone.bias.double(), bias - 1e-3 * share * g_bias, **near)
    assert run.norm == pytest.approx(norm if clip else 0, rel=1e-5)


def test_the_rate_follows_the_steps_of_the_whole_run() -> None:
    run, rates, shares = training(Own(lambda h: h.mean()), lr=0.1), [], []
    run.method.after_step = shares.append  # type: ignore[method-assign]
    for _ in range(4):
        run.step([torch.ones(2, 3)])
        rates.append(run.lr)
    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], abs=1e-6)
    assert shares == [0.25, 0.5, 0.75, 1.0]


@pytest.fixture(scope="module")
def few() -> Dataset:
    digits = load_dataset("digits")
    return dataclasses.replace(digits, train=digits.train[:32])


def test_gradients_that_are_not_finite_stop_a_run_that_clips(few: Dataset, tmp_path: Path) -> None:
    """The loss is 0 and its gradient 0 times infinity."""

    class Bad(Method):
        def loss(self, *views: Tensor) -> Tensor:
            return (0 * self.backbone(views[0])).sum().sqrt()

    spec = MethodSpec(name="bad", summary="", source="", build=lambda net, dim: Bad(net, nn.Identity()))
    before = torch.get_rng_state()
    with pytest.raises(TrainingError, match=r"norm of the gradients is nan at step 1 \(epoch 1\)"):
        train(
            spec,
            few,
            output=tmp_path / "x.pt",
            named=installed().recipes.usable(),
            choices=Choices(size=8, recipe="crop", clip=1.0),
        )
    assert torch.equal(before, torch.get_rng_state())
    assert not list(tmp_path.glob("*.pt"))


def test_the_header_says_what_was_chosen(few: Dataset, tmp_path: Path) -> None:
    choices = Choices(
        size=8,
        recipe="simclr",
        epochs=1,
        batch_size=16,
        optimiser="lars",
        precision="bf16",
        clip=2.0,
        warm_up=0.5,
    )
    named = installed().recipes.usable()
    spec = installed().methods.get("simclr")
    header = train(spec, few, output=tmp_path / "x.pt", named=named, choices=choices)
    stored = torch.load(tmp_path / "x.pt", weights_only=True)["sslaudit"]
    chosen = dataclasses.asdict(choices)
    assert {name: stored[name] for name in chosen} == {**chosen, "recipe": "simclr@1"}
    assert (stored["processes"], stored["epoch"], header.epoch) == (1, 1, 1)
    assert "blur: left out, as below 32 px" in stored["views"]


def test_generators_are_seeded_and_given_back() -> None:
    before = torch.get_rng_state()
    drawn: list[Tensor] = []

    def fail() -> None:
        with seeded(3, "cpu"):
            drawn.append(torch.rand(4))
            raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
    assert torch.equal(*drawn)
    assert torch.equal(before, torch.get_rng_state())


def test_what_batch_norm_sees_is_said() -> None:
    said: list[str] = []
    method = Method(nn.BatchNorm2d(3), nn.Identity())
    assert with_synchronised_norms(method, World(0, 4, 0), "cpu", 64, said.append) is method
    assert said == ["batch norm: each of 4 processes normalises its own 16 images of a step."]
    for world, device in ((World(), "cpu"), (World(0, 2, 0), "cpu")):
        plain = Own(torch.sum) if world.size > 1 else method
        assert with_synchronised_norms(plain, world, device, 64, said.append) is plain
    converted = with_synchronised_norms(method, World(0, 2, 0), "cuda", 64, said.append)
    assert isinstance(converted.backbone, nn.SyncBatchNorm)
    assert said[1:] == ["batch norm: synchronised over 2 processes."]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_trains_in_every_precision_and_goes_on(precision: str) -> None:
    def fresh() -> Training:
        torch.manual_seed(0)
        return training(Own(lambda h: h.float().square().mean()), "cuda", precision=precision)

    x = [torch.ones(5, 3, device="cuda")]
    run = fresh()
    first, second = run.step(x), run.step(x)
    assert second < first
    other = fresh()
    other.restore(run.method.state_dict(), run.state())
    assert other.step(x) == run.step(x)
    for name, tensor in run.method.state_dict().items():
        assert torch.equal(tensor, other.method.state_dict()[name])
