"""What a network of unknown make returns, as one vector for each image."""

from typing import Any

from torch import Tensor

from sslaudit.errors import EncoderError


def vectors(output: Any, images: int, text: str) -> tuple[Tensor, str]:
    """(B, D) features in float32 of what a network returned, and a note when they were pooled.

    (B, D, h, w) is averaged over h and w. Raises ``EncoderError`` for everything else.
    """
    if isinstance(output, Tensor) and output.ndim in (2, 4) and len(output) == images:
        if output.ndim == 2:
            return output.float(), ""
        h, w = output.shape[2:]
        return output.float().mean(dim=(2, 3)), f"its {h}x{w} feature map is averaged over all places"
    raise EncoderError(
        f"'{text}' returns {_words(output)} for {images} images, which is not one vector for each. "
        "Export the encoder alone, so that it returns (B, D)."
    )


def _words(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    if isinstance(output, dict):
        return (
            f"a dictionary ({', '.join(f'{key}: {_words(part)}' for key, part in list(output.items())[:3])})"
        )
    if isinstance(output, list | tuple):
        return f"{len(output)} things ({', '.join(_words(part) for part in list(output)[:3])})"
    return f"a {type(output).__name__}"
