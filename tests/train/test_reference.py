"""References: read, planned by a rule, trained once, kept, and gone on with."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from sslaudit import RefError, TrainingError, UsageError, load_dataset
from sslaudit.data import Dataset, subset
from sslaudit.registry import installed
from sslaudit.shelf import entries
from sslaudit.train.reference import PlannedReference, plan_reference, read_reference, trained

TINY = "simclr(epochs=3,backbone=conv3,size=8,batch_size=32)"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(load_dataset("digits"), max_images=100)


def images_of(side: int, count: int) -> Dataset:
    """Images that are ``side`` pixels high and wider, seven in ten of them for training."""
    return Dataset.build(
        ref="made",
        read=lambda i: np.zeros((side, side + 5, 3), dtype=np.uint8),
        digests=[str(i) for i in range(count)],
        class_names=None,
        splits=["test" if i % 10 < 3 else "train" for i in range(count)],
    )


def plan(text: str, data: Dataset, **changed: object) -> PlannedReference:
    registry = installed()
    given = {"recipe": None, "seed": 0, "device": "cpu", "named": registry.recipes.usable(), **changed}
    return plan_reference(read_reference(text, registry), data, **given)


class Said:
    """Trains a plan and keeps what was said."""

    def __init__(self, planned: PlannedReference, data: Dataset, cache: Path, stop_at: int = 0) -> None:
        self.messages: list[str] = []
        self.epochs: list[int] = []
        self.path, self.header = trained(
            planned,
            data,
            cache=cache,
            named=installed().recipes.usable(),
            on_epoch=lambda epoch: self.epochs.append(epoch.number),
            on_step=lambda done, total: os.kill(os.getpid(), signal.SIGINT) if done == stop_at else None,
            on_message=self.messages.append,
        )

    @property
    def text(self) -> str:
        return "\n".join(self.messages)


def test_options_of_the_run_stand_beside_those_of_the_method() -> None:
    found = read_reference("moco( batch_size=64, momentum=0.99 ,lr=0.01)", installed())
    assert found.ref == "reference:moco(batch-size=64,momentum=0.99,lr=0.01)"
    assert found.options == {"momentum": 0.99}
    assert found.chosen == {"batch-size": 64, "lr": 0.01}


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("simclrr", RefError, "Did you mean 'simclr'?"),
        (
            "simclr(epoch=3)",
            UsageError,
            "it has: backbone, batch-size, epochs, hidden, lr, out, size, t",
        ),
        ("simclr(epochs=0)", UsageError, "epochs=0 is below 1"),
        ("simclr(lr=0)", UsageError, "lr=0"),
        ("simclr(backbone=conv33)", UsageError, "Did you mean 'conv3'?"),
        ("pretext-boost", UsageError, "refines an encoder"),
        ("simclr(", RefError, "not a term"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said.replace("?", r"\?")):
        read_reference(text, installed())


@pytest.mark.parametrize(
    ("side", "device", "network"),
    [
        (8, "cpu", ("conv3", 8)),
        (16, "cuda", ("conv3", 16)),
        (17, "cpu", ("conv3", 32)),
        (64, "cuda", ("resnet18-cifar", 32)),
        (65, "cpu", ("resnet18", 64)),
        (224, "cuda", ("resnet18", 128)),
    ],
)
def test_the_network_follows_from_the_images_and_the_device(
    side: int, device: str, network: tuple[str, int]
) -> None:
    chosen = plan("simclr", images_of(side, 20), device=device).choices
    assert (chosen.backbone, chosen.size) == network
    assert (chosen.batch_size, chosen.recipe) == (14, "simclr@1")


@pytest.mark.parametrize(
    ("side", "images", "device", "epochs"),
    [(8, 1000, "cpu", 100), (80, 5000, "cpu", 28), (80, 20_000, "cpu", 10), (80, 20_000, "cuda", 100)],
)
def test_many_images_get_fewer_epochs(side: int, images: int, device: str, epochs: int) -> None:
    assert plan("simclr", images_of(side, images), device=device).choices.epochs == epochs


def test_the_plan_says_what_will_be_trained() -> None:
    planned = plan("byol(epochs=2,batch_size=5,size=12)", images_of(8, 30), recipe="crop", seed=3)
    assert planned.steps == 2 * (21 // 5)  # the image that is left over is no step
    assert str(planned) == (
        "reference byol(epochs=2,batch-size=5,size=12): conv3 at 12 px, for images of 8 px, on 21 training "
        "images of made without their labels: 2 epochs, 8 steps of 5 images, recipe crop@1, lr 0.001, "
        "seed 3, on cpu"
    )
    with pytest.raises(TrainingError, match="made has 1 training images"):
        plan("simclr", subset(images_of(8, 20), per_class=1))


def test_the_key_is_of_all_that_decides_the_weights(digits: Dataset) -> None:
    texts = (TINY, "simclr", "barlow-twins", "simclr(temperature=0.1)", "simclr(lr=0.1)", "simclr(epochs=2)")
    keys = [plan(text, digits).key for text in texts]
    keys += [plan("simclr", digits, seed=1).key, plan("simclr", digits, recipe="crop").key]
    keys += [plan("simclr", subset(digits, max_images=99)).key]
    assert len(set(keys)) == len(keys)
    assert plan("simclr", digits).key == plan("simclr", digits, recipe="simclr").key == keys[1]


def test_it_is_trained_once(digits: Dataset, tmp_path: Path) -> None:
    planned = plan(TINY, digits)
    first = Said(planned, digits, tmp_path)
    assert first.epochs == [1, 2, 3]
    assert str(planned) in first.text
    assert first.path == tmp_path / "references" / planned.key / "last.pt"
    written = first.path.stat().st_mtime_ns
    again = Said(planned, digits, tmp_path)
    assert (again.epochs, again.header) == ([], first.header)
    assert f"reusing {first.path}" in again.text
    assert again.path.stat().st_mtime_ns == written
    [entry] = entries(tmp_path)
    assert (entry.kind, entry.parts, entry.wanted, entry.whole) == ("reference", 3, 3, True)
    first.path.write_bytes(first.path.read_bytes()[:1000])
    assert Said(planned, digits, tmp_path).epochs == [1, 2, 3]


def test_an_interrupted_one_is_gone_on_with(digits: Dataset, tmp_path: Path) -> None:
    planned = plan(TINY, digits)
    whole = Said(planned, digits, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        Said(planned, digits, tmp_path, stop_at=planned.steps // 3 + 1)
    [entry] = entries(tmp_path)
    assert (entry.parts, entry.whole) == (1, False)
    rest = Said(planned, digits, tmp_path)
    assert "going on after epoch" in rest.text
    assert rest.epochs == [2, 3]
    ours, theirs = (torch.load(said.path, weights_only=True)["backbone"] for said in (whole, rest))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_the_second_of_two_processes_waits(digits: Dataset, tmp_path: Path) -> None:
    planned = plan(TINY, digits)
    Said(planned, digits, tmp_path)
    said: list[str] = []
    waiting = threading.Event()

    def hear(message: str) -> None:
        said.append(message)
        waiting.set()

    def second() -> None:
        trained(
            planned,
            digits,
            cache=tmp_path,
            named=installed().recipes.usable(),
            on_epoch=lambda epoch: None,
            on_step=lambda done, total: None,
            on_message=hear,
        )

    with FileLock(planned.folder(tmp_path) / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        assert len(said) == 1
    thread.join(30)
    assert "another process trains it" in said[0]
    assert "reusing" in said[1]
