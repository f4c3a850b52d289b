"""Photo-like JPEG files in class folders, the same on every machine."""

import os
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sslaudit import load_dataset
from sslaudit.data import Dataset

WIDTH, HEIGHT = 500, 375
CLASSES = 4


class Photos:
    """The first N photographs as a folder with 4 class folders, and as sslaudit opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def data(self) -> Dataset:
        """The opened folder."""
        return load_dataset(self.folder)


class Album:
    """Photographs of 500 x 375 pixels, JPEG quality 90, below ``folder``; drawn when they are first used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._first: dict[int, Photos] = {}

    def first(self, images: int) -> Photos:
        """The first ``images`` photographs, as links to the same files whatever their number."""
        if images not in self._first:
            folder = self.folder / f"first-{images}"
            if not folder.is_dir():
                self._link(folder, images)
            self._first[images] = Photos(folder)
        return self._first[images]

    def _link(self, folder: Path, images: int) -> None:
        for label in range(CLASSES):
            (folder / f"class-{label}").mkdir(parents=True)
        for i in range(images):
            os.link(self._photo(i), folder / f"class-{i % CLASSES}" / f"{i:05d}.jpg")

    def _photo(self, number: int) -> Path:
        path = self.folder / f"{number:05d}.jpg"
        if not path.is_file():
            _draw(np.random.default_rng(number)).save(path, quality=90)
        return path


def _draw(rng: np.random.Generator) -> Image.Image:
    """Noise of three scales, grain and six shapes: about as many bytes as a photograph of that size."""
    levels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.float32)
    for cells, weight in ((4, 0.5), (16, 0.3), (64, 0.2)):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        levels += weight * np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    levels += rng.normal(0, 6, (HEIGHT, WIDTH, 1))
    image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for shape in range(6):
        x, y = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        box = (x, y, x + int(rng.integers(20, 150)), y + int(rng.integers(20, 150)))
        colour = tuple(rng.integers(0, 256, 3).tolist())
        (draw.ellipse if shape % 2 else draw.rectangle)(box, fill=colour)
    return image
