"""``sslaudit train``: a reference encoder on your own data, or an encoder refined on it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslaudit.cli.guard import complain, guarded, registry
from sslaudit.cli.options import AllowPartial, Offline, TrustPickle, TrustRemoteCode, go_offline, with_flags
from sslaudit.cli.sources import announce
from sslaudit.errors import RefError, UsageError
from sslaudit.refs import EncoderRef, Term
from sslaudit.specs import read_options

if TYPE_CHECKING:
    from sslaudit.registry import Registry
    from sslaudit.specs import MethodSpec, OptionValue

_FROM_SCRATCH = ("backbone", "epochs", "batch_size", "recipe", "size", "lr")
"""What is said of an encoder that is trained from two views of each image, and of no refinement."""
_OF_A_BASE = ("encoder", "allow_partial", "trust_pickle", "trust_remote_code")
"""What is said of the encoder that a refinement stands on."""


@guarded
def train(
    context: typer.Context,
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD", help="simclr, barlow-twins, pretext-boost; see `sslaudit list methods`."
        ),
    ],
    data: Annotated[
        str,
        typer.Option("--data", metavar="DATA", help="A folder of images, or SCHEME:NAME (list datasets)."),
    ],
    output: Annotated[Path, typer.Option("--output", help="The checkpoint file to write.")],
    encoder: Annotated[
        str | None,
        typer.Option(metavar="REF", help="The encoder that a method such as pretext-boost refines."),
    ] = None,
    backbone: Annotated[str, typer.Option(help="conv3 for tiny images, resnet18, resnet18-cifar.")] = "conv3",
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Images in a step; each gives two views.")] = 256,
    recipe: Annotated[
        str | None,
        typer.Option(help="Augmentation: a name, or terms such as crop+flip; else the method's own."),
    ] = None,
    size: Annotated[int, typer.Option(help="Input size in pixels.")] = 32,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and views.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    allow_partial: AllowPartial = False,
    trust_pickle: TrustPickle = False,
    trust_remote_code: TrustRemoteCode = False,
    offline: Offline = False,
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
        given = [name for name in _FROM_SCRATCH if _is_given(context, name)]
        base = _base(spec, encoder, given)
        (base,) = with_flags(
            [base],
            found,
            allow_partial=allow_partial,
            trust_pickle=trust_pickle,
            trust_remote_code=trust_remote_code,
        )
        return _refine(spec, base, data, output, options, seed, device, found)
    if given := [name for name in _OF_A_BASE if _is_given(context, name)]:
        flags = ", ".join(_flag(name) for name in given)
        raise UsageError(f"method '{spec.name}' trains an encoder of its own and takes no {flags}.")
    from sslaudit.extraction import pick_device
    from sslaudit.loading import load_dataset
    from sslaudit.train.choices import Choices
    from sslaudit.train.loop import train as run

    run(
        spec,
        load_dataset(data, registry=found),
        output=output,
        named=found.recipes.usable(),
        choices=Choices(
            backbone=backbone,
            epochs=epochs,
            batch_size=batch_size,
            recipe=recipe,
            size=size,
            lr=lr,
            seed=seed,
        ),
        device=pick_device(device),
        options=options,
        on_message=complain,
        on_epoch=lambda epoch: complain(str(epoch)),
    )
    typer.echo(f"wrote {output}; next: sslaudit evaluate {output} --data {data}")
    return 0


def _base(spec: "MethodSpec", encoder: str | None, meaningless: list[str]) -> EncoderRef:
    if encoder is None:
        raise UsageError(f"method '{spec.name}' refines an encoder; name it: --encoder REF")
    if meaningless:
        flags = " and no ".join(map(_flag, meaningless))
        raise UsageError(f"method '{spec.name}' refines an encoder as it is and takes no {flags}.")
    return EncoderRef.parse(encoder)


def _refine(
    spec: "MethodSpec",
    base: EncoderRef,
    data: str,
    output: Path,
    options: "dict[str, OptionValue]",
    seed: int,
    device: str,
    found: "Registry",
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
            registry=found,
            on_message=meter.say,
            on_progress=meter.update,
            on_step=meter.step,
        )
    typer.echo(", ".join(f"{name} {value:.4f}" for name, value in header.results.items()))
    both = shlex.join(["sslaudit", "evaluate", _named(output, base), str(base), "--data", data])
    typer.echo(f"wrote {output}; next: {both}")
    return 0


def _named(output: Path, base: EncoderRef) -> str:
    """The reference of a refined encoder, with the trust that its base was given."""
    from sslaudit.train.bases import TRUST

    given = tuple(pair for pair in base.target().options if pair[0] in TRUST)
    if given:
        return str(EncoderRef("file", str(output), given))
    try:
        bare = EncoderRef.parse(str(output)) == EncoderRef("file", str(output))
    except RefError:
        bare = False
    return str(output) if bare else f"./{output}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
