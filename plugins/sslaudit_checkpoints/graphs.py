"""Encoders that come as a program: TorchScript archives and ONNX graphs.

Their weights cannot fail to match an architecture, for they bring their own; so nothing is inferred.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from sslaudit.encoder import Encoder, LoadAudit, Preprocess, count_parameters, embedding_dim
from sslaudit.errors import EncoderError, UsageError
from sslaudit.refs import EncoderRef
from sslaudit_checkpoints.options import Options
from sslaudit_formats import onnx, torchscript
from sslaudit_formats.opened import Opened

_CLASSES = (1000, 1001, 21841, 21843, 11821)
"""Numbers of classes in ImageNet's editions."""
_FOR_TENSORS = ("arch", "key", "prefix", "heads", "depth")


def load(ref: EncoderRef, opened: Opened, options: Options, device: str) -> Encoder:
    """The program as an encoder, in eval mode. Raises ``EncoderError`` kinds."""
    for name in _FOR_TENSORS:
        if getattr(options, name) is not None:
            raise UsageError(f"'{ref}': option {name} does not go with a {opened.format}, which is whole.")
    module = _module(ref, opened, device)
    fixed = getattr(module, "size", None)
    preprocess = Preprocess(size=options.size or fixed or (224, 224), crop=0.875, source="assumed")
    try:
        dim = embedding_dim(module, preprocess, device)
    except EncoderError:
        raise
    except Exception as error:  # whatever the program in the file raises
        height, width = preprocess.size
        reason = " ".join(str(error).split())[-160:]
        raise EncoderError(
            f"'{ref.locator}' does not run on images of {height}x{width} pixels; give its input size: "
            f"{ref.scheme},size=N:{ref.locator}\n  {reason}"
        ) from error
    network = module if isinstance(module, nn.Module) else None
    tensors = len(network.state_dict()) if network is not None else 0
    return Encoder(
        ref=str(ref),
        name=opened.format,
        embed=module,
        dim=dim,
        preprocess=preprocess,
        digest=_digest(opened.path),
        parameters=count_parameters(network) if network is not None else 0,
        differentiable=opened.kind == "torchscript",
        facts={"source": "local file", **({"method": options.method} if options.method else {})},
        load=LoadAudit(
            matched=tensors,
            expected=tensors,
            file=opened.title,
            assumptions=(
                *getattr(module, "notes", ()),
                *opened.notes,
                "preprocessing: ImageNet mean and std; the file does not say",
                _outputs(dim),
            ),
        ),
        module=network,
    )


def _outputs(dim: int) -> str:
    said = f"what the program returns, {dim} numbers, is taken as the embedding"
    if dim in _CLASSES:
        said += "; these look like class scores: export the network without its classifier"
    return said


def _module(ref: EncoderRef, opened: Opened, device: str) -> Callable[[Tensor], Tensor]:
    if opened.kind == "onnx":
        return onnx.module(opened, ref.locator)
    return torchscript.module(opened, ref.locator, device)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
