"""``sslaudit train``: a reference encoder on your own data, or an encoder refined on it."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import typer

from sslaudit.cli import train_options as flags
from sslaudit.cli.guard import complain, guarded, registry
from sslaudit.cli.options import go_offline, with_flags
from sslaudit.cli.sources import announce
from sslaudit.cli.suites import is_given
from sslaudit.errors import RefError, UsageError
from sslaudit.named import expand
from sslaudit.refs import EncoderRef, Term
from sslaudit.specs import read_options
from sslaudit.train.choices import Choices, Optimiser, Precision
from sslaudit.world import World

if TYPE_CHECKING:
    from sslaudit.registry import Registry
    from sslaudit.specs import MethodSpec, OptionValue

_FROM_SCRATCH = (
    *("backbone", "size", "epochs", "recipe", "batch_size", "optimiser", "lr", "momentum", "weight_decay"),
    *("warm_up", "clip", "precision", "resume", "keep_every", "online"),
)
"""What is said of an encoder that is trained from views of each image, and of no refinement."""
_OF_A_BASE = ("encoder", "allow_partial", "trust_pickle", "trust_remote_code")
"""What is said of the encoder that a refinement stands on."""
_ELSE = Choices()


@guarded
def train(
    context: typer.Context,
    method: flags.Name,
    data: flags.Data,
    output: flags.Output,
    backbone: flags.Backbone = _ELSE.backbone,
    size: flags.Size = _ELSE.size,
    epochs: flags.Epochs = _ELSE.epochs,
    recipe: flags.Recipe = None,
    batch_size: flags.BatchSize = _ELSE.batch_size,
    optimiser: flags.Optimiser = _ELSE.optimiser,
    lr: flags.Rate = _ELSE.lr,
    momentum: flags.Momentum = _ELSE.momentum,
    weight_decay: flags.WeightDecay = _ELSE.weight_decay,
    warm_up: flags.WarmUp = _ELSE.warm_up,
    clip: flags.Clip = None,
    precision: flags.Precision = _ELSE.precision,
    seed: flags.Seed = _ELSE.seed,
    device: flags.Device = "auto",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    keep_every: flags.KeepEvery = None,
    online: flags.Online = None,
    offline: flags.Offline = False,
    encoder: flags.Encoder = None,
    allow_partial: flags.AllowPartial = False,
    trust_pickle: flags.TrustPickle = False,
    trust_remote_code: flags.TrustRemoteCode = False,
) -> int:
    """Train a reference encoder on the training images and write a checkpoint that `evaluate` reads.

    With --encoder a method refines that encoder: it stays as it is, and a head on top of it is learned.
    """
    go_offline(offline)
    found = registry()
    term = Term.parse(method)
    spec = found.methods.get(term.name)
    read = read_options(term.options, spec.options, f"method '{spec.name}'")
    options = {name: value for name, value in read.items() if name in term.options and value is not None}
    if spec.refine is not None:
        base = _base(spec, encoder, [name for name in _FROM_SCRATCH if is_given(context, name)])
        (base,) = with_flags(
            [base],
            found,
            allow_partial=allow_partial,
            trust_pickle=trust_pickle,
            trust_remote_code=trust_remote_code,
        )
        _check_output(output, resume=False, overwrite=overwrite)
        return _refine(spec, base, data, output, options, seed, device, found, overwrite=overwrite)
    if given := [name for name in _OF_A_BASE if is_given(context, name)]:
        named = ", ".join(_flag(name) for name in given)
        raise UsageError(f"method '{spec.name}' trains an encoder of its own and takes no {named}.")
    choices = Choices(
        backbone=backbone,
        size=size,
        recipe=recipe,
        epochs=epochs,
        batch_size=batch_size,
        optimiser=cast(Optimiser, optimiser),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        warm_up=warm_up,
        clip=clip,
        precision=cast(Literal["auto"] | Precision, precision),
        seed=seed,
    )
    _check_output(output, resume=resume, overwrite=overwrite)
    return _train(
        spec,
        options,
        choices,
        data,
        output,
        device,
        found,
        resume=resume,
        overwrite=overwrite,
        keep_every=keep_every,
        online=online,
    )


def _train(
    spec: "MethodSpec",
    options: "dict[str, OptionValue]",
    choices: Choices,
    data: str,
    output: Path,
    device: str,
    found: "Registry",
    *,
    resume: bool,
    overwrite: bool,
    keep_every: int | None,
    online: str | None,
) -> int:
    import torch

    from sslaudit.cli.train_progress import EpochMeter, summary
    from sslaudit.extraction import pick_device
    from sslaudit.loading import load_dataset
    from sslaudit.recipes import parse_recipe
    from sslaudit.train.backbones import build_backbone
    from sslaudit.train.loop import train as run
    from sslaudit.train.monitor import read_online

    named = found.recipes.usable()
    parse_recipe(choices.recipe or spec.recipe, named)
    with torch.device("meta"):  # its name and size, before images are read
        build_backbone(choices.backbone, size=choices.size)
    where, by = pick_device(device), read_online(online)
    world = World.from_environment()
    with EpochMeter(silent=world.rank > 0) as meter, _told_how_to_go_on(output, world, overwrite=overwrite):
        if resume and not output.exists():
            meter.say(f"nothing was saved in {output} yet; the run starts from the beginning.")
        header = run(
            spec,
            load_dataset(data, registry=found),
            output=output,
            named=named,
            choices=choices,
            device=where,
            options=options,
            resume=resume,
            overwrite=overwrite,
            keep_every=keep_every,
            online=by,
            world=world,
            on_epoch=meter.epoch,
            on_step=meter.step,
            on_message=meter.say,
        )
    if world.rank:
        return 0
    for line in summary(header, meter.last, online) if meter.last else ():
        typer.echo(line)
    _say_next(output, [_named(output)], data)
    return 0


@contextmanager
def _told_how_to_go_on(output: Path, world: World, *, overwrite: bool) -> Iterator[None]:
    """What to type after an interruption that left something to go on from."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if world.rank == 0 and output.exists():
            instead = " in place of --overwrite" if overwrite else ""
            complain(f"to go on from {output}: the same command with --resume{instead}.")
        raise


def _base(spec: "MethodSpec", encoder: str | None, meaningless: list[str]) -> EncoderRef:
    if World.from_environment().size > 1:
        raise UsageError(
            f"method '{spec.name}' refines an encoder in one process; start it without torchrun."
        )
    if encoder is None:
        raise UsageError(f"method '{spec.name}' refines an encoder; name it: --encoder REF")
    if meaningless:
        named = " and no ".join(map(_flag, meaningless))
        raise UsageError(f"method '{spec.name}' refines an encoder as it is and takes no {named}.")
    return EncoderRef.parse(expand(encoder))


def _refine(
    spec: "MethodSpec",
    base: EncoderRef,
    data: str,
    output: Path,
    options: "dict[str, OptionValue]",
    seed: int,
    device: str,
    found: "Registry",
    *,
    overwrite: bool,
) -> int:
    announce([base], found)
    from sslaudit.extraction import pick_device
    from sslaudit.loading import load_dataset
    from sslaudit.report.progress import Meter
    from sslaudit.train.refinement import refine

    with Meter() as meter:
        meter.start(spec.name)
        header = refine(
            spec,
            base,
            load_dataset(data, registry=found),
            output=output,
            options=options,
            seed=seed,
            device=pick_device(device),
            overwrite=overwrite,
            registry=found,
            on_message=meter.say,
            on_progress=meter.update,
            on_step=meter.step,
        )
    typer.echo(", ".join(f"{name} {value:.4f}" for name, value in header.results.items()))
    _say_next(output, [_named(output, base), str(base)], data)
    return 0


def _check_output(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Before images are read. Raises as ``earlier_run``."""
    if World.from_environment().rank == 0:
        from sslaudit.train.runs import earlier_run

        earlier_run(output, resume=resume, overwrite=overwrite)


def _say_next(output: Path, refs: list[str], data: str) -> None:
    command = shlex.join(["sslaudit", "evaluate", *refs, "--data", data])
    typer.echo(f"wrote {output}; next: {command}")


def _named(output: Path, base: EncoderRef | None = None) -> str:
    """The reference of what was written, as a command takes it, with the trust that the encoder below
    it was given."""
    from sslaudit.train.bases import TRUST

    given = tuple(pair for pair in base.target().options if pair[0] in TRUST) if base else ()
    if given:
        return str(EncoderRef("file", str(output), given))
    try:
        bare = EncoderRef.parse(str(output)) == EncoderRef("file", str(output))
    except RefError:
        bare = False
    return str(output) if bare and not str(output).startswith("-") else f"./{output}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
