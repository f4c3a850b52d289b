"""The training loop: from a method and data to a checkpoint, with stops and starts on the way."""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sslaudit.data import Dataset
from sslaudit.encoder import Preprocess, embedding_dim
from sslaudit.errors import OutputError, TrainingError, UsageError
from sslaudit.recipes import parse_recipe
from sslaudit.refs import Term
from sslaudit.specs import MethodSpec, OptionValue, RecipeSpec
from sslaudit.train.backbones import build_backbone
from sslaudit.train.batches import Batches
from sslaudit.train.checkpoint import Header
from sslaudit.train.choices import Choices
from sslaudit.train.log import Epoch, Log
from sslaudit.train.methods import Method
from sslaudit.train.monitor import Monitor, Online
from sslaudit.train.precision import settle
from sslaudit.train.processes import agreed, connected, shared, with_synchronised_norms
from sslaudit.train.runs import Saves, earlier_run, refuse_another
from sslaudit.train.signals import Signals, obey
from sslaudit.train.state import Training, seeded
from sslaudit.world import ALONE, World


def train(
    spec: MethodSpec,
    data: Dataset,
    *,
    output: Path,
    named: Mapping[str, RecipeSpec],
    choices: Choices = Choices(),  # noqa: B008 - frozen
    device: str = "cpu",
    options: Mapping[str, OptionValue] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    keep_every: int | None = None,
    save_seconds: float = 60.0,
    online: Online | None = None,
    world: World = ALONE,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    on_message: Callable[[str], None] | None = None,
) -> Header:
    """Train on the training images of ``data`` and write a checkpoint to ``output``.

    The file is replaced at ends of epochs, at most every ``save_seconds``, when SIGINT or SIGTERM
    ends the run after the step in work, and at the end. An unfinished run goes on with ``resume``,
    on a CPU with as many threads to the same weights as without the interruption; a finished one is
    left as it is, and without a file a run begins. Every ``keep_every`` epochs a copy stays beside
    it. A log ``.csv`` has one row for each epoch.

    Labels are not read, except for ``online``, and held-out images never seen. On a CPU a seed and the
    number of threads decide all weights, and global generators are left as they were. Of several
    processes of ``world`` each calls this; the first one writes and speaks. ``on_step`` gets the steps
    done and those of the whole run.

    Raises ``OutputError`` when ``output`` exists and neither ``resume`` nor ``overwrite`` is given,
    ``UsageError`` when ``resume`` meets another run or a choice leaves nothing to train, and
    ``TrainingError`` when the data do or a number is no longer finite; the last good checkpoint stays.
    """
    if spec.build is None:
        raise UsageError(f"method '{spec.name}' refines an encoder; sslaudit.train.refinement runs it.")
    if keep_every is not None and keep_every < 1:
        raise UsageError(f"--keep-every {keep_every} must be above 0.")
    first = world.rank == 0
    earlier = earlier_run(output, resume=resume, overwrite=overwrite) if first else None
    say = on_message if on_message is not None and first else lambda message: None
    recipe = parse_recipe(choices.recipe or spec.recipe, named)
    preprocess = Preprocess(
        size=(choices.size, choices.size), mean=(0.5,) * 3, std=(0.5,) * 3, source="given"
    )
    device = world.device(device)
    with connected(world, device), seeded(choices.seed, device):
        earlier = shared(world, earlier)
        method, dim = _built(spec, choices, preprocess, options or {})
        if recipe.identity and method.n_views > 1:
            raise UsageError(f"recipe '{recipe.text}' draws no views; two equal views teach nothing.")
        precision = settle(choices.precision, device, method.backbone, choices.size)
        batches = Batches(
            data, recipe, preprocess, choices, n_views=method.n_views, device=device, world=world
        )
        header = Header(
            method=str(Term(spec.name, {name: str(value) for name, value in (options or {}).items()})),
            dim=dim,
            recipe=recipe.key(),
            views=recipe.describe(preprocess.size),
            mean=list(preprocess.mean),
            std=list(preprocess.std),
            interpolation=preprocess.interpolation,
            crop=preprocess.crop,
            data=data.ref,
            data_digest=data.digest,
            images=len(data.train),
            epoch=0,
            batch_size=batches.batch_size,
            precision=precision,
            processes=world.size,
            sslaudit=version("sslaudit"),
            torch=str(torch.__version__),
            **_as_chosen(choices),
        )
        if earlier is not None:
            refuse_another(output, earlier.header, header)
            if earlier.training is None:
                say(f"{output} is finished: {earlier.header.epoch} epochs of {earlier.header.method}.")
                return earlier.header
        _say_what_is_left_out(say, batches, min(choices.batch_size, len(data.train)), world)
        method = with_synchronised_norms(method.to(device), world, device, batches.batch_size, say)
        training = Training(
            method, choices, steps=len(batches), precision=precision, device=device, world=world
        )
        if earlier is not None and earlier.training is not None:
            begun = earlier.header
            try:
                training.restore(earlier.training["method"], earlier.training)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise OutputError(
                    f"--output {output} holds a run that this {header.method} cannot go on with, begun with "
                    f"sslaudit {begun.sslaudit}; start anew with --overwrite."
                ) from error
            if (begun.sslaudit, begun.torch) != (header.sslaudit, header.torch):
                say(f"begun with sslaudit {begun.sslaudit} and torch {begun.torch}: weights may differ.")
        saves = Saves(
            output,
            header,
            training,
            seconds=save_seconds,
            keep_every=keep_every,
            saved=earlier is not None,
            silent=not first,
        )
        if saves.place:
            say(f"going on after {saves.place}.")
        with ExitStack() as ends:
            watch = None
            if first:
                watch = _Watch(
                    monitor=Monitor(data, preprocess, choices, device, online),
                    log=ends.enter_context(Log(output, after_epoch=training.course.epoch, online=online)),
                    epochs=choices.epochs,
                    on_epoch=on_epoch or (lambda epoch: None),
                    on_step=on_step or (lambda done, total: None),
                    say=say,
                )
            signals = ends.enter_context(Signals(patient=world.size > 1))
            _run(training, batches, saves, signals, world, watch)
    return saves.header


def _run(
    training: Training,
    batches: Batches,
    saves: Saves,
    signals: Signals,
    world: World,
    watch: "_Watch | None",
) -> None:
    """From where ``training`` stands to its end. Raises as ``train``."""
    while training.course.epoch < training.epochs:
        training.method.train()
        clock = time.perf_counter()
        for views in batches.epoch(training.course.epoch + 1, training.course.step):
            loss, signal = agreed(world, training.step(views), signals.caught)
            for what, value in (("loss", loss), ("norm of the gradients", training.norm)):
                if not math.isfinite(value):
                    raise saves.stopped(f"{what} is {value}")
            now = time.perf_counter()
            training.course.add(loss, len(views[0]) * world.size, now - clock)
            clock = now
            if watch:
                watch.on_step(training.done, training.total)
            if signal:
                saves.now()
                if watch:
                    watch.say(f"interrupted at {saves.place}, which is saved.")
                obey(signal)
        saves.refuse_not_finite()
        if watch and not watch.saw(training):
            raise saves.stopped("embeddings are no longer finite")
        training.begin_epoch()
        saves.after_epoch()


@dataclass(kw_only=True, slots=True)
class _Watch:
    """What the first process sees and says of a run."""

    monitor: Monitor
    log: Log
    epochs: int
    on_epoch: Callable[[Epoch], None]
    on_step: Callable[[int, int], None]
    say: Callable[[str], None]
    collapsed: str = ""
    """The kind of collapse that was said last."""

    def saw(self, training: Training) -> bool:
        """Report the epoch whose steps are done; whether its embeddings are finite."""
        course = training.course
        health = self.monitor.look(training.method)
        if health.spread is None:
            return False
        epoch = Epoch(
            number=course.epoch + 1,
            epochs=self.epochs,
            loss=course.loss / course.step,
            lr=training.lr,
            spread=health.spread,
            rank=health.rank,
            online=health.online,
            seconds=course.seconds,
            images_per_second=course.images / max(course.seconds, 1e-9),
            collapsed=health.collapsed,
        )
        self.log.write(epoch, step=training.done)
        self.on_epoch(epoch)
        kind = (health.collapsed or "").partition(":")[0]
        if kind not in ("", self.collapsed):
            self.say(f"epoch {epoch.number}: {health.collapsed}")
        self.collapsed = kind
        return True


def _as_chosen(choices: Choices) -> dict[str, Any]:
    """What the header takes from ``choices`` as it is."""
    settled = {"recipe", "batch_size", "precision"}
    return {name: value for name, value in asdict(choices).items() if name not in settled}


def _say_what_is_left_out(say: Callable[[str], None], batches: Batches, wanted: int, world: World) -> None:
    if batches.batch_size < wanted:
        say(
            f"--batch-size {wanted}: a step takes {batches.batch_size}, an equal share for each of "
            f"{world.size} processes."
        )
    if batches.left_over:
        images = "one image" if batches.left_over == 1 else f"{batches.left_over} images"
        say(f"batches of {batches.batch_size} leave {images} over, others in each epoch; left out there.")


def _built(
    spec: MethodSpec, choices: Choices, preprocess: Preprocess, options: Mapping[str, OptionValue]
) -> tuple[Method, int]:
    """The method with the weights that torch's generator gives, and the width D of its embeddings."""
    net = build_backbone(choices.backbone, size=choices.size)  # drawn first: the weights that a seed gives
    dim = embedding_dim(net.eval(), preprocess, "cpu")
    assert spec.build is not None
    chosen = {option.name: option.default for option in spec.options if option.default is not None}
    chosen |= options
    method = spec.build(net, dim, **{name.replace("-", "_"): value for name, value in chosen.items()})
    if not isinstance(method, Method):
        raise TrainingError(f"method '{spec.name}' built a {type(method).__name__}, not a Method.")
    return method.train(), dim
