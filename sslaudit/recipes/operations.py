"""The operations that a recipe is made of, with all their parameters."""

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["bilinear", "bicubic"]

BLUR_MIN_SIDE = 32
"""Blur is left out when the shorter side of the input is below so many pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A box of random area and aspect ratio, resized to the input size (``RandomResizedCrop``)."""

    scale: float
    max_scale: float
    ratio: float
    interpolation: Interpolation = "bilinear"

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        return (
            f"crop: area {self.scale:g} to {self.max_scale:g} of the image, "
            f"aspect ratio {self.ratio:.4g} to {1 / self.ratio:.4g}, "
            f"resized to {size[0]} x {size[1]} px, {self.interpolation} with antialiasing"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A horizontal flip."""

    p: float

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        return f"flip: horizontal, p {self.p:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Color:
    """Brightness, contrast, saturation and hue, changed in random order (``ColorJitter``)."""

    p: float
    brightness: float
    """Factors lie within so much of 1, and are never negative; the same for the next two."""
    contrast: float
    saturation: float
    hue: float
    """Largest shift of the hue, in turns of the colour circle."""

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        named = (
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
        )
        ranges = [(name, *factors(spread)) for name, spread in named]
        if len({spread for _, spread in named}) == 1:
            ranges = [("brightness, contrast and saturation", *ranges[0][1:])]
        words = ", ".join(f"{name} x {low:g} to {high:g}" for name, low, high in ranges)
        return f"color: p {self.p:g}, {words}, hue -{self.hue:g} to {self.hue:g} turns, in random order"


def factors(spread: float) -> tuple[float, float]:
    """Lowest and highest factor within ``spread`` of 1."""
    return max(0.0, 1 - spread), 1 + spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Gray:
    """Luma in all three channels."""

    p: float

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        return f"gray: p {self.p:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur:
    """A Gaussian blur of random width."""

    p: float
    min_sigma: float
    max_sigma: float
    kernel: float

    def kernel_size(self, size: tuple[int, int]) -> int | None:
        """Taps of the kernel at an input size: odd and at least 3; None when blur is left out."""
        if min(size) < BLUR_MIN_SIDE:
            return None
        return max(3, int(self.kernel * min(size)) | 1)

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        kernel = self.kernel_size(size)
        if kernel is None:
            return f"blur: left out, as below {BLUR_MIN_SIDE} px"
        return (
            f"blur: p {self.p:g}, Gaussian, sigma {self.min_sigma:g} to {self.max_sigma:g} px, "
            f"kernel {kernel} x {kernel} px"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Solarize:
    """Bright levels inverted."""

    p: float
    threshold: float

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        return f"solarize: p {self.p:g}, levels of {self.threshold:g} and above inverted"


Operation = Crop | Flip | Color | Gray | Blur | Solarize
