"""The training loop: batches of two views, AdamW, warm-up and cosine, one checkpoint at the end."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sslaudit.data import Dataset
from sslaudit.encoder import Preprocess, embedding_dim
from sslaudit.errors import TrainingError, UsageError
from sslaudit.recipes import Recipe, parse_recipe
from sslaudit.refs import Term
from sslaudit.specs import MethodSpec, OptionValue, RecipeSpec
from sslaudit.train.backbones import build_backbone
from sslaudit.train.checkpoint import Header, check_output, write_checkpoint
from sslaudit.train.choices import Choices
from sslaudit.train.methods import Method
from sslaudit.views import SLOTS, make_views

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
WEIGHT_DECAY = 1e-4
COLLAPSED = 0.01
"""A spread below this is a collapse."""
_CACHE_BYTES = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """What one pass over the training images gave."""

    number: int
    epochs: int
    loss: float
    """Mean over the steps."""
    spread: float
    """Standard deviation of the l2-normalised embeddings of the last batch, root of the sum over
    dimensions: 1 when their mean is 0, 0 when they collapsed to a point."""
    seconds: float

    def __str__(self) -> str:
        return (
            f"epoch {self.number} of {self.epochs}: loss {self.loss:.4f}, "
            f"spread {self.spread:.2f}, {self.seconds:.1f} s"
        )


def train(
    spec: MethodSpec,
    data: Dataset,
    *,
    output: Path,
    named: Mapping[str, RecipeSpec],
    choices: Choices = Choices(),  # noqa: B008 - frozen
    device: str = "cpu",
    options: Mapping[str, OptionValue] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_message: Callable[[str], None] | None = None,
) -> Header:
    """Train on the training images of ``data`` and write a checkpoint to ``output``.

    Labels are never read, held-out images never seen. On a CPU a seed decides all weights, and
    global generators are left as they were. A last batch of one image is left out. Raises
    ``TrainingError`` when there is nothing to train or the loss is no longer finite; then no file is
    written.
    """
    build = spec.build
    if build is None:
        raise UsageError(f"method '{spec.name}' refines an encoder; sslaudit.train.refinement runs it.")
    choices = replace(choices, batch_size=min(choices.batch_size, max(2, len(data.train))))
    _check(data, choices, output)
    size, seed = choices.size, choices.seed
    parsed = parse_recipe(choices.recipe or spec.recipe, named)
    if parsed.identity:
        raise TrainingError(f"recipe '{parsed.text}' draws no views; two equal views teach nothing.")
    preprocess = Preprocess(size=(size, size), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")
    batches = _Batches(data, parsed, preprocess, choices.batch_size, seed, device)
    say = on_message or (lambda message: None)
    if batches.left_over:
        say(f"batches of {choices.batch_size} leave one image over, another in each epoch; it is left out.")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        net = build_backbone(choices.backbone)  # drawn first: the weights that a seed gives
        dim = embedding_dim(net.eval(), preprocess, "cpu")
        method = build(net, dim, **{name.replace("-", "_"): value for name, value in (options or {}).items()})
        if not isinstance(method, Method):
            raise TrainingError(f"method '{spec.name}' built a {type(method).__name__}, not a Method.")
        last = _run(
            method.to(device).train(), batches, choices.epochs, choices.lr, on_epoch or (lambda epoch: None)
        )
    if last.spread < COLLAPSED:
        say(f"the embeddings collapsed to a point (spread {last.spread:.4f}): all images look alike to it.")
    header = Header(
        method=str(Term(spec.name, {name: str(value) for name, value in (options or {}).items()})),
        backbone=choices.backbone,
        dim=dim,
        recipe=parsed.key(),
        size=size,
        mean=list(preprocess.mean),
        std=list(preprocess.std),
        interpolation=preprocess.interpolation,
        crop=preprocess.crop,
        data=data.ref,
        data_digest=data.digest,
        images=len(data.train),
        epochs=choices.epochs,
        batch_size=choices.batch_size,
        lr=choices.lr,
        seed=seed,
        sslaudit=version("sslaudit"),
        torch=str(torch.__version__),
    )
    write_checkpoint(output, header, method.backbone, method.projector)
    return header


class _Batches:
    """Two views of each training image, in a new order every epoch.

    Order and views depend on the seed and the number of the epoch alone.
    """

    def __init__(
        self,
        data: Dataset,
        recipe: Recipe,
        preprocess: Preprocess,
        batch_size: int,
        seed: int,
        device: str,
    ) -> None:
        self._data, self._recipe, self._preprocess = data, recipe, preprocess
        self._batch_size, self._seed, self._device = batch_size, seed, device
        whole, rest = divmod(len(data.train), batch_size)
        self.left_over = rest == 1
        self._steps = whole + (rest > 1)
        self._images: dict[int, np.ndarray] = {}
        self._room = _CACHE_BYTES

    def __len__(self) -> int:
        """Steps in an epoch."""
        return self._steps

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Two normalised batches (B, 3, H, W) for each step."""
        rng = np.random.default_rng((self._seed, number))
        order = rng.permutation(self._data.train)
        for step in range(len(self)):
            batch = order[step * self._batch_size : (step + 1) * self._batch_size]
            views = make_views(
                [self._image(int(i)) for i in batch],
                rng.random((len(batch), 2, SLOTS)),
                self._recipe,
                self._preprocess,
                identity=False,
                device=self._device,
            )
            yield self._preprocess.normalise(views[:, 0]), self._preprocess.normalise(views[:, 1])

    def _image(self, i: int) -> np.ndarray:
        image = self._images.get(i)
        if image is None:
            image = self._data.read(i)
            if image.nbytes <= self._room:  # small data are decoded once, large ones every epoch
                self._images[i] = image
                self._room -= image.nbytes
        return image


def _run(
    method: Method, batches: _Batches, epochs: int, lr: float, on_epoch: Callable[[Epoch], None]
) -> Epoch:
    """All epochs; returns the last. Raises ``TrainingError`` when loss or weights are not finite."""
    optimiser = torch.optim.AdamW(method.parameters(), lr=lr, weight_decay=WEIGHT_DECAY)
    steps = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share(step, steps))
    for number in range(1, epochs + 1):
        clock, losses = time.perf_counter(), []
        for view_a, view_b in batches.epoch(number):
            loss = method.loss(view_a, view_b)
            if not torch.isfinite(loss):
                raise _not_finite(f"loss is {loss.item()}", schedule.last_epoch + 1, number)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        spread = _spread(method, view_a)
        if not math.isfinite(spread):
            raise _not_finite("embeddings are no longer finite", schedule.last_epoch, number)
        epoch = Epoch(
            number=number,
            epochs=epochs,
            loss=sum(losses) / len(losses),
            spread=spread,
            seconds=time.perf_counter() - clock,
        )
        on_epoch(epoch)
    return epoch


def _not_finite(what: str, step: int, epoch: int) -> TrainingError:
    where = f"at step {step} (epoch {epoch})"
    return TrainingError(f"the {what} {where}; nothing was written. Try a smaller --lr.")


@torch.no_grad()
def _spread(method: Method, images: Tensor) -> float:
    method.eval()
    h = functional.normalize(method.backbone(images), dim=1)
    method.train()
    return float(h.var(dim=0, correction=0).sum().sqrt())


def _share(step: int, steps: int) -> float:
    """Share of the peak learning rate: a linear rise, then half a cosine."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _check(data: Dataset, choices: Choices, output: Path) -> None:
    if choices.epochs < 1:
        raise TrainingError(f"--epochs {choices.epochs}: an encoder that was not trained is not written.")
    if choices.batch_size < 2:
        raise TrainingError(f"--batch-size {choices.batch_size}: a step needs at least 2 images.")
    if len(data.train) < 2:
        raise TrainingError(
            f"{data.ref} has {len(data.train)} training images of {len(data)}; training needs at least 2."
        )
    if choices.size < 1 or not 0 < choices.lr < math.inf:
        raise TrainingError(f"--size {choices.size} and --lr {choices.lr} must be above 0.")
    check_output(output)
