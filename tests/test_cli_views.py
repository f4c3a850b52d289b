"""``sslaudit views`` as a user runs it: the sheet, the line about it, its refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslaudit.data import subset
from sslaudit.encoder import Preprocess
from sslaudit.errors import OutputError
from sslaudit.loading import load_dataset
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe
from sslaudit.sheet import contact_sheet, is_sheet, write_sheet
from sslaudit.views import draw, make_views
from tests.conftest import Run, make_photos


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def holds(sheet: np.ndarray, view: np.ndarray) -> bool:
    """Whether ``view`` (h, w, 3) lies anywhere in ``sheet``."""
    h, w = view.shape[:2]
    corners = np.argwhere((sheet[: -h + 1, : -w + 1] == view[0, 0]).all(axis=2))
    return any(np.array_equal(sheet[y : y + h, x : x + w], view) for y, x in corners)


def test_the_sheet_holds_the_views_that_evaluate_draws(run: Run, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", each=4, size=40)
    done = run(
        *("views", "photos", "--recipe", "byol", "--views", "4", "--images", "3"),
        *("--size", "120x140", "--seed", "3", "--output", "sheets/byol.png"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    recipe = parse_recipe("byol", {spec.name: spec for spec in BUILTIN_RECIPES})
    assert done.stdout == (
        "wrote sheets/byol.png: 3 images x 4 views of 120 x 140 px, recipe byol@1, seed 3, per-image; "
        f"{recipe.describe((120, 140))}\n"
    )
    data = subset(load_dataset(photos), max_images=3)
    assert sorted(data.labels.tolist()) == [0, 1, 2]
    views = make_views(
        [data.read(i) for i in range(3)], draw(3, data.digests, 4), recipe, Preprocess(size=(120, 140))
    )
    sheet = pixels_of(tmp_path / "sheets" / "byol.png")
    for view in views.flatten(0, 1).permute(0, 2, 3, 1).numpy():
        assert holds(sheet, view)
    assert [path.name for path in (tmp_path / "sheets").iterdir()] == ["byol.png"]


def test_digits_are_enlarged_pixel_by_pixel(run_here: Run, tmp_path: Path) -> None:
    done = run_here("views", "digits", "--size", "8", "--views", "2", "--images", "1")
    assert done.returncode == 0
    assert "blur: left out, as below 32 px" in done.stdout
    data = subset(load_dataset("digits"), max_images=1)
    enlarged = data.read(0).repeat(14, axis=0).repeat(14, axis=1)
    assert holds(pixels_of(tmp_path / "views.png"), enlarged)


def test_a_sheet_is_replaced_and_nothing_else(run_here: Run, tmp_path: Path) -> None:
    args = ("views", "digits", "--size", "8", "--images", "2", "--views", "2")
    assert run_here(*args).returncode == 0
    first = pixels_of(tmp_path / "views.png")
    assert run_here(*args, "--seed", "1").returncode == 0
    assert not np.array_equal(pixels_of(tmp_path / "views.png"), first)
    Image.fromarray(first).save(tmp_path / "mine.png")
    (tmp_path / "text.png").write_text("no picture")
    for name in ("mine.png", "text.png"):
        before = (tmp_path / name).read_bytes()
        done = run_here(*args, "--output", name)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"error: '{name}' is no contact sheet; write --overwrite to replace it.\n"
        assert (tmp_path / name).read_bytes() == before
        assert run_here(*args, "--output", name, "--overwrite").returncode == 0
        assert is_sheet(tmp_path / name)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--recipe", "simlcr"], 2, "did you mean 'simclr'"),
        (["--views", "1"], 2, "--views 1: the first is the plain image"),
        (["--views", "33"], 2, "--views 33"),
        (["--images", "0"], 2, "--images 0"),
        (["--size", "big"], 2, "--size big is no size"),
        (["--size", "0"], 2, "size 0 x 0"),
        (["--output", "views.jpg"], 2, "--output views.jpg: the sheet is a PNG"),
        (["--output", "folder.png"], 1, "--output folder.png is a folder"),
        (["--output", "file/views.png"], 1, "cannot write to --output file"),
    ],
)
def test_refusals(run_here: Run, tmp_path: Path, args: list[str], code: int, words: str) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    done = run_here("views", "digits", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_a_bank_is_said(run_here: Run) -> None:
    done = run_here("views", "digits", "--size", "8", "--images", "2", "--views", "2", "--views-mode", "bank")
    assert "seed 0, bank; crop:" in done.stdout


@pytest.mark.parametrize("size", [(1, 1), (8, 30), (30, 8), (500, 20), (224, 224)])
@pytest.mark.parametrize("name", ["", "cat", "a name that is much longer than its place", "two\nlines"])
def test_any_size_and_name_makes_a_sheet(size: tuple[int, int], name: str) -> None:
    views = torch.zeros(2, 3, 3, *size, dtype=torch.uint8)
    sheet = contact_sheet(views, [name, "b"], title="t" * 90, description="word " * 200)
    assert sheet.mode == "RGB"
    assert sheet.getpixel((0, 0)) == sheet.getpixel((sheet.width - 1, sheet.height - 1)) == (251, 250, 247)


def test_a_sheet_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_sheet(Image.new("RGB", (1, 1)), tmp_path / "missing" / "views.png")
    (tmp_path / "views.png").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_sheet(Image.new("RGB", (1, 1)), tmp_path / "views.png")
    assert [path.name for path in tmp_path.iterdir()] == ["views.png"]
