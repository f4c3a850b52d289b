"""Methods that refine: a head is learned on top of an encoder that stays as it is.

Only training images are read. The encoder is named in the file and not copied (see ``refined``).
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sslaudit.data import Dataset
from sslaudit.errors import OutputError, TrainingError, UsageError
from sslaudit.extraction import (
    AlteredImages,
    Embedder,
    Extraction,
    OnProgress,
    pick_batch_size,
    pick_workers,
)
from sslaudit.loading import load_encoder
from sslaudit.recipes import Distribution, Recipe
from sslaudit.refs import EncoderRef, Term
from sslaudit.registry import Registry
from sslaudit.specs import LARGEST_SEED, MethodSpec, OptionValue
from sslaudit.store import default_cache, writable
from sslaudit.train.bases import files_below, named_from
from sslaudit.train.checkpoint import check_output
from sslaudit.train.refined import RefinedHeader, layers_of, write_refined


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a refining method learns from: N training images as a frozen encoder sees them."""

    data: str
    """The data as the user wrote it."""
    altered: AlteredImages
    """Embeddings (N, D) of the images, plain or with their pixels changed."""
    images: np.ndarray
    """(N,) int64, the training images: what ``altered`` may be asked for."""
    labels: np.ndarray | None
    """(N,) int64, an index into ``classes`` for each of ``images``; None without labels."""
    classes: tuple[str, ...]
    dim: int
    """D of the encoder."""
    seed: int
    say: Callable[[str], None]
    """Tells the user one line before or during the work."""
    on_step: Callable[[int, float], None] | None = None
    """Gets the number of each step, and its loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """What a refining method learned."""

    head: nn.Sequential
    """(B, D) to (B, d): layers that ``sslaudit.train.refined.Layer`` names."""
    labelled: int
    """Images whose labels were read."""
    results: Mapping[str, float]
    """What was reached, by name: the loss and its terms."""


def refine(
    spec: MethodSpec,
    base: EncoderRef,
    data: Dataset,
    *,
    output: Path,
    options: Mapping[str, OptionValue] | None = None,
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
    registry: Registry | None = None,
    on_message: Callable[[str], None] | None = None,
    on_progress: OnProgress | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> RefinedHeader:
    """Refine the encoder ``base`` on the training images of ``data`` and write the result to ``output``.

    ``options`` are those that the user chose; the others have their defaults. On a CPU a seed decides
    all weights, and global generators are left as they were. Raises ``UsageError`` and
    ``TrainingError`` when nothing can be learned, and ``EncoderError`` kinds; then no file is written.
    """
    if spec.refine is None:
        raise UsageError(f"method '{spec.name}' trains a backbone of its own; sslaudit.train.loop runs it.")
    if not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"--seed {seed} is not between 0 and {LARGEST_SEED}.")
    check_output(output)
    if output.exists():
        _spare(output, base)
        if not overwrite:
            raise OutputError(f"--output {output} exists; add --overwrite to replace it.")
    if not len(data.train):
        raise TrainingError(f"{data.ref} has no training images.")
    encoder = load_encoder(base, device=device, registry=registry)
    how = Extraction(
        recipe=Recipe(text="none", version=1, distributions=(Distribution(),)),
        views=1,
        seed=seed,
        batch_size=pick_batch_size(encoder.preprocess.size, device),
        workers=pick_workers(device),
        device=device,
    )
    chosen = {option.name: option.default for option in spec.options if option.default is not None}
    chosen |= options or {}
    say = on_message or (lambda message: None)
    with _cache(say) as cache, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        embedder = Embedder(encoder, how, on_message=say)
        learned = spec.refine(
            Task(
                data=data.ref,
                altered=AlteredImages(embedder, data, cache=cache, on_progress=on_progress),
                images=data.train,
                labels=None if data.labels is None else data.labels[data.train],
                classes=data.classes,
                dim=encoder.dim,
                seed=seed,
                say=say,
                on_step=on_step,
            ),
            **chosen,
        )
    if not isinstance(learned, Learned):
        raise TrainingError(f"method '{spec.name}' gave a {type(learned).__name__}, not a Learned.")
    header = RefinedHeader(
        method=str(Term(spec.name, {name: str(value) for name, value in (options or {}).items()})),
        options=chosen,
        base=str(named_from(output, base, encoder)),
        base_digest=encoder.digest,
        base_dim=encoder.dim,
        dim=_width(learned.head, encoder.dim),
        layers=layers_of(learned.head),
        results=dict(learned.results),
        data=data.ref,
        data_digest=data.digest,
        images=len(data.train),
        labelled=learned.labelled,
        seed=seed,
        sslaudit=version("sslaudit"),
        torch=str(torch.__version__),
    )
    write_refined(output, header, learned.head)
    return header


def _spare(output: Path, base: EncoderRef) -> None:
    """Refuses to write onto what the result stands on."""
    for place, file in enumerate(files_below(base)):
        if file.samefile(output):
            what = "the encoder that is refined" if not place else f"below {base}, which is refined"
            raise UsageError(f"--output {output} is {what}, and the result needs it beside it.")


@torch.inference_mode()
def _width(head: nn.Module, dim: int) -> int:
    """d of a head (B, D) to (B, d). Raises ``TrainingError`` when it is none or not finite."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in head.state_dict().values()):
        raise TrainingError("the weights of the head are not finite; nothing was written.")
    return int(head.cpu().eval()(torch.zeros(1, dim)).shape[1])


@contextlib.contextmanager
def _cache(say: Callable[[str], None]) -> Iterator[Path]:
    """The user's folder of features, or one that lasts as long as the run."""
    if writable(folder := default_cache()):
        yield folder
        return
    say(f"the cache {folder} cannot be written; running without a cache.")
    with tempfile.TemporaryDirectory(prefix="sslaudit-") as scratch:
        yield Path(scratch)
