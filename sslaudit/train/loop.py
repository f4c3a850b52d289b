"""The training loop: batches of two views, AdamW, warm-up and cosine, one checkpoint at the end."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sslaudit.data import Dataset
from sslaudit.encoder import Preprocess, embedding_dim
from sslaudit.errors import OutputError, TrainingError
from sslaudit.recipes import Recipe, parse_recipe
from sslaudit.specs import MethodSpec, OptionValue, RecipeSpec
from sslaudit.train.backbones import build_backbone
from sslaudit.train.checkpoint import Header, write_checkpoint
from sslaudit.train.methods import Method
from sslaudit.views import SLOTS, make_views

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
WEIGHT_DECAY = 1e-4
_CACHE_BYTES = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """What one pass over the training images gave."""

    number: int
    epochs: int
    loss: float
    """Mean over the steps."""
    spread: float
    """Standard deviation of l2-normalised embeddings over the last batch, times sqrt(D): 1 when
    they fill the sphere, 0 when they collapsed to a point."""
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
    backbone: str = "conv3",
    epochs: int = 100,
    batch_size: int = 256,
    recipe: str | None = None,
    size: int = 32,
    lr: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
    options: Mapping[str, OptionValue] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Header:
    """Train on the training images of ``data`` and write a checkpoint to ``output``.

    Labels are never read, held-out images never seen. A last batch of one image is left out.
    Raises ``TrainingError`` when there is nothing to train or the loss is no longer finite; then no
    file is written.
    """
    indices = data.train if len(data.train) else np.arange(len(data))
    _check(epochs=epochs, batch_size=batch_size, images=len(indices), size=size, lr=lr, output=output)
    parsed = parse_recipe(recipe or spec.recipe, named)
    if parsed.identity:
        raise TrainingError(f"recipe '{parsed.text}' draws no views; two equal views teach nothing.")
    preprocess = Preprocess(size=(size, size), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")
    net = build_backbone(backbone, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        dim = embedding_dim(net.eval(), preprocess, "cpu")
        method = spec.build(net, dim, **(options or {}))
    if not isinstance(method, Method):
        raise TrainingError(f"method '{spec.name}' built a {type(method).__name__}, not a Method.")
    _run(
        method.to(device).train(),
        _Batches(data, indices, parsed, preprocess, min(batch_size, len(indices)), seed, device),
        epochs,
        lr,
        on_epoch or (lambda epoch: None),
    )
    header = Header(
        method=spec.name,
        backbone=backbone,
        dim=dim,
        recipe=parsed.key(),
        size=size,
        mean=list(preprocess.mean),
        std=list(preprocess.std),
        interpolation=preprocess.interpolation,
        crop=preprocess.crop,
        data=data.ref,
        data_digest=data.digest,
        images=len(indices),
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        sslaudit=version("sslaudit"),
        torch=str(torch.__version__),
    )
    write_checkpoint(output, header, method.backbone, method.projector)
    return header


class _Batches:
    """Two views of each training image in a new order every epoch."""

    def __init__(
        self,
        data: Dataset,
        indices: np.ndarray,
        recipe: Recipe,
        preprocess: Preprocess,
        batch_size: int,
        seed: int,
        device: str,
    ) -> None:
        self._data, self._indices, self._recipe = data, indices, recipe
        self.preprocess = preprocess
        self._batch_size, self._device = batch_size, device
        self._rng = np.random.default_rng(seed)
        self._images: dict[int, np.ndarray] = {}
        self._room = _CACHE_BYTES

    def __len__(self) -> int:
        """Steps in an epoch; a last batch of one image is none."""
        whole, rest = divmod(len(self._indices), self._batch_size)
        return whole + (rest > 1)

    def epoch(self) -> "list[np.ndarray]":
        """The images of each batch."""
        order = self._rng.permutation(self._indices)
        return [order[i * self._batch_size : (i + 1) * self._batch_size] for i in range(len(self))]

    def views(self, batch: np.ndarray) -> tuple[Tensor, Tensor]:
        """Two normalised batches (B, 3, H, W)."""
        uniforms = self._rng.random((len(batch), 2, SLOTS))
        images = [self._image(int(i)) for i in batch]
        views = make_views(
            images, uniforms, self._recipe, self.preprocess, identity=False, device=self._device
        )
        return self.preprocess.normalise(views[:, 0]), self.preprocess.normalise(views[:, 1])

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
) -> None:
    optimiser = torch.optim.AdamW(method.parameters(), lr=lr, weight_decay=WEIGHT_DECAY)
    steps = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share(step, steps))
    step = 0
    for number in range(1, epochs + 1):
        clock, losses, last = time.perf_counter(), [], None
        for batch in batches.epoch():
            view_a, view_b = batches.views(batch)
            loss = method.loss(view_a, view_b)
            step += 1
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss.item()} at step {step} (epoch {number}); nothing was written. "
                    "Try a smaller --lr."
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            last = view_a
        on_epoch(
            Epoch(
                number=number,
                epochs=epochs,
                loss=sum(losses) / len(losses),
                spread=_spread(method, last),
                seconds=time.perf_counter() - clock,
            )
        )


@torch.no_grad()
def _spread(method: Method, images: Tensor | None) -> float:
    if images is None:
        return 0.0
    method.eval()
    h = torch.nn.functional.normalize(method.backbone(images), dim=1)
    method.train()
    return float(h.std(dim=0, correction=0).square().sum().sqrt())


def _share(step: int, steps: int) -> float:
    """Share of the peak learning rate: a linear rise, then half a cosine."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _check(*, epochs: int, batch_size: int, images: int, size: int, lr: float, output: Path) -> None:
    if epochs < 1:
        raise TrainingError(f"--epochs {epochs}: an encoder that was not trained is not written.")
    if batch_size < 2:
        raise TrainingError(f"--batch-size {batch_size}: a contrast needs at least 2 images.")
    if images < 2:
        raise TrainingError(f"the data has {images} training image; training needs at least 2.")
    if size < 1 or not lr > 0:
        raise TrainingError(f"--size {size} and --lr {lr} must be above 0.")
    if output.is_dir():
        raise OutputError(f"--output {output} is a folder; name the file to write.")
    near = next(folder for folder in (output.parent, *output.absolute().parents) if folder.exists())
    if not near.is_dir():
        raise OutputError(f"cannot write to --output {output}: {near} is a file.")
