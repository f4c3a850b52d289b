"""Which images of other data are tested, what the probes make of them, and the drop with its interval."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslaudit.data import Dataset
from sslaudit.data.counterparts import counterparts
from sslaudit.data.examine import examine_pixels
from sslaudit.data.shifts import prepare_shift
from sslaudit.errors import DataError
from sslaudit.loading import load_dataset
from sslaudit.report.shifted import ShiftReading, ShiftRecord, shift_lines, shift_notes, shift_rows
from sslaudit.results import Interval
from sslaudit.shift import independent_drop, paired_drop
from sslaudit.stats import accuracy, mean_of_proportions, paired_difference, wilson
from tests.conftest import kinds, make_photos

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def pictures(seed: int, count: int, size: int = 32) -> list[np.ndarray]:
    """(H, W, 3) uint8, each a few waves of its own: different pictures are no more alike than chance."""
    draw, axis = np.random.default_rng(seed), np.linspace(0, 2 * np.pi, size)
    made = []
    for _ in range(count):
        waves = sum(
            draw.normal() * np.sin(a * axis[:, None] + b * axis[None] + draw.uniform(0, 6))
            for a in range(3)
            for b in range(3)
        )
        gray = 128 + 40 * waves / np.std(waves)
        made.append(np.clip(np.repeat(gray[:, :, None], 3, axis=2), 0, 255).astype(np.uint8))
    return made


def dataset(
    pixels: Sequence[np.ndarray],
    classes: Sequence[str] | None,
    ids: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    ref: str = "mine",
) -> Dataset:
    seen = [examine_pixels(image) for image in pixels]
    return Dataset.build(
        ref=ref,
        read=lambda i: pixels[i],
        digests=[one.digest for one in seen],
        class_names=classes,
        ids=ids,
        splits=splits,
        thumbs=np.stack([one.thumb for one in seen]),
    )


CLASSES = ["cat", "dog"] * 20
IDS = [f"{name}/{i:03d}.jpg" for i, name in enumerate(CLASSES)]
CLEAN = dataset(pictures(0, 40), CLASSES, IDS, ref="clean")

CHANGES: dict[str, Change] = {
    "noise": lambda image, draw: np.clip(image + draw.normal(0, 60, image.shape), 0, 255),
    "fog": lambda image, draw: 0.2 * image + 190,
    "negative": lambda image, draw: 255 - image,
    "turned": lambda image, draw: np.rot90(image),
    "mirrored": lambda image, draw: image[:, ::-1],
    "small": lambda image, draw: image[::3, ::3],
}


def changed(change: str, data: Dataset = CLEAN) -> list[np.ndarray]:
    draw = rng()
    return [CHANGES[change](data.read(i).astype(float), draw).astype(np.uint8) for i in range(len(data))]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_told_by_names_under_another_folder_and_ending(change: str) -> None:
    ids = [f"{change}/val/{name}".replace(".jpg", ".PNG") for name in IDS]
    copy = dataset(changed(change), CLASSES, ids)
    np.testing.assert_array_equal(counterparts(copy, CLEAN), np.arange(40))


def test_equal_names_of_other_pictures_are_a_coincidence() -> None:
    np.testing.assert_array_equal(counterparts(dataset(pictures(1, 40), CLASSES, IDS), CLEAN), -1)
    numbered = dataset(pictures(0, 40), CLASSES)
    shuffled = rng().permutation(40)
    others = dataset([numbered.read(i) for i in shuffled], [CLASSES[i] for i in shuffled])
    np.testing.assert_array_equal(counterparts(others, numbered), -1)  # ids are bare indices


def test_names_decide_where_nothing_else_can_tell() -> None:
    blind = replace(dataset(pictures(1, 40), CLASSES, IDS), thumbs=None)
    np.testing.assert_array_equal(counterparts(blind, CLEAN), np.arange(40))


def test_a_name_that_train_and_test_share_names_nothing_unless_the_split_is_named_too() -> None:
    ids = [f"{side}/cat/{i}.png" for side in ("train", "test") for i in range(10)]
    both = dataset(pictures(2, 20), ["cat"] * 20, ids, splits=["train"] * 10 + ["test"] * 10)
    bare = dataset([both.read(i) for i in range(10, 20)], ["cat"] * 10, [f"cat/{i}.png" for i in range(10)])
    np.testing.assert_array_equal(counterparts(bare, both), -1)
    named = dataset([both.read(i) for i in range(10, 20)], ["cat"] * 10, ids[10:])
    np.testing.assert_array_equal(counterparts(named, both), np.arange(10, 20))


def test_forms_of_training_images_are_never_tested() -> None:
    copy = dataset(changed("noise"), CLASSES, IDS, ref="noisy")
    assert set(copy.test) != set(CLEAN.test)  # the copy is split by its own contents
    shift = prepare_shift(copy, CLEAN)
    assert shift.originals is not None
    np.testing.assert_array_equal(shift.originals, CLEAN.test)
    assert shift.images.ids == tuple(CLEAN.ids[i] for i in CLEAN.test)
    assert CLEAN.labels is not None
    np.testing.assert_array_equal(shift.labels, CLEAN.labels[CLEAN.test])
    assert shift.left_out == {"forms of training images of clean": len(CLEAN.train)}
    only_train = dataset(
        [copy.read(i) for i in CLEAN.train], [CLASSES[i] for i in CLEAN.train], [IDS[i] for i in CLEAN.train]
    )
    with pytest.raises(DataError, match="every image of 'mine' is a form of a training image of 'clean'"):
        prepare_shift(only_train, CLEAN)


def test_a_second_form_of_one_image_is_not_tested_twice() -> None:
    ids = [f"{level}/{name}" for level in (1, 2) for name in IDS]
    twice = dataset(changed("noise") + changed("fog"), CLASSES * 2, ids)
    shift = prepare_shift(twice, CLEAN)
    assert shift.originals is not None
    assert sorted(shift.originals) == sorted(CLEAN.test)
    assert shift.left_out["no form of a test image of clean, or a second one of the same"] == len(CLEAN.test)


def test_other_images_of_the_classes_are_all_tested_in_the_numbers_of_the_card() -> None:
    names = ["dog", "emu", "cat"] * 10
    others = dataset(pictures(3, 30), names, ref="others")
    wider = dataset(pictures(0, 40), ["ant", *CLASSES[1:]], IDS, ref="wider")  # ant, cat, dog
    shift = prepare_shift(others, wider)
    assert shift.originals is None
    assert kinds(shift.images) == [wider.classes[label] for label in shift.labels] == ["dog", "cat"] * 10
    assert shift.left_out == {"of classes that wider lacks: emu": 10}
    assert "all of them" in shift.sentence
    assert "2 of 3 classes, not ant" in shift.sentence
    assert not shift.leaks
    few = prepare_shift(others, wider, max_images=12, per_class=4)
    assert sorted(kinds(few.images)) == ["cat"] * 4 + ["dog"] * 4
    assert few.left_out["more than were asked for"] == 12


def test_a_split_of_its_own_gives_its_test_images() -> None:
    splits = ["train", "train", "test", "test"] * 5
    others = dataset(pictures(3, 20), CLASSES[:20], splits=splits, ref="others")
    shift = prepare_shift(others, CLEAN)
    assert len(shift.images) == 10
    assert shift.left_out == {"in train of its own split": 10}
    assert "its test images" in shift.sentence


def test_training_images_among_the_others_are_counted() -> None:
    known = [CLEAN.read(i) for i in CLEAN.train[:2]]
    leaky = dataset([*known, *pictures(4, 18)], CLASSES[:20], [f"x{i}" for i in range(20)], ref="leaky")
    shift = prepare_shift(leaky, CLEAN)
    assert len(shift.images) == 20
    assert "2 of 20 images of leaky are nearly or exactly training images of clean" in shift.leaks
    assert f"x0 and {IDS[CLEAN.train[0]]}" in shift.leaks


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (None, "has no labels.*cat, dog"),
        (["Cat", "wolf"] * 2, "has no class of 'clean': it has Cat, wolf, not cat, dog. Name its classes"),
    ],
)
def test_what_cannot_be_tested_is_refused(classes: list[str] | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare_shift(dataset(pictures(3, 4), classes), CLEAN)


def test_data_without_labels_has_no_probe_to_shift() -> None:
    with pytest.raises(DataError, match="no probe is fitted"):
        prepare_shift(CLEAN, dataset(pictures(3, 4), None))


def test_folders_that_are_copies(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos")
    for path in sorted(photos.rglob("*.png")):
        place = tmp_path / "dark" / path.relative_to(photos).with_suffix(".bmp")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(path)) // 3).save(place)
    data = load_dataset(photos)
    shift = prepare_shift(load_dataset(tmp_path / "dark"), data)
    assert shift.originals is not None
    np.testing.assert_array_equal(shift.originals, data.test)


def test_the_interval_of_two_proportions_is_newcombes() -> None:
    """56 of 70 and 48 of 80, the first example of his paper: .2 and [.0524, .3339]."""
    found = independent_drop(56 / 70, wilson(56, 70), 48 / 80, wilson(48, 80))
    assert found.low == pytest.approx(0.0524, abs=5e-5)
    assert found.high == pytest.approx(0.3339, abs=5e-5)


def test_accuracy_is_that_of_the_house() -> None:
    draw = rng()
    labels = draw.choice(3, 60, p=(0.7, 0.2, 0.1))
    correct = (draw.random(60) < 0.6).astype(float)
    assert accuracy(correct, labels, balanced=False, rng=rng()) == (
        correct.mean(),
        wilson(int(correct.sum()), 60),
    )
    value, interval = accuracy(correct, labels, balanced=True, rng=rng())
    assert value == pytest.approx(np.mean([correct[labels == k].mean() for k in range(3)]), rel=1e-12)
    assert interval is not None
    assert interval.low < value < interval.high
    assert "MOVER" in interval.method
    draws = (draw.random((60, 5)) < 0.6).astype(float)
    value, interval = accuracy(draws, labels, balanced=True, rng=rng())
    assert value == pytest.approx(np.mean([draws[labels == k].mean() for k in range(3)]), rel=1e-12)
    assert interval is not None
    assert "5 random draws" in interval.method
    assert interval.high <= 1
    sure = accuracy(np.ones((60, 5)), labels, balanced=True, rng=rng())[1]
    assert sure == mean_of_proportions(np.bincount(labels), np.bincount(labels))  # not the limit of 60 alike
    assert accuracy(draws[:1], labels[:1], balanced=False, rng=rng())[1] is None
    with pytest.raises(ValueError, match="no image"):
        accuracy(draws[:0], labels[:0], balanced=False, rng=rng())


@pytest.mark.parametrize("balanced", [False, True])
def test_the_paired_drop_is_the_mean_over_images_and_classes(balanced: bool) -> None:
    draw = rng()
    labels = draw.choice(2, 80, p=(0.8, 0.2))
    before, after = (draw.random(80) < 0.9).astype(float), (draw.random(80) < 0.5).astype(float)
    drop, interval = paired_drop(before, after, labels, balanced=balanced, rng=rng())
    both = [accuracy(column, labels, balanced=balanced, rng=rng())[0] for column in (before, after)]
    assert drop == pytest.approx(both[0] - both[1], rel=1e-12)
    assert interval is not None
    assert interval.low < drop < interval.high
    if not balanced:
        assert interval == paired_difference(before, after, rng())[1]


@pytest.mark.parametrize(("before", "after", "drop"), [(1, 1, 0.0), (1, 0, 1.0), (0, 1, -1.0)])
@pytest.mark.parametrize("balanced", [False, True])
def test_no_change_in_a_few_images_is_no_certainty(
    before: int, after: int, drop: float, balanced: bool
) -> None:
    labels = np.arange(30) % 2
    found, interval = paired_drop(
        np.full(30, before), np.full(30, after), labels, balanced=balanced, rng=rng()
    )
    assert found == drop
    assert interval is not None
    assert 0.05 < interval.high - interval.low < 0.3
    assert -1 <= interval.low <= drop <= interval.high <= 1
    assert paired_drop(np.ones(1), np.ones(1), labels[:1], balanced=balanced, rng=rng()) == (0.0, None)


@pytest.mark.slow
def test_intervals_of_drops_cover() -> None:
    """Intervals of 95 % over 400 worlds in which accuracy falls from .8 to .6: 91 % to 99 % hold .2."""
    draw, paired, apart = rng(), 0, 0
    zeros = np.zeros(200, dtype=int)
    for _ in range(400):
        before = (draw.random(200) < 0.8).astype(float)
        after = before * (draw.random(200) < 0.75)
        _, same = paired_drop(before, after, zeros, balanced=False, rng=draw)
        clean, limits = accuracy(before, zeros, balanced=False, rng=draw)
        others = (draw.random(150) < 0.6).astype(float)
        value, interval = accuracy(others, zeros[:150], balanced=False, rng=draw)
        assert same is not None
        assert limits is not None
        assert interval is not None
        two = independent_drop(clean, limits, value, interval)
        paired += same.low <= 0.2 <= same.high
        apart += two.low <= 0.2 <= two.high
    assert 364 <= paired <= 396
    assert 364 <= apart <= 396


def reading(**fields: object) -> ShiftReading:
    about = {"term": "knn", "summary": "kNN", "space": "embedding"}
    return ShiftReading(**{**about, **fields})


def record(*readings: ShiftReading, paired: bool = True, **fields: object) -> ShiftRecord:
    about = {"ref": "fog", "digest": "", "images": 500, "classes": 3, "sentence": "500 images of fog."}
    return ShiftRecord(**{**about, "paired": paired, "readings": readings, **fields})


def test_the_first_screen_says_value_drop_and_method() -> None:
    value = {"value": 0.712, "interval": Interval(low=0.681, high=0.74, method="Wilson")}
    fell = {"clean_value": 0.884, "drop": 0.172, "drop_interval": Interval(low=0.141, high=0.203, method="")}
    rose = {"clean_value": 0.7, "drop": -0.012, "drop_interval": Interval(low=-0.03, high=0.006, method="")}
    assert shift_lines(record(reading(**value, **fell), leaks="3 of 500 leak.")) == [
        (
            "SHIFT",
            "kNN 71.2 % [68.1, 74.0] on fog, 17.2 points below the test images [14.1, 20.3], paired by image",
        ),
        ("WARNING", "3 of 500 leak."),
    ]
    [(_, said)] = shift_lines(record(reading(**value, **rose, balanced=True), paired=False))
    assert said == (
        "kNN, balanced, 71.2 % [68.1, 74.0] on fog, 1.2 points above the test images [-0.6, 3.0], not paired"
    )
    minor = reading(**value, **fell, minor=True)
    [(_, said)] = shift_lines(record(minor, reading(summary="1-NN", reason="it failed")))
    assert said == "1-NN on fog: it failed"
    [(_, said)] = shift_lines(record(reading(**value, reason="no test image")))
    assert said.endswith("on fog; no test image")
    [(_, said)] = shift_lines(record(notes=("no probe.",)))
    assert said == "nothing was tested on fog: no probe."


def test_rows_and_notes_of_a_card() -> None:
    fell = reading(value=0.5, clean_value=0.75, drop=0.25, interval=Interval(low=0.4, high=0.6, method=""))
    found = record(fell, reading(term="x", reason="it failed", minor=True), left_out={"of emu": 1200})
    assert shift_rows(found) == [("kNN", "knn", ".500 [.400, .600]", ".250"), ("kNN", "x", "-", "it failed")]
    assert len(shift_rows(found, minor=False)) == 1
    assert shift_notes(found) == [("shift", "500 images of fog."), ("shift", "1,200 left out: of emu.")]
