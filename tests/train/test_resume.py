"""Interrupted and resumed: the same weights as without the interruption, and nothing lost on the way."""

import csv
import dataclasses
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sslaudit import TrainingError, UsageError, evaluate, load_dataset, load_encoder
from sslaudit.data import Dataset, subset
from sslaudit.errors import OutputError
from sslaudit.registry import installed
from sslaudit.report.words import headline
from sslaudit.specs import MethodSpec
from sslaudit.train.checkpoint import Header
from sslaudit.train.choices import Choices
from sslaudit.train.loop import train
from sslaudit.train.methods import Method
from sslaudit.train.signals import Signals

BUILT: list[Method] = []
"""Methods in the order in which runs built them."""

CHOSEN = Choices(size=8, recipe="crop(scale=0.5)+color", epochs=3, batch_size=16)
STEPS = 3
"""Of an epoch: 44 images give 16, 16 and 12."""


@pytest.fixture(scope="module")
def few() -> Dataset:
    digits = load_dataset("digits")
    return dataclasses.replace(digits, train=digits.train[:44])


class Mine(Method):
    """All that a run can carry: dropout, a slow copy, a queue."""

    queue: Tensor

    def __init__(self, backbone: nn.Module, dim: int) -> None:
        super().__init__(backbone, nn.Sequential(nn.Linear(dim, 8), nn.Dropout(0.5)))
        self.slow = nn.Linear(dim, 8).requires_grad_(False)
        self.register_buffer("queue", torch.zeros(5, 8))

    def loss(self, *views: Tensor) -> Tensor:
        a, b = (self.backbone(view) for view in views)
        z = self.slow(b)
        with torch.no_grad():
            self.queue.copy_(torch.cat([z, self.queue])[:5])
        return (self.projector(a) - z).square().mean() + (z @ self.queue.T).tanh().mean()

    def after_step(self, done: float) -> None:
        self.slow.weight.lerp_(self.projector[0].weight.detach(), 1 - done / 2)


MINE = MethodSpec(name="mine", summary="", source="", build=Mine)


def run(data: Dataset, output: Path, method: MethodSpec = MINE, **changed: object) -> Header:
    names = {field.name for field in dataclasses.fields(Choices)}
    choices = dataclasses.replace(CHOSEN, **{k: v for k, v in changed.items() if k in names})
    rest = {name: value for name, value in changed.items() if name not in names}

    def build(*args: object, **options: object) -> object:
        built = method.build(*args, **options)
        BUILT.append(built)
        return built

    spec = dataclasses.replace(method, build=build)
    return train(spec, data, output=output, named=installed().recipes.usable(), choices=choices, **rest)


def at(step: int, *numbers: int) -> Callable[[int, int], None]:
    """Signals that come after so many steps."""

    def on_step(done: int, total: int) -> None:
        for number in numbers if done == step else ():
            signal.raise_signal(number)

    return on_step


def equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def rows(output: Path) -> list[dict[str, str]]:
    """The log without times."""
    with output.with_suffix(".csv").open() as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if "second" not in k} for row in found]


def logged(log: Path) -> bool:
    """Whether there is a row."""
    return log.exists() and log.read_text().count("\n") > 1


@pytest.fixture(scope="module")
def whole(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Method, Path]:
    """A run that nobody interrupted, and its file."""
    output = tmp_path_factory.mktemp("whole") / "x.pt"
    run(few, output)
    return BUILT[-1], output


@pytest.mark.parametrize("step", [1, STEPS - 1, STEPS, 2 * STEPS - 1, 3 * STEPS - 1])
@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_interrupted_anywhere_and_resumed(
    few: Dataset,
    tmp_path: Path,
    whole: tuple[Method, Path],
    step: int,
    number: int,
    kind: type[BaseException],
) -> None:
    """A signal that comes after a step ends the run after the next one."""
    before = signal.getsignal(number)
    output, said = tmp_path / "x.pt", []
    with pytest.raises(kind) as stopped:
        run(few, output, on_step=at(step, number), on_message=said.append)
    if kind is SystemExit:
        assert stopped.value.code == 143
    epoch, inside = divmod(step, STEPS)
    assert said == [f"interrupted at epoch {epoch + 1}, step {inside + 1} of {STEPS}, which is saved."]
    assert signal.getsignal(number) is before
    assert load_encoder(str(output)).facts["epoch"] == f"{epoch} of 3, unfinished"
    torch.manual_seed(step)
    header = run(few, output, resume=True)
    assert equal(BUILT[-1], whole[0])
    assert (header.epoch, header.epochs) == (3, 3)
    assert rows(output) == rows(whole[1])
    assert load_encoder(str(output)).digest == load_encoder(str(whole[1])).digest
    assert "training" not in torch.load(output, weights_only=True)


@pytest.mark.parametrize(
    "changed",
    [
        {"optimiser": "sgd", "precision": "bf16"},
        {"optimiser": "lars", "clip": 0.5},
        {"method": "simclr"},
        {"method": "byol"},
        {"method": "moco"},
        {"method": "bigan"},
    ],
    ids=str,
)
def test_every_kind_of_run_goes_on_as_it_was(
    few: Dataset, tmp_path: Path, changed: dict[str, object]
) -> None:
    method = MINE if "method" not in changed else installed().methods.get(changed["method"])
    chosen = {name: value for name, value in changed.items() if name != "method"}
    run(few, tmp_path / "a.pt", method, epochs=2, **chosen)
    with pytest.raises(SystemExit):
        run(few, tmp_path / "b.pt", method, epochs=2, on_step=at(3, signal.SIGTERM), **chosen)
    run(few, tmp_path / "b.pt", method, epochs=2, resume=True, **chosen)
    assert equal(BUILT[-1], BUILT[-3])


def test_killed_after_a_save_and_resumed(few: Dataset, tmp_path: Path, whole: tuple[Method, Path]) -> None:
    """Epoch 2 is logged when the kill comes, but not saved: it comes again."""
    output = tmp_path / "x.pt"
    saves = iter([0.0])

    def stop(epoch: object) -> None:
        if next(saves, None) is None:
            raise MemoryError

    with pytest.raises(MemoryError):
        run(few, output, save_seconds=0, on_epoch=stop)
    assert [row["epoch"] for row in rows(output)] == ["1", "2"]
    assert torch.load(output, weights_only=True)["sslaudit"]["epoch"] == 1
    run(few, output, resume=True)
    assert equal(BUILT[-1], whole[0])
    assert rows(output) == rows(whole[1])


PROGRAM = (
    *(sys.executable, "-m", "sslaudit", "train", "simclr", "--data", "digits", "--size", "8"),
    *("--recipe", "crop", "--batch-size", "128"),
)


def test_an_interrupted_program_leaves_what_it_goes_on_from(tmp_path: Path) -> None:
    command = [*PROGRAM, "--epochs", "500", "--output", "x.pt", "--overwrite"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not logged(tmp_path / "x.csv"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted."
    assert said.splitlines()[-2].endswith(" x.pt: the same command with --resume in place of --overwrite.")
    assert re.fullmatch(
        r"interrupted at epoch \d+(, step \d+ of 10)?, which is saved\.", said.splitlines()[-3]
    )
    few = subset(load_dataset("digits"), max_images=60)
    card = evaluate(str(tmp_path / "x.pt"), few, metrics="nearest-centre", anchors=False, precision="fp32")
    assert card.encoder.facts["epoch"].endswith(" of 500, unfinished")
    assert re.fullmatch(r"training stopped after epoch \d+ of 500", dict(headline(card))["UNFINISHED"])
    assert card.encoder.load.ignored == ("projector (4 tensors)",)


@pytest.mark.slow
def test_sigterm_and_sigkill_of_the_program(tmp_path: Path) -> None:
    """The same command with --resume, after a SIGTERM and after a SIGKILL."""
    command = [*PROGRAM, "--epochs", "4", "--output"]
    how = {"cwd": tmp_path, "stderr": subprocess.PIPE, "text": True}
    assert subprocess.run([*command, "a.pt"], **how, check=True)
    more: tuple[str, ...] = ()
    for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        process = subprocess.Popen([*command, "b.pt", *more], **how)
        while not logged(tmp_path / "b.csv"):
            assert process.poll() is None
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == code, said
        more = ("--resume",)
    assert subprocess.run([*command, "b.pt", *more], **how, check=True)
    a, b = (torch.load(tmp_path / name, weights_only=True) for name in ("a.pt", "b.pt"))
    assert a["sslaudit"] == b["sslaudit"]
    assert all(torch.equal(a[part][k], b[part][k]) for part in ("backbone", "projector") for k in a[part])


def test_an_existing_file_is_replaced_only_on_request(few: Dataset, tmp_path: Path) -> None:
    output = tmp_path / "x.pt"
    with pytest.raises(KeyboardInterrupt):
        run(few, output, epochs=2, on_step=at(3, signal.SIGINT))
    begun = output.read_bytes()
    with pytest.raises(
        OutputError, match="unfinished run, epoch 1 of 2: add --resume to go on, or --overwrite"
    ):
        run(few, output, epochs=2)
    with pytest.raises(UsageError, match="give one of the two"):
        run(few, output, epochs=2, resume=True, overwrite=True)
    refused = [
        ({"lr": 0.5}, "begun with --lr 0.001; this run has --lr 0.5"),
        ({"clip": 1.0, "seed": 3}, "--clip none, --seed 0; this run has --clip 1.0, --seed 3"),
        ({"epochs": 3}, "--epochs 2; this run has --epochs 3"),
        (
            {"backbone": "conv4", "precision": "fp32"},
            "--backbone conv3, dim 128; this run has --backbone conv4, dim 256",
        ),
        (
            {"options": {"temperature": 0.2}, "method": "simclr"},
            r"method mine; .* method simclr\(temperature=0.2\)",
        ),
        (
            {"few": dataclasses.replace(few, digest="1" * 64)},
            "data digest .*; this run has data digest 111111111111",
        ),
    ]
    for changed, said in refused:
        data = changed.pop("few", few)
        method = installed().methods.get(changed.pop("method")) if "method" in changed else MINE
        with pytest.raises(UsageError, match=said):
            run(data, output, method, **{"epochs": 2, "resume": True, **changed})
    changed = dataclasses.replace(MINE, build=lambda net, dim: Method(net, nn.Linear(dim, 3)))
    with pytest.raises(OutputError, match="a run that this mine cannot go on with, begun with sslaudit"):
        run(few, output, changed, epochs=2, resume=True)
    assert output.read_bytes() == begun
    run(few, output, epochs=2, overwrite=True, batch_size=44)
    with pytest.raises(OutputError, match="holds a run of mine, 2 epochs; add --overwrite"):
        run(few, output, epochs=2)
    finished, said = output.read_bytes(), []
    header = run(few, output, epochs=2, batch_size=44, resume=True, on_message=said.append)
    assert said == [f"{output} is finished: 2 epochs of mine."]
    assert (header.epoch, header.batch_size, output.read_bytes()) == (2, 44, finished)


def test_files_of_another_kind_are_left_alone(few: Dataset, tmp_path: Path) -> None:
    output = tmp_path / "x.pt"
    for content in (b"", b"photos", None):
        torch.save({"weight": torch.ones(1)}, output) if content is None else output.write_bytes(content)
        with pytest.raises(OutputError, match="exists; add --overwrite"):
            run(few, output)
        with pytest.raises(OutputError, match="no file of a training run"):
            run(few, output, resume=True)
    run(few, tmp_path / "y.pt", resume=True, keep_every=2)
    assert torch.load(tmp_path / "y-epoch-0002.pt", weights_only=True).keys() == {
        "sslaudit",
        "backbone",
        "projector",
    }
    assert load_encoder(str(tmp_path / "y-epoch-0002.pt")).facts["epoch"] == "2 of 3"
    assert sorted(tmp_path.glob("y*.pt")) == [tmp_path / "y-epoch-0002.pt", tmp_path / "y.pt"]
    with pytest.raises(OutputError, match="was kept at epoch 2 of 3"):
        run(few, tmp_path / "y-epoch-0002.pt", resume=True)


def test_a_second_signal_ends_the_run_at_once(few: Dataset, tmp_path: Path) -> None:
    output = tmp_path / "x.pt"
    with pytest.raises(KeyboardInterrupt):
        run(few, output, save_seconds=0, on_step=at(STEPS + 1, signal.SIGINT, signal.SIGINT))
    assert torch.load(output, weights_only=True)["training"]["course"]["step"] == 0
    assert not list(tmp_path.glob(".*"))


def test_before_the_first_step_nothing_is_written(few: Dataset, tmp_path: Path) -> None:
    class Stopped(Mine):
        def loss(self, *views: Tensor) -> Tensor:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            return super().loss(*views)

    spec = dataclasses.replace(MINE, build=Stopped)
    with pytest.raises(SystemExit):
        run(few, tmp_path / "x.pt", spec)
    assert not list(tmp_path.glob("*.pt"))


def test_a_signal_in_the_last_moment_is_not_lost(few: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(few, tmp_path / "x.pt", on_step=at(3 * STEPS, signal.SIGINT))
    assert load_encoder(str(tmp_path / "x.pt")).facts["epoch"] == "3 of 3"


def test_signals_are_held_in_the_main_thread_alone_and_not_where_they_are_ignored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def look() -> None:
        with Signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGINT)
            seen.append(signal.getsignal(signal.SIGTERM))
            assert not signals.caught
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert seen[0] is before is signal.getsignal(signal.SIGTERM)
    assert seen[1] is not before


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(few: Dataset, tmp_path: Path) -> None:
    class Bad(Mine):
        def loss(self, *views: Tensor) -> Tensor:
            bad = float("nan") if self.training and len(LOSSES) == STEPS + 1 else 1.0
            LOSSES.append(bad)
            return super().loss(*views) * bad

    LOSSES: list[float] = []
    output = tmp_path / "x.pt"
    before = torch.get_rng_state()
    with pytest.raises(
        TrainingError,
        match=r"loss is nan at step 5 \(epoch 2\); the last good checkpoint, of epoch 1, stays in .*x\.pt\.",
    ):
        run(few, output, dataclasses.replace(MINE, build=Bad), save_seconds=0)
    assert torch.equal(before, torch.get_rng_state())
    content = torch.load(output, weights_only=True)
    assert content["sslaudit"]["epoch"] == 1
    assert all(torch.isfinite(t).all() for t in content["training"]["method"].values())
