"""The flags of ``sslaudit train``, in panels: what everybody gives first, what a refinement takes last."""

from pathlib import Path
from typing import Annotated

import typer

_VIEWS, _STEPS, _RUN = "Views", "Steps", "The run"
_REFINING = "Refining an encoder"


Name = Annotated[
    str,
    typer.Argument(
        metavar="METHOD",
        help="simclr, byol, ...: see `sslaudit list methods`. With options: 'simclr(temperature=0.2)'.",
    ),
]
Data = Annotated[
    str, typer.Option("--data", metavar="DATA", help="A folder of images, or SCHEME:NAME (list datasets).")
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        metavar="FILE",
        help="The checkpoint to write, run/last.pt. Its log is run/last.csv, and run/last.tensorboard "
        "where TensorBoard is installed.",
    ),
]
Backbone = Annotated[
    str, typer.Option(help="conv3 for 8 to 16 pixels, conv4, resnet18-cifar for 32, resnet18, timm:NAME.")
]
Size = Annotated[int, typer.Option(help="Input size in pixels.")]
Epochs = Annotated[int, typer.Option(help="Passes over the training images.")]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="Augmentation: a name, or terms such as crop+flip; else the method's own.",
        rich_help_panel=_VIEWS,
    ),
]
BatchSize = Annotated[int, typer.Option(help="Images in a step, over all processes.", rich_help_panel=_STEPS)]
Optimiser = Annotated[
    str, typer.Option(metavar="adamw|sgd|lars", help="What takes the steps.", rich_help_panel=_STEPS)
]
Rate = Annotated[
    float, typer.Option(help="Peak learning rate, not scaled by the batch.", rich_help_panel=_STEPS)
]
Momentum = Annotated[float, typer.Option(help="Of sgd and lars.", rich_help_panel=_STEPS)]
WeightDecay = Annotated[float, typer.Option(help="Not on biases and norms.", rich_help_panel=_STEPS)]
WarmUp = Annotated[
    float,
    typer.Option(
        help="Share of the steps in which the learning rate rises; then it falls by half a cosine.",
        rich_help_panel=_STEPS,
    ),
]
Clip = Annotated[
    float | None,
    typer.Option(help="Norm that gradients are clipped to; else as they are.", rich_help_panel=_STEPS),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="auto|fp32|bf16|fp16",
        help="Of the forward pass; auto by the device.",
        rich_help_panel=_STEPS,
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of weights, batches and views.", rich_help_panel=_RUN)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel=_RUN)]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the unfinished run in FILE; begin one if there is none.",
        rich_help_panel=_RUN,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace FILE.", rich_help_panel=_RUN)]
KeepEvery = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Keep a copy every N epochs: run/last-epoch-0010.pt.", rich_help_panel=_RUN
    ),
]
Online = Annotated[
    str | None,
    typer.Option(
        metavar="knn|nearest-centre",
        help="After each epoch name some training images by the labels of others; never held-out images.",
        rich_help_panel=_RUN,
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Ask no hub: local files and caches alone.", rich_help_panel=_RUN)
]
Encoder = Annotated[
    str | None, typer.Option(metavar="REF", help="The encoder to refine.", rich_help_panel=_REFINING)
]
AllowPartial = Annotated[
    bool,
    typer.Option(
        "--allow-partial", help="Refine it although its weights fit in part.", rich_help_panel=_REFINING
    ),
]
TrustPickle = Annotated[
    bool,
    typer.Option(
        "--trust-pickle",
        help="Open its file although that runs whatever code it holds.",
        rich_help_panel=_REFINING,
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code", help="Run the code that its repository brings.", rich_help_panel=_REFINING
    ),
]
