"""Pixel operations on a batch of views, with parameters of their own for each view.

Grey levels are float32 (M, 3, h, w) that hold whole numbers from 0 to 255. Each operation equals
torchvision's operation of the same name on each uint8 image, within one grey level.
"""

import numpy as np
import torch
from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in gray."""

_PIECE = 32
"""Pixels of a row that one matrix product blurs."""


def resized_crop(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (N, V, 4) of images (N, 3, H, W), resized bilinearly with antialiasing: (N, V, 3, h, w).

    A box is top, left, height, width. Both directions are matrix products: the right way for small
    images, where the call for a single box is dear, and on a GPU.
    """
    n, v = boxes.shape[:2]
    height, width = images.shape[2:]
    h, w = size
    rows = _tents(boxes[..., 0], boxes[..., 2], height, h).view(n, v * h, height)
    columns = _tents(boxes[..., 1], boxes[..., 3], width, w).view(n * v, w, width)
    levels = rows @ images.float().transpose(1, 2).reshape(n, height, 3 * width)
    levels = levels.view(n * v, h * 3, width) @ columns.mT
    return levels.round_().to(torch.uint8).view(n, v, h, 3, w).transpose(2, 3)


def _tents(start: Tensor, length: Tensor, side: int, out: int) -> Tensor:
    """Weights (N, V, out, side) of the pixels from ``start`` on in each of ``out`` output pixels."""
    start, length = start[..., None, None].float(), length[..., None, None].float()
    scale = length / out
    pixel = torch.arange(side, device=start.device) + 0.5 - start
    centre = (torch.arange(out, device=start.device)[:, None] + 0.5) * scale
    weights = (1 - (pixel - centre).abs_() / scale.clamp(min=1)).clamp_(min=0)
    weights *= (pixel > 0) & (pixel < length)
    return weights.div_(weights.sum(dim=-1, keepdim=True))


def flip(levels: Tensor) -> Tensor:
    """Left and right exchanged."""
    return levels.flip(-1)


def jitter(
    levels: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor, order: np.ndarray
) -> Tensor:
    """``ColorJitter`` with factors (M,), hue in turns (M,), and ``order`` (M, 4): which operation comes when.

    The operations are numbered brightness 0, contrast 1, saturation 2, hue 3. Each result is cut to
    whole grey levels before the next, as it is between torchvision's operations.
    """
    operations = (
        (adjust_brightness, brightness),
        (adjust_contrast, contrast),
        (adjust_saturation, saturation),
        (adjust_hue, hue),
    )
    # Each turn writes the views sorted by operation, which spares a copy; ``at`` says where each view lies.
    at = np.arange(len(levels))
    for turn in order.T:
        out, start = torch.empty_like(levels), 0
        for number, (operation, factor) in enumerate(operations):
            rows = np.flatnonzero(turn == number)
            if not len(rows):
                continue
            chosen = levels.index_select(0, _index(at[rows], levels))
            done = operation(chosen, factor[_index(rows, levels)].view(-1, 1, 1, 1))
            torch.floor(done, out=out[start : start + len(rows)])
            start += len(rows)
        at[np.argsort(turn, kind="stable")] = np.arange(len(levels))
        levels = out
    return levels.index_select(0, _index(at, levels))


def _index(rows: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(rows).to(like.device)


def adjust_brightness(levels: Tensor, factor: Tensor) -> Tensor:
    """Grey levels times ``factor``."""
    return (levels * factor).clamp_(0, 255)


def adjust_contrast(levels: Tensor, factor: Tensor) -> Tensor:
    """Away from the mean luma by ``factor``."""
    mean = _luma(levels).floor_().mean(dim=(1, 2, 3), keepdim=True)
    return (levels * factor).add_(mean * (1 - factor)).clamp_(0, 255)


def adjust_saturation(levels: Tensor, factor: Tensor) -> Tensor:
    """Away from the luma of each pixel by ``factor``."""
    return (levels * factor).add_(_luma(levels).floor_() * (1 - factor)).clamp_(0, 255)


def adjust_hue(levels: Tensor, turn: Tensor) -> Tensor:
    """The hue of HSV turned by ``turn`` of the circle; saturation and value stay."""
    red, green, blue = levels.unbind(1)
    low, high = levels.amin(1), levels.amax(1)
    chroma = high - low
    # A lerp with weights 0 and 1 chooses as torch.where does, and is vectorised.
    sixth = torch.lerp(red - green + 4 * chroma, blue - red + 2 * chroma, (high == green).float())
    sixth = torch.lerp(sixth, green - blue, (high == red).float())
    sixth = sixth.div_(chroma.clamp(min=1)).add_(6 * turn.squeeze(1))
    sixth -= torch.floor(sixth / 6).mul_(6)
    # Each channel is a trapezium over the circle of hues, in sixths.
    out = torch.stack(((sixth - 3).abs_().sub_(1), 2 - (sixth - 2).abs_(), 2 - (sixth - 4).abs_()), dim=1)
    out = out.clamp_(0, 1).mul_(chroma.unsqueeze(1)).add_(low.unsqueeze(1))
    # torchvision scales [0, 1] back to grey levels by just under 256, so that rounding errors do no harm.
    return out.mul_(255.999 / 255)


def gray(levels: Tensor) -> Tensor:
    """Luma in all three channels."""
    return _luma(levels).floor_().expand(-1, 3, -1, -1)


def blur(levels: Tensor, sigma: Tensor, kernel: int) -> Tensor:
    """Gaussian blur of width ``sigma`` (M,) in pixels, an odd ``kernel`` of taps, reflected at the edge."""
    taps = torch.arange(kernel, device=levels.device) - kernel // 2
    weights = torch.softmax(-0.5 * (taps / sigma[:, None]) ** 2, dim=1)
    levels = torch.nn.functional.pad(levels, [kernel // 2] * 4, mode="reflect")
    levels = _convolve(_convolve(levels, weights).mT, weights).mT
    return levels.round_()


def _convolve(levels: Tensor, weights: Tensor) -> Tensor:
    """Rows of (M, 3, R, S + taps - 1) with ``weights`` (M, taps): (M, 3, R, S).

    Pieces of a row times a banded matrix: as matrix products, the convolution with another kernel
    for each view is several times faster than as a grouped convolution.
    """
    m, taps = weights.shape
    c, r, side = levels.shape[1], levels.shape[2], levels.shape[3] - taps + 1
    pieces = -(-side // _PIECE)
    band = weights.new_zeros((m, _PIECE, _PIECE + taps))
    band[:, :, :taps] = weights[:, None]
    # Rows of one element less move the weights one place to the right in each.
    band = band.flatten(1)[:, :-_PIECE].view(m, _PIECE, _PIECE + taps - 1)
    levels = torch.nn.functional.pad(levels, (0, pieces * _PIECE - side))
    windows = levels.unfold(3, _PIECE + taps - 1, _PIECE).reshape(m, -1, _PIECE + taps - 1)
    return (windows @ band.mT).view(m, c, r, pieces * _PIECE)[..., :side]


def _luma(levels: Tensor) -> Tensor:
    red, green, blue = levels.unbind(1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2]).unsqueeze(1)
