"""The encoder as it runs over many batches: its fastest form that gives the same features."""

import contextlib
import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sslaudit.encoder import Encoder, Preprocess
from sslaudit.errors import EncoderError, UsageError
from sslaudit.extraction.devices import is_large
from sslaudit.extraction.how import Extraction

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

_EQUAL = 1e-5
"""Relative deviation up to which a faster form of the network is taken for the network itself."""

Network = Callable[[Tensor], Tensor]


@torch.inference_mode()
def embed_batch(encoder: Encoder, images: Tensor, how: Extraction) -> Tensor:
    """Features (B, D) float32 on the CPU of uint8 images (B, 3, H, W), by the encoder as it is."""
    with _kernels(how):
        return _features(encoder, _autocast(encoder.embed, how), images, how).cpu()


class Embedder:
    """An encoder made ready for many batches.

    Batch norm is folded into the convolutions, tensors lie channels-last, weights are stored in the
    precision asked for: each where the network allows it, and in float32 only as far as the
    features stay the same to 1e-5. The encoder itself is left as it is, so this may hold a second
    copy of its weights.
    """

    def __init__(
        self, encoder: Encoder, how: Extraction, *, on_message: Callable[[str], None] | None = None
    ) -> None:
        self.encoder = encoder
        self.how = how
        self.rows = how.batch_size
        """Views in one forward pass; smaller than asked for when memory was short."""
        self._say = on_message or (lambda message: None)
        with torch.inference_mode(), _kernels(how):
            self._network, self._layout = _fastest(encoder, how)
        if torch.device(how.device).type != "cpu":  # now, since the batch size is recorded
            self(torch.zeros((how.batch_size, 3, *encoder.preprocess.size), dtype=torch.uint8))

    def of(self, how: Extraction, preprocess: Preprocess | None = None) -> "Embedder":
        """The same network for another space of the same run, or on inputs made otherwise."""
        other = copy.copy(self)
        other.how = how
        if preprocess is not None:
            other.encoder = replace(self.encoder, preprocess=preprocess)
        return other

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Features (B, D) float32, on the device, of uint8 images (B, 3, H, W).

        Halves its batches when the memory of the device is short. Raises ``UsageError`` when one
        image is too many.
        """
        while True:
            try:
                with _kernels(self.how):
                    return torch.cat([self._embed(batch) for batch in torch.split(images, self.rows)])
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                if self.rows == 1:
                    raise UsageError(
                        f"'{self.encoder.ref}' does not fit into the memory of {self.how.device} with a "
                        "single image. Try --device cpu, or --precision bf16."
                    ) from None
            self.rows = max(1, min(self.rows, len(images)) // 2)
            if torch.device(self.how.device).type == "cuda":
                torch.cuda.empty_cache()
            self._say(f"memory of {self.how.device} is short; going on with batches of {self.rows}.")

    @torch.inference_mode()
    def project(self, embedded: Tensor) -> Tensor:
        """Projections (B, P) float32, on the device, of embeddings (B, D): what ``__call__`` would give."""
        with _kernels(self.how):
            batches = torch.split(embedded, self.rows)
            return torch.cat([_projected(self.encoder, batch.to(self.how.device)) for batch in batches])

    def projections(self, embedded: np.ndarray) -> np.ndarray:
        """``project`` of rows in memory, (n, D) to (n, P) float32."""
        return self.project(torch.from_numpy(embedded)).cpu().numpy()

    def _embed(self, images: Tensor) -> Tensor:
        short = self.rows - len(images)
        if self.how.compiled and short:  # another shape would be compiled anew, to other kernels
            padded = torch.cat([images, images[-1:].expand(short, -1, -1, -1)])
            return _features(self.encoder, self._network, padded, self.how, self._layout)[: len(images)]
        return _features(self.encoder, self._network, images, self.how, self._layout)


def _features(
    encoder: Encoder,
    network: Network,
    images: Tensor,
    how: Extraction,
    layout: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    pixels = images.to(how.device, non_blocking=True).contiguous(memory_format=layout)
    features = network(encoder.preprocess.normalise(pixels)).float()
    return features if how.space == "embedding" else _projected(encoder, features)


def _projected(encoder: Encoder, embedded: Tensor) -> Tensor:
    if encoder.project is None:
        raise UsageError(f"{encoder.ref} has no projector; --space projection needs one.")
    return encoder.project(embedded).float()


def _autocast(network: Network, how: Extraction) -> Network:
    """``network`` with its weights as they are and its arithmetic in the precision asked for."""
    if how.precision == "fp32":
        return network

    def low(images: Tensor) -> Tensor:
        with torch.autocast(torch.device(how.device).type, dtype=_DTYPES[how.precision]):
            return network(images)

    return low


def _fastest(encoder: Encoder, how: Extraction) -> tuple[Network, torch.memory_format]:
    """The network in the fastest form that passes for it on noise, and how its images lie."""
    network, layout = _autocast(encoder.embed, how), torch.contiguous_format
    module = encoder.module
    if module is not None and encoder.embed is module:
        liked = torch.channels_last if is_large(encoder.preprocess.size) else layout
        for form in dict.fromkeys((_folded(module, liked), module)):
            if _same(form, encoder, how, liked):
                network, layout = _low(form, encoder, how, liked), liked
                break
    return (_compiled(network, encoder, how, layout) if how.compiled else network), layout


def _low(form: nn.Module, encoder: Encoder, how: Extraction, layout: torch.memory_format) -> Network:
    """``form`` in the precision asked for: in bfloat16 with its weights stored so, where it runs that way."""
    if how.precision == "bf16":
        with contextlib.suppress(Exception):  # no copy, or tensors of its own making do not fit the weights
            network = _cast(copy.deepcopy(form).to(torch.bfloat16))
            _features(encoder, network, _noise(encoder), how, layout)
            return network
    return _autocast(form, how)


def _folded(module: nn.Module, layout: torch.memory_format) -> nn.Module:
    """A copy whose batch norms are folded into the convolutions before them; the module where none can be."""
    from torch.fx.experimental.optimization import fuse

    if not any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
        return module
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folded: nn.Module = fuse(module)
    except Exception:  # symbolic tracing gives up on what it cannot follow, in many ways
        return module
    return folded.to(memory_format=layout)


def _cast(network: nn.Module) -> Network:
    return lambda images: network(images.to(torch.bfloat16))


def _same(form: nn.Module, encoder: Encoder, how: Extraction, layout: torch.memory_format) -> bool:
    """Whether ``form`` on images of this layout gives in float32 what the encoder gives."""
    noise = _noise(encoder)
    try:
        there = _features(encoder, form, noise, how, layout)
        here = _features(encoder, encoder.embed, noise, how)
    except Exception:  # memory that is laid out otherwise than the network expects, or that is short
        return False
    return there.shape == here.shape and float((there - here).norm()) <= _EQUAL * float(here.norm())


def _noise(encoder: Encoder) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (2, 3, *encoder.preprocess.size), generator=generator, dtype=torch.uint8)


def _compiled(network: Network, encoder: Encoder, how: Extraction, layout: torch.memory_format) -> Network:
    """``network`` through ``torch.compile``. Raises ``EncoderError`` where that fails."""
    fast: Any = torch.compile(network, dynamic=False)
    blank = torch.zeros((how.batch_size, 3, *encoder.preprocess.size), dtype=torch.uint8)
    try:
        _features(encoder, fast, blank, how, layout)
    except Exception as error:  # no compiler, or a network that torch.compile cannot take
        reason = " ".join(str(error).split()).partition("Set TORCH")[0][:300].strip()
        raise EncoderError(
            f"'{encoder.ref}' cannot be compiled here: {reason or type(error).__name__}. "
            "Leave out --compile; on a CPU it needs a C++ compiler such as g++."
        ) from error
    return lambda images: fast(images)


def _kernels(how: Extraction) -> contextlib.AbstractContextManager[Any]:
    """On CUDA float32 is float32 (cuDNN would take TF32), and kernels are chosen by shape, not by a race."""
    if torch.device(how.device).type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=how.precision != "fp32"
    )


def _out_of_memory(error: RuntimeError) -> bool:
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(some in str(error) for some in words)
