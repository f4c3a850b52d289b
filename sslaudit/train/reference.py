"""The references of a card: encoders trained on the same data, kept in the cache, resumed and reused."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from sslaudit.data import Dataset
from sslaudit.errors import OutputError, TrainingError, UsageError
from sslaudit.recipes import parse_recipe
from sslaudit.refs import Term
from sslaudit.registry import Registry
from sslaudit.shelf import REFERENCES
from sslaudit.specs import MethodSpec, Option, OptionValue, RecipeSpec, read_options
from sslaudit.store import ABOUT, key_of, write_whole
from sslaudit.train.backbones import build_backbone
from sslaudit.train.checkpoint import Header
from sslaudit.train.choices import Choices
from sslaudit.train.log import Epoch
from sslaudit.train.loop import train
from sslaudit.train.runs import Earlier, earlier_run

TRAINING = 1
"""Raised whenever the same choices give other weights: kept references are then trained anew."""

OF_A_RUN = (
    Option(name="epochs", type=int, default=None, minimum=1, help="passes over the training images"),
    Option(name="backbone", type=str, default=None, help="the network, as `sslaudit train --backbone`"),
    Option(name="size", type=int, default=None, minimum=1, help="input size in pixels"),
    Option(name="batch-size", type=int, default=None, minimum=2, help="images in a step"),
    Option(name="lr", type=float, default=None, minimum=1e-12, help="peak learning rate"),
)
"""What may stand in the parentheses of a reference beside the options of its method."""

_LOOKED_AT = 64
"""Images whose sides are read."""
_MOST_EPOCHS, _LEAST_EPOCHS = 100, 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """One reference as it was asked for."""

    term: Term
    spec: MethodSpec
    plugin: str
    """Who offers the method, with its version."""
    options: Mapping[str, OptionValue]
    """Of the method, as far as they were given."""
    chosen: Mapping[str, OptionValue]
    """Of the run, as far as they were given."""

    @property
    def ref(self) -> str:
        """``reference:simclr(epochs=20)``, as cards name it."""
        return f"reference:{self.term}"

    def __str__(self) -> str:
        return f"reference {self.term}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedReference:
    """A reference with everything chosen for one data set."""

    reference: Reference
    choices: Choices
    side: int
    """Median shorter side of the images, in pixels."""
    images: int
    data: str
    device: str
    key: str
    """sha256 of all that decides the weights, but for the device."""

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        whole, rest = divmod(self.images, self.choices.batch_size)
        return self.choices.epochs * (whole + (rest > 1))

    def folder(self, cache: Path) -> Path:
        """Where it is kept."""
        return cache / REFERENCES / self.key

    def __str__(self) -> str:
        chosen = self.choices
        return (
            f"{self.reference}: {chosen.backbone} at {chosen.size} px, for images of {self.side} px, on "
            f"{self.images:,} training images of {self.data} without their labels: {chosen.epochs} epochs, "
            f"{self.steps:,} steps of {chosen.batch_size} images, recipe {chosen.recipe}, lr {chosen.lr:g}, "
            f"seed {chosen.seed}, on {self.device}"
        )


def read_reference(text: str, registry: Registry) -> Reference:
    """What ``METHOD(option=value,...)`` asks for: options of the method and of the run.

    Raises ``RefError`` for an unknown method and ``UsageError`` for an unknown option or backbone.
    """
    term = Term.parse(text)
    spec = registry.methods.get(term.name)
    if spec.build is None:
        raise UsageError(
            f"--reference {text}: method '{spec.name}' refines an encoder and trains none itself."
        )
    of_a_run = {option.name for option in OF_A_RUN}
    own = tuple(option for option in spec.options if option.name not in of_a_run)
    given = {name.replace("_", "-"): value for name, value in term.options.items()}
    read = read_options(given, (*OF_A_RUN, *own), f"--reference {spec.name}")
    values = {name: value for name, value in read.items() if name in given and value is not None}
    chosen = {name: value for name, value in values.items() if name in of_a_run}
    if "backbone" in chosen:  # it is refused before any work
        size = chosen.get("size")
        build_backbone(str(chosen["backbone"]), seed=0, size=None if size is None else int(size))
    return Reference(
        term=Term(term.name, given),
        spec=spec,
        plugin=str(registry.methods.owner(spec.name)),
        options={name: value for name, value in values.items() if name not in of_a_run},
        chosen=chosen,
    )


def plan_reference(
    reference: Reference,
    data: Dataset,
    *,
    recipe: str | None,
    seed: int,
    device: str,
    named: Mapping[str, RecipeSpec],
) -> PlannedReference:
    """Everything chosen: what was not given follows from the images and the device.

    Images of a median shorter side of up to 16 px train ``conv3`` at that side; larger ones train
    ``resnet18-cifar`` at 32 px, above 64 px ``resnet18`` at 128. On a CPU, where those would take
    hours, it is ``conv3`` at 32 px, above 64 px ``resnet18`` at 64. Epochs are 100, or fewer, but at
    least 10, where those would show more than 5 million images; on a CPU 1 million, or 100,000 where
    the network is no small one of convolutions: minutes on two cores. ``recipe`` None is the method's
    own. Raises ``TrainingError`` when there is nothing to train on.
    """
    images = len(data.train)
    if images < 2:
        raise TrainingError(f"{data.ref} has {images} training images; a reference needs at least 2.")
    side, on_cpu = _median_side(data), torch.device(device).type == "cpu"
    chosen = reference.chosen
    backbone, size = _network(side, on_cpu)
    backbone = str(chosen.get("backbone", backbone))
    shown = 5_000_000 if not on_cpu else 1_000_000 if backbone in ("conv3", "conv4") else 100_000
    epochs = min(_MOST_EPOCHS, max(_LEAST_EPOCHS, shown // images))
    choices = Choices(
        backbone=backbone,
        size=int(chosen.get("size", size)),
        recipe=parse_recipe(recipe or reference.spec.recipe, named).key(),
        epochs=int(chosen.get("epochs", epochs)),
        seed=seed,
    )
    choices = replace(
        choices,
        batch_size=min(images, int(chosen.get("batch-size", choices.batch_size))),
        lr=float(chosen.get("lr", choices.lr)),
    )
    facts = {
        "training": TRAINING,
        "method": reference.spec.name,
        "plugin": reference.plugin,
        "options": dict(reference.options),
        "choices": asdict(choices),
        "data": data.digest,
    }
    return PlannedReference(
        reference=reference,
        choices=choices,
        side=side,
        images=images,
        data=data.ref,
        device=device,
        key=key_of(facts),
    )


def trained(
    planned: PlannedReference,
    data: Dataset,
    *,
    cache: Path,
    named: Mapping[str, RecipeSpec],
    on_epoch: Callable[[Epoch], None],
    on_step: Callable[[int, int], None],
    on_message: Callable[[str], None],
) -> tuple[Path, Header]:
    """The checkpoint of a reference and its header: the one that is kept, else trained now.

    What a run did not finish is gone on with. Of several processes one trains and the others wait.
    Raises ``TrainingError``, ``StoreError``, ``OutputError`` or ``UsageError``.
    """
    folder, name = planned.folder(cache), planned.reference
    path = folder / "last.pt"
    if not folder.exists():
        _describe(planned, folder, done=0)

    def after(epoch: Epoch) -> None:
        _describe(planned, folder, done=epoch.number)
        on_epoch(epoch)

    def run(*, resume: bool) -> Header:
        return train(
            name.spec,
            data,
            output=path,
            named=named,
            choices=planned.choices,
            device=planned.device,
            options=name.options,
            resume=resume,
            overwrite=not resume,
            on_epoch=after,
            on_step=on_step,
            on_message=lambda message: on_message(f"{name}: {message}"),
        )

    with _alone(folder, lambda: on_message(f"{name}: another process trains it; waiting for that.")):
        kept = _kept(path)
        if kept is not None and kept.training is None:
            on_message(f"{name}: reusing {path}, trained before on these images.")
            _describe(planned, folder, done=kept.header.epoch)
            return path, kept.header
        on_message(f"{planned}.")
        if kept is not None:
            with suppress(UsageError):  # it was begun on another device: it is trained anew
                return path, run(resume=True)
        return path, run(resume=False)


@contextmanager
def _alone(folder: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """The only process at work in ``folder``; one that is killed gives it up."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _kept(path: Path) -> Earlier | None:
    """The run whose checkpoint is kept; None where there is none that can be read."""
    try:
        return earlier_run(path, resume=True, overwrite=False)
    except OutputError:
        return None


def _describe(planned: PlannedReference, folder: Path, *, done: int) -> None:
    """Say in words what lies in ``folder``, and that it is in use now."""
    about = {
        "encoder": planned.reference.ref,
        "data": planned.data,
        "images": planned.images,
        "recipe": str(planned.choices.recipe),
        "views": 2,
        "epochs": planned.choices.epochs,
        "done": done,
    }
    write_whole(folder / ABOUT, json.dumps(about, indent=1).encode())


def _network(side: int, on_cpu: bool) -> tuple[str, int]:
    """Backbone and input size for images of a median shorter ``side``."""
    if side <= 16:
        return "conv3", max(side, 4)
    if on_cpu:
        return ("conv3", 32) if side <= 64 else ("resnet18", 64)
    return ("resnet18-cifar", 32) if side <= 64 else ("resnet18", 128)


def _median_side(data: Dataset) -> int:
    """Median shorter side of the training images, by a few of them spread evenly."""
    places = np.linspace(0, len(data.train) - 1, min(len(data.train), _LOOKED_AT)).astype(int)
    return int(np.median([min(data.read(int(i)).shape[:2]) for i in data.train[places]]))
