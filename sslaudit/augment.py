"""Pixel operations on a batch of views, with parameters of their own for each view.

Grey levels are float32 (M, 3, h, w) that hold whole numbers from 0 to 255. Each operation changes
them in place and equals torchvision's operation of the same name on each uint8 image. On a CPU passes
over memory cost: hence operations in place and into buffers at hand, and products that choose.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from sslaudit.recipes import Interpolation

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in gray."""

# A number in a call costs torch a conversion to a tensor, as much as a pass over a small plane.
_UNIT, _SIXTH, _HALF, _ONE, _BETWEEN, _SIX = map(torch.tensor, (1 / 255, 1 / 6, 0.5, 1.0, 1.5, 6.0))

# torchvision scales [0, 1] back to grey levels by just under 256, so that rounding errors do no harm.
_LEVELS = torch.tensor(255.999)
_LEAST = 1e-3
"""Below a grey level of [0, 1]: what replaces a divisor of 0."""
_PLACES = tuple((torch.tensor(centre), step) for centre, step in ((2.5, 1024), (1.5, -1024), (3.5, -1024)))
"""For red, green and blue: the sextants of hue at this distance of 1.5 leave the channel in between."""
_BAND = 32
"""Rows or columns that one matrix product blurs."""
_RUN = 2**17
"""Numbers in neighbouring views from which a CPU changes them where they are."""


def resized_crop(
    image: np.ndarray, box: Sequence[int], size: tuple[int, int], how: Interpolation
) -> np.ndarray:
    """A box of an image (H, W, 3) uint8, resized with antialiasing: (h, w, 3) uint8, on the CPU.

    A box is top, left, height, width. torch resizes uint8 pixels by torchvision's own kernel, which
    is fastest on a contiguous copy of the box with channels last.
    """
    top, left, height, width = box
    part = torch.from_numpy(image[top : top + height, left : left + width].copy())
    resized = interpolate(part[None].permute(0, 3, 1, 2), size, mode=how, antialias=True)
    pixels: np.ndarray = resized[0].permute(1, 2, 0).numpy()
    return pixels


def resized_crops(
    images: Tensor, boxes: Tensor, flipped: Tensor, size: tuple[int, int], how: Interpolation
) -> Tensor:
    """Boxes (N, V, 4) of images (N, H, W, 3) uint8, resized as by ``resized_crop``: (N, V, 3, h, w) uint8.

    Views with ``flipped`` (N, V) have left and right exchanged. Both directions are matrix products:
    the right way for small images, where the call for a single box is dear, and on a GPU.
    """
    (n, v), (height, width), (h, w) = boxes.shape[:2], images.shape[1:3], size
    rows = _resize_weights(boxes[..., 0], boxes[..., 2], height, h, how)
    columns = _resize_weights(boxes[..., 1], boxes[..., 3], width, w, how)
    columns = torch.where(flipped[..., None, None], columns.flip(2), columns)
    levels = images.permute(0, 2, 3, 1).float().reshape(n, width, 3 * height)
    levels = columns.view(n, v * w, width) @ levels
    # The uint8 kernel keeps whole grey levels between the two directions.
    levels = levels.round_().clamp_(0, 255).view(n * v, w * 3, height) @ rows.view(n * v, h, height).mT
    return to_uint8(levels.round_().clamp_(0, 255)).view(n, v, w, 3, h).permute(0, 1, 3, 4, 2)


def _resize_weights(start: Tensor, length: Tensor, side: int, out: int, how: Interpolation) -> Tensor:
    """Weights (N, V, out, side) of the pixels from ``start`` on in each of ``out`` output pixels."""
    start, length = start[..., None, None].float(), length[..., None, None].float()
    scale = length / out
    pixel = torch.arange(side, device=start.device) + 0.5 - start
    centre = (torch.arange(out, device=start.device)[:, None] + 0.5) * scale
    x = (pixel - centre).abs_() / scale.clamp(min=1)
    if how == "bilinear":
        weights = (1 - x).clamp_(min=0)
    else:  # the cubic convolution of Keys (1981), a = -1/2
        near, far = (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
        weights = torch.where(x < 1, near, torch.where(x < 2, far, 0))
    weights *= (pixel > 0) & (pixel < length)
    return weights.div_(weights.sum(dim=-1, keepdim=True))


def upload(array: np.ndarray, device: torch.device | str) -> Tensor:
    """``array`` on ``device``; a GPU fetches it from pinned memory while it works on."""
    tensor = torch.from_numpy(array)
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_uint8(levels: Tensor) -> Tensor:
    """Whole grey levels as uint8; from float straight there torch is several times slower on a CPU."""
    return levels.to(torch.int16).to(torch.uint8)


def on_rows(levels: Tensor, rows: np.ndarray, change: Callable[..., None], each: np.ndarray) -> None:
    """``change(views, values)`` on the views ``rows`` (R,), ascending; ``values`` are those rows of ``each``.

    Views that are neighbours are changed where they are, unless so few that calls cost more than a copy.
    """
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
    long = levels.device.type == "cpu" and len(rows) * levels[0].numel() >= len(runs) * _RUN
    if long or len(runs) == 1:
        for run in runs:
            change(levels[run[0] : run[-1] + 1], each[run])
    elif runs:
        chosen = levels.index_select(0, upload(rows, levels.device))
        change(chosen, each[rows])
        put(levels, rows, chosen)


def put(into: Tensor, rows: np.ndarray, done: Tensor) -> None:
    """``into[rows] = done``; on a CPU torch takes up to thirty times as long as NumPy."""
    if into.device.type == "cpu":
        into.numpy()[rows] = done.numpy()
    else:
        into.index_copy_(0, upload(rows, into.device), done)


def jitter(
    levels: Tensor,
    brightness: np.ndarray,
    contrast: np.ndarray,
    saturation: np.ndarray,
    hue: np.ndarray,
    order: np.ndarray,
) -> None:
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
    for turn in order.T:
        for number in set(turn.tolist()):
            on_rows(levels, np.flatnonzero(turn == number), *operations[number])


def adjust_brightness(levels: Tensor, factor: np.ndarray) -> None:
    """Grey levels times ``factor`` (M,)."""
    levels.mul_(_each(factor, levels)).clamp_(max=255).floor_()


def adjust_contrast(levels: Tensor, factor: np.ndarray) -> None:
    """Away from the mean luma by ``factor`` (M,)."""
    grays = _luma(levels)
    # In whole numbers: a sum of float32 beyond 2^24 would go by how many views and threads share it.
    total = grays.sum(dim=3, keepdim=True).long().sum(dim=2, keepdim=True)
    _blend(levels, grays.copy_(total.float() / grays[0].numel()), factor)


def adjust_saturation(levels: Tensor, factor: np.ndarray) -> None:
    """Away from the luma of each pixel by ``factor`` (M,)."""
    _blend(levels, _luma(levels), factor)


def _blend(levels: Tensor, grays: Tensor, factor: np.ndarray) -> None:
    # ``addcmul`` rounds as torchvision's sum does, once; a product and a sum would round twice.
    levels.mul_(_each(factor, levels)).addcmul_(grays, _each(1 - factor, levels)).clamp_(0, 255).floor_()


def adjust_hue(levels: Tensor, factor: np.ndarray) -> None:
    """The hue of HSV turned by ``factor`` (M,) of the circle; saturation and value stay.

    Of the three channels of a pixel the largest and the smallest only change places. The one between
    is cut to a grey level, so it takes torchvision's own sums and products in their order: any other
    would end on the other side of a whole level now and then.
    """
    red, green, blue = levels.unbind(1)
    low, high = torch.minimum(red, green), torch.maximum(red, green)
    middle = torch.maximum(low, torch.minimum(high, blue))
    torch.minimum(low, blue, out=low)
    torch.maximum(high, blue, out=high)
    value = high * _UNIT
    span = torch.sub(value, low * _UNIT)
    hue = _hue(levels, low, high, middle.mul_(_UNIT), value, span).add_(_each(factor, red))
    hue.sub_(torch.floor(hue, out=middle)).mul_(_SIX)
    sextant = torch.floor(hue)
    falling = hue.sub_(sextant).mul_(span.div_(torch.clamp(value, min=_LEAST, out=middle)))
    rising = torch.sub(_ONE, span, out=middle).add_(falling)
    odd = torch.mul(sextant, _HALF, out=span).frac_()
    middle = rising.lerp_(torch.sub(_ONE, falling, out=falling), odd.add_(odd)).mul_(value)
    middle.mul_(_LEVELS).floor_()
    # A step of 1024 levels leads beyond the largest or the smallest channel, where it is cut.
    for channel, (centre, step) in zip((red, green, blue), _PLACES, strict=True):
        beyond = torch.sub(sextant, centre, out=hue).abs_().sub_(_BETWEEN)
        torch.clamp(torch.add(middle, beyond, alpha=step, out=beyond), low, high, out=channel)


def _hue(levels: Tensor, low: Tensor, high: Tensor, middle: Tensor, value: Tensor, span: Tensor) -> Tensor:
    """Hue (M, h, w) in turns, from the extreme levels and the middle, largest and range of [0, 1]."""
    red, green, blue = levels.unbind(1)
    part = torch.sub(value, middle, out=middle).div_(span.clamp(min=_LEAST))
    # Factors of 0 and 1 choose: the largest channel, and the one before it on the circle.
    is_red, is_green = (torch.eq(high, channel, out=torch.empty_like(high)) for channel in (red, green))
    before = green.clone().lerp_(red, is_green).lerp_(blue, is_red)
    is_low = torch.eq(before, low, out=before)
    start = is_green.mul_(-2).add_(4)
    start.addcmul_(start, is_red, value=-1)
    hue = start.add_(torch.maximum(part, is_low, out=is_red))
    hue.sub_(torch.maximum(part, torch.sub(_ONE, is_low, out=is_low), out=is_red))
    return hue.mul_(_SIXTH).add_(_ONE).frac_()


def gray(levels: Tensor) -> None:
    """Luma in all three channels."""
    levels.copy_(_luma(levels))


def solarize(levels: Tensor, threshold: float) -> None:
    """Levels from ``threshold`` on inverted."""
    inverted = torch.ge(levels, threshold, out=torch.empty_like(levels))
    levels.lerp_(255 - levels, inverted)


def blur(levels: Tensor, sigma: np.ndarray, kernel: int) -> None:
    """Gaussian blur of width ``sigma`` (M,) in pixels, an odd ``kernel`` of taps, reflected at the edge.

    Both directions are products with a banded matrix, which is cut into pieces of ``_BAND`` rows and
    the columns that are not 0 in them.
    """
    m, c, h, w = levels.shape
    rows = _blur_weights(sigma, kernel, h, levels.device)
    columns = rows if h == w else _blur_weights(sigma, kernel, w, levels.device)
    # A product that is written into some rows of each plane would run in one thread.
    done = torch.cat([rows[:, None, a, b] @ levels[:, :, b] for a, b in _bands(h, kernel)], dim=2)
    lines = levels.view(m, c * h, w)
    for a, b in _bands(w, kernel):
        torch.bmm(done.view_as(lines)[..., b], columns[:, a, b].mT, out=lines[..., a])
    levels.round_()


def _blur_weights(sigma: np.ndarray, kernel: int, side: int, device: torch.device) -> Tensor:
    """Weights (M, side, side) of each pixel of a line in each blurred one, reflected pixels added."""
    reach = kernel // 2
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma[:, None]) ** 2)
    weights = torch.from_numpy(taps / taps.sum(axis=1, keepdims=True)).float().to(device)
    # Cut from a line that holds the taps in its middle, each row begins one place before the last.
    matrix = pad(weights, (side - 1 - reach,) * 2).unfold(1, side, 1).flip(1).contiguous()
    # Pixel j > 0 is also its own reflection at -j, tap i + j of row i; the other edge is its mirror image.
    reflected = pad(weights[:, reach + 1 :], (0, reach - 1)).unfold(1, reach, 1)
    matrix[:, :reach, 1 : reach + 1] += reflected
    matrix[:, -reach:, -reach - 1 : -1] += reflected.flip(1, 2)
    return matrix


def _bands(side: int, kernel: int) -> list[tuple[slice, slice]]:
    reach, starts = kernel // 2, range(0, side, _BAND)
    return [(slice(a, a + _BAND), slice(max(0, a - reach), a + _BAND + reach)) for a in starts]


def _luma(levels: Tensor) -> Tensor:
    """Whole grey levels (M, 1, h, w)."""
    red, green, blue = levels.unbind(1)
    grays = torch.mul(red, LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])
    return grays.floor_().unsqueeze(1)


def _each(factor: np.ndarray, levels: Tensor) -> Tensor:
    """``factor`` (M,) as what multiplies each view of ``levels``."""
    return torch.from_numpy(factor).float().to(levels.device).view(-1, *[1] * (levels.ndim - 1))
