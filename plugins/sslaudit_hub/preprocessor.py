"""``preprocessor_config.json``, as transformers writes it, as a ``Preprocess``.

The processor computes ``(p f - o - mean) / std`` of a pixel p in 0..255, with the rescale factor f
(1/255) and the offset o (0, or 1 with ``rescale_offset``). With x = p / 255 that is
``(x - (mean + o) / 255 f) / (std / 255 f)``, which is what ``Preprocess`` computes: every factor maps.
"""

from collections.abc import Mapping
from typing import Any, get_args

from PIL import Image

from sslaudit.encoder import IMAGENET_MEAN, IMAGENET_STD, Interpolation, Preprocess
from sslaudit.errors import EncoderError, UsageError

FILE = "preprocessor_config.json"


def preprocessing(
    config: Mapping[str, Any], *, image_size: int, size: int | None = None
) -> tuple[Preprocess, tuple[str, ...]]:
    """The preprocessing, and what in it is assumed because the file is silent or asks the impossible.

    ``image_size`` is the model's own, for a file without a size; ``size`` is the user's, and wins.
    """
    if not config:
        side = size or image_size
        sized = [] if size else [f"input size: no {FILE}; {side} x {side} pixels, the model's own, assumed"]
        return Preprocess(size=(side, side)), (
            *sized,
            f"preprocessing: no {FILE}; ImageNet mean and std assumed",
        )
    notes: list[str] = []
    shape, crop = _geometry(config, image_size, notes)
    mean, std = _normalisation(config, notes)
    if config.get("do_flip_channel_order"):
        raise EncoderError("the preprocessor swaps red and blue (do_flip_channel_order); sslaudit feeds RGB.")
    try:
        found = Preprocess(
            size=(size, size) if size else shape,
            mean=mean,
            std=std,
            interpolation=_interpolation(config.get("resample"), notes),
            crop=crop,
            source=FILE,
        )
    except UsageError as error:
        raise EncoderError(f"{FILE} cannot be meant as it is: {error}") from None
    return found, tuple(notes)


def _geometry(config: Mapping[str, Any], image_size: int, notes: list[str]) -> tuple[tuple[int, int], float]:
    """Height and width, and the share of the resized shorter side that they are."""
    crops = config.get("do_center_crop", "crop_size" in config)
    cut = _shape(config.get("crop_size")) if crops else None
    given = config.get("size")
    if config.get("do_resize") is False:
        notes.append(f"{FILE} does not resize; the shorter side is resized here")
        return cut or (image_size, image_size), 1.0
    short = _shortest(given, cropped=cut is not None)
    if short is not None:
        if cut is None:
            # ConvNeXt's processor: below 384 pixels it resizes to size / crop_pct and cuts
            share = float(config.get("crop_pct") or 1.0) if short < 384 else 1.0
            if "crop_pct" not in config:
                notes.append(f"{FILE} keeps the aspect ratio without a crop; the centre is cut here")
            return (short, short), share
        return cut, min(1.0, max(cut) / short)
    shape = _shape(given)
    if shape is None:
        notes.append(f"input size: {FILE} names none; {image_size} pixels, the model's own, assumed")
        return cut or (image_size, image_size), 1.0
    notes.append(f"{FILE} stretches images to {shape[0]} x {shape[1]}; here the centre is cut instead")
    return (cut, min(1.0, max(cut) / min(shape))) if cut else (shape, 1.0)


def _shortest(size: Any, *, cropped: bool) -> int | None:
    """The shorter side after the resize, when the aspect ratio is kept."""
    if isinstance(size, Mapping) and isinstance(size.get("shortest_edge"), int):
        return int(size["shortest_edge"])
    return size if cropped and isinstance(size, int) else None


def _shape(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    if isinstance(size, Mapping) and {"height", "width"} <= set(size):
        return int(size["height"]), int(size["width"])
    return None


def _normalisation(
    config: Mapping[str, Any], notes: list[str]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    factor = 255.0
    if config.get("do_rescale", True):
        factor *= float(config.get("rescale_factor") or 1 / 255)
    offset = 1.0 if config.get("rescale_offset") else 0.0
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if config.get("do_normalize", True):
        if "image_mean" not in config or "image_std" not in config:
            notes.append(f"preprocessing: {FILE} names no mean and std; ImageNet's assumed")
        mean = _three(config.get("image_mean"), IMAGENET_MEAN)
        std = _three(config.get("image_std"), IMAGENET_STD)
    if config.get("include_top"):  # EfficientNet's processor divides by std once more
        again = _three(config.get("image_std"), IMAGENET_STD)
        std = (std[0] * again[0], std[1] * again[1], std[2] * again[2])
    r, g, b = (round((m + offset) / factor, 12) for m in mean)
    sr, sg, sb = (round(s / factor, 12) for s in std)
    return (r, g, b), (sr, sg, sb)


def _three(values: Any, default: tuple[float, float, float]) -> tuple[float, float, float]:
    if values is None:
        return default
    if isinstance(values, int | float):
        values = [values] * 3
    if len(values) != 3:
        raise EncoderError(f"{FILE} normalises {len(values)} channels; sslaudit feeds 3.")
    r, g, b = map(float, values)
    return r, g, b


def _interpolation(resample: Any, notes: list[str]) -> Interpolation:
    """The name of Pillow's number."""
    if isinstance(resample, int) and resample in set(Image.Resampling):
        name = Image.Resampling(resample).name.lower()
        for known in get_args(Interpolation):
            if known == name:
                return known  # type: ignore[no-any-return]
    notes.append(f"{FILE} names no interpolation; bilinear assumed")
    return "bilinear"
