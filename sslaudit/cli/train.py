"""``sslaudit train``: a reference encoder on your own data."""

from pathlib import Path
from typing import Annotated

import typer

from sslaudit.cli.guard import complain, guarded, registry
from sslaudit.refs import Term
from sslaudit.specs import read_options


@guarded
def train(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="simclr, barlow-twins; see `sslaudit list methods`.")
    ],
    data: Annotated[
        str,
        typer.Option("--data", metavar="DATA", help="A folder of images, or SCHEME:NAME (list datasets)."),
    ],
    output: Annotated[Path, typer.Option("--output", help="The checkpoint file to write.")],
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
) -> int:
    """Train a reference encoder on the training images and write a checkpoint that `evaluate` reads."""
    found = registry()
    term = Term.parse(method)
    spec = found.methods.get(term.name)
    options = read_options(term.options, spec.options, f"method '{spec.name}'")
    from sslaudit.extraction import pick_device
    from sslaudit.loading import load_dataset
    from sslaudit.train.loop import train as run

    run(
        spec,
        load_dataset(data, registry=found),
        output=output,
        backbone=backbone,
        epochs=epochs,
        batch_size=batch_size,
        recipe=recipe,
        named=found.recipes.usable(),
        size=size,
        lr=lr,
        seed=seed,
        device=pick_device(device),
        options={
            name: value for name, value in options.items() if name in term.options and value is not None
        },
        on_message=complain,
        on_epoch=lambda epoch: complain(str(epoch)),
    )
    typer.echo(f"wrote {output}; next: sslaudit evaluate {output} --data {data}")
    return 0
