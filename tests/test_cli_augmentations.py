"""``sslaudit augmentations`` and ``sslaudit report``, as a user types them."""

import json
from pathlib import Path

import pytest

from sslaudit.augmentations import Ranking, RecipeRecord, rank_recipes
from sslaudit.data import subset
from sslaudit.errors import RefError, UsageError
from sslaudit.loading import load_dataset
from sslaudit.registry import installed
from tests.conftest import Run

SMALL = ("--data", "digits", "--max-images", "200", "--size", "8", "--views", "4")


def test_recipes_are_ranked_with_intervals_and_shared_places(run: Run) -> None:
    done = run("augmentations", *SMALL, "--recipes", "none,crop(scale=0.6)+color,crop+flip")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "digits: 200 images, 4 views of 8 x 8 px, seed 0"
    rows = [line.split() for line in lines if line[:1].isdigit() and "[" in line]
    assert {row[1] for row in rows} == {"none", "crop(scale=0.6)+color", "crop+flip"}
    assert rows[-1][1] == "none", "views draw the images of a class together"
    assert rows[0][0] == "1"
    assert "within delta" in done.stdout
    again = run("augmentations", *SMALL, "--recipes", "crop(scale=0.6)+color,none", "--format", "json")
    ranking = json.loads(again.stdout)
    assert (ranking["data"], ranking["images"], ranking["size"]) == ("digits", 200, [8, 8])
    found = ranking["recipes"]
    assert [record["recipe"] for record in found] == ["crop(scale=0.6)+color", "none"]
    for record in found:
        assert [m["term"] for m in record["metrics"]] == ["concentration(quantile=0.25)", "concentration"]
        for metric in record["metrics"]:
            assert 0 <= metric["interval"]["low"] <= metric["value"] <= metric["interval"]["high"] <= 1
    deltas = {record["metrics"][1]["details"]["delta"] for record in found}
    assert len(deltas) == 1, "one delta for all recipes"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--recipes", "none,nonne"), "nonne"),
        (("--recipes", "crop,crop"), "a recipe is named twice"),
        (
            ("--metrics", "alignment"),
            "metric 'alignment' reads an encoder; recipes are ranked by the data alone",
        ),
        (("--views", "1"), "--views 1: the first is the plain image"),
        (("--recipes", "crop,,none"), "empty place"),
        (("--max-images", "5", "--recipes", "crop"), "recipe 'crop' has no concentration"),
    ],
)
def test_what_is_wrong_is_named(run_here: Run, args: tuple[str, ...], said: str) -> None:
    done = run_here("augmentations", *SMALL, *args)
    assert done.returncode != 0
    assert done.stdout == ""
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_from_python() -> None:
    data = subset(load_dataset("digits"), max_images=150)
    ranked = rank_recipes(
        data, ["none", "crop(scale=0.6)"], registry=installed(), views=3, size=(8, 8)
    ).recipes
    assert [record.recipe for record in ranked] == ["crop(scale=0.6)", "none"]
    assert ranked[0].metrics[0].value < ranked[1].metrics[0].value
    with pytest.raises(RefError):
        rank_recipes(data, ["crop("], registry=installed())
    with pytest.raises(UsageError, match="named twice"):
        rank_recipes(data, ["slides-a", "crop+flip(p=0)", "slides-a"], registry=installed())


def test_places_are_shared_by_what_is_not_told_apart() -> None:
    def record(*resamples: float) -> RecipeRecord:
        return RecipeRecord(recipe="", key="", metrics=(), resamples=resamples)

    def places(*recipes: RecipeRecord) -> list[int]:
        about = {"data": "", "digest": "", "images": 0, "views": 2, "size": (8, 8), "seed": 0}
        return Ranking(**about, recipes=recipes).places

    low, near, high = record(*[0.1] * 40), record(*[0.1] * 38, 0.2, 0.2), record(*[0.3] * 40)
    assert places(low, near, high) == [1, 1, 3]
    assert places(low, high, record(*[0.3] * 40)) == [1, 2, 2]
    assert places(record(), record()) == [1, 1]


def test_a_card_is_shown_again(run_here: Run, tmp_path: Path) -> None:
    args = ("--data", "digits", "--max-images", "200", "--metrics", "knn,alignment", "--views", "2")
    made = run_here("evaluate", "untrained:timm:test_resnet", *args, "--output", "out")
    assert made.returncode == 0, made.stderr
    (folder,) = (tmp_path / "out").iterdir()
    shown = run_here("report", str(folder))
    assert shown.returncode == 0
    said, again = (done.stdout.partition("\nnext: ")[0] for done in (made, shown))
    assert said == again
    assert run_here("report", str(folder / "card.json")).stdout == shown.stdout
    for args, said in (
        (("report", "nowhere"), "cannot read the card 'nowhere'"),
        (("report", str(folder), "--explain", "theorem2"), "has no metric 'theorem2'; it has: "),
        (("report", str(folder), "--explain", "knn"), "metric 'knn' does not explain itself"),
    ):
        done = run_here(*args)
        assert done.returncode != 0
        assert said in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
