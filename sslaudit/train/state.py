"""A run in its course: one step of it, and all that a resumed run must find again."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from sslaudit.train.choices import Choices, Precision
from sslaudit.train.methods import Method
from sslaudit.train.optimisers import build_optimiser, rate
from sslaudit.train.precision import DTYPES
from sslaudit.train.processes import parallel
from sslaudit.world import ALONE, World


@dataclass(kw_only=True, slots=True)
class Course:
    """How far a run is."""

    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Steps done of the next one."""
    loss: float = 0.0
    """Sum over these steps."""
    images: int = 0
    """Of these steps, over all processes."""
    seconds: float = 0.0
    """That these steps took."""

    def add(self, loss: float, images: int, seconds: float) -> None:
        """What one step gave and took."""
        self.loss += loss
        self.images += images
        self.seconds += seconds


class Training:
    """A method with its optimiser, and where in its run it stands."""

    def __init__(
        self,
        method: Method,
        choices: Choices,
        *,
        steps: int,
        precision: Precision,
        device: str = "cpu",
        world: World = ALONE,
    ) -> None:
        """``steps`` are those of an epoch. ``method`` is on ``device``."""
        self.method, self.course, self.steps = method, Course(), steps
        self.norm = 0.0
        """Of the gradients of the last step, before they were clipped; 0 when nobody needs it."""
        self.epochs = choices.epochs
        self._choices, self._device, self._precision = choices, device, precision
        self._kind = torch.device(device).type
        self._forward = parallel(method, world, device)
        self._optimiser = build_optimiser(method, choices)
        self._scaler = torch.amp.GradScaler(self._kind, enabled=precision == "fp16")

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return float(self._optimiser.param_groups[0]["lr"])

    @property
    def done(self) -> int:
        """Steps done since the start of the run."""
        return self.course.epoch * self.steps + self.course.step

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps

    def step(self, views: Sequence[Tensor]) -> float:
        """One step of the optimiser; the loss of this process."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._choices.lr * rate(self.done, self.total, self._choices)
        low = self._precision != "fp32"
        with torch.autocast(self._kind, DTYPES[self._precision] if low else None, enabled=low):
            loss: Tensor = self._forward(*views)
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.norm = self._clipped()
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self.course.step += 1
        self.method.after_step(self.done / self.total)
        return loss.item()

    def _clipped(self) -> float:
        if self._choices.clip is None:
            return 0.0
        self._scaler.unscale_(self._optimiser)
        norm = float(clip_grad_norm_(self.method.parameters(), self._choices.clip))
        # A scaler that finds infinity leaves the step out and scales less from then on.
        return 0.0 if self._scaler.is_enabled() else norm

    def begin_epoch(self) -> None:
        """The steps of an epoch are done: on to the next one."""
        self.course = Course(epoch=self.course.epoch + 1)

    def state(self) -> dict[str, Any]:
        """All but the method's own tensors: numbers and tensors by name."""
        course = self.course
        return {
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "generators": _generators(self._device),
            "course": {name: getattr(course, name) for name in Course.__slots__},
        }

    def restore(self, method: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from the tensors of the method and the ``state`` of another ``Training``."""
        self.method.load_state_dict(method)
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        self.course = Course(**state["course"])
        torch.set_rng_state(state["generators"]["cpu"])
        if self._kind == "cuda" and "cuda" in state["generators"]:
            torch.cuda.set_rng_state(state["generators"]["cuda"], self._device)


@contextlib.contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """torch's generators from ``seed``; afterwards they are as they were."""
    place = torch.device(device)
    cuda = place.type == "cuda"
    index = place.index if place.index is not None else torch.cuda.current_device() if cuda else 0
    with torch.random.fork_rng(devices=[index] if cuda else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every GPU
        if cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def _generators(device: str) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.device(device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states
