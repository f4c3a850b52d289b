"""Near-duplicates across the split: found when saved anew or resized, and digits are none."""

import io

import numpy as np
import pytest
from PIL import Image

from sslaudit.data import Dataset, subset
from sslaudit.data import duplicates as module
from sslaudit.data.decode import decode
from sslaudit.data.digits import open_digits
from sslaudit.data.duplicates import near_duplicates
from sslaudit.data.examine import examine
from sslaudit.refs import DataRef


def photo(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """What a photograph is to a thumbnail: power that falls with frequency, and colour."""
    draw = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falling = 1 / np.maximum(np.hypot(fy, fx), 1 / 320)
    planes = [np.fft.irfft2(falling * np.fft.rfft2(draw.normal(size=(height, width))), (height, width))
              for _ in range(3)]  # fmt: skip
    image = np.stack(planes, axis=-1) + planes[0][..., None]
    image = 128 + 45 * (image - image.mean()) / image.std()
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def dataset(train: list[bytes], test: list[bytes]) -> Dataset:
    contents = [*train, *test]
    looks = [examine(content) for content in contents]
    return Dataset.build(
        ref="made",
        read=lambda i: decode(contents[i]),
        digests=[look.digest for look in looks],
        class_names=["a"] * len(contents),
        ids=[f"train/{i}" for i in range(len(train))] + [f"test/{i}" for i in range(len(test))],
        splits=["train"] * len(train) + ["test"] * len(test),
        thumbs=np.stack([look.thumb for look in looks]),
    )


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)


CHANGES = {
    **{f"JPEG {q}": lambda image, q=q: saved(image, quality=q) for q in (60, 75, 95)},
    "half the size": lambda image: saved(half(image), quality=90),
    "as PNG": lambda image: saved(image, "PNG"),
    "brighter": lambda image: saved(image.point(lambda level: min(255, level + 12)), "PNG"),
    "more contrast": lambda image: saved(image.point(lambda level: min(255, level * 1.08)), "PNG"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_saved_anew_is_found_and_others_are_not(change: str) -> None:
    originals = [photo(seed) for seed in range(6)]
    test = [CHANGES[change](image) for image in originals[:3]] + [saved(photo(seed)) for seed in (10, 11)]
    found = near_duplicates(dataset([saved(image, quality=92) for image in originals], test))
    assert (found.count, found.identical, found.checked) == (3, 0, 5)
    assert found.examples == tuple((f"test/{i}", f"train/{i}") for i in range(3))
    assert found.sentence == (
        "3 of 5 test images are nearly equal to a training image: "
        "test/0 and train/0; test/1 and train/1; test/2 and train/2."
    )


def test_another_picture_of_the_same_gray_is_none() -> None:
    """Swapped colours of equal brightness; another shape; strong light."""
    one = photo(0)
    gray = np.asarray(one.convert("L")).astype(float)
    tint = np.stack([gray + 40, gray - 20.4, gray], axis=-1)  # Rec. 601 brightness stays
    pattern = (np.indices((240, 320)).sum(axis=0) // 40 % 2)[..., None] * 2.0 - 1
    tinted = [np.clip(gray[..., None] + s * pattern * (tint - gray[..., None]), 0, 255) for s in (1, -1)]
    train = [saved(one, "PNG"), saved(Image.fromarray(tinted[0].astype(np.uint8)), "PNG")]
    test = [
        saved(Image.fromarray(tinted[1].astype(np.uint8)), "PNG"),
        saved(one.resize((320, 320)), "PNG"),
        saved(one.point(lambda level: level // 2 + 60), "PNG"),
    ]
    data = dataset(train, test)
    assert len(module._candidates(data.thumbs, data.test, data.train)) == 3
    found = near_duplicates(data)
    assert (found.count, found.sentence) == (0, "No near-duplicate of a training image among 3 test images.")


def test_copies_are_counted_whether_flat_or_not() -> None:
    flat = [saved(Image.new("RGB", (50, 50), (level,) * 3), "PNG") for level in (90, 91)]
    picture = saved(photo(1))
    found = near_duplicates(dataset([picture, flat[0]], [picture, *flat]))
    assert (found.count, found.identical) == (2, 2)
    assert found.sentence == (
        "2 of 3 test images are nearly equal to a training image, 2 of them exactly: "
        "test/0 and train/0; test/1 and train/1."
    )


def test_digits_are_no_near_duplicates_of_each_other() -> None:
    digits = open_digits(DataRef.parse("digits"))
    found = near_duplicates(digits)
    assert (found.count, found.checked) == (0, len(digits.test))
    assert len(module._candidates(digits.thumbs, digits.test, digits.train)) > 0, "thumbnails alone would err"


def test_small_images_must_be_equal_in_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    nearly = pixels.copy()
    nearly[0, 0] ^= 1
    train = [saved(Image.fromarray(pixels), "PNG")]
    test = [saved(Image.fromarray(pixels), "BMP"), saved(Image.fromarray(nearly), "PNG")]
    found = near_duplicates(dataset(train, test))
    assert (found.count, found.identical, found.examples) == (1, 0, (("test/0", "train/0"),))
    assert found.sentence.startswith("1 of 2 test images is nearly equal")


def test_all_blocks_of_both_sides_are_compared() -> None:
    """Against every product at once."""
    draw = np.random.default_rng(0)
    thumbs = draw.integers(0, 256, (12_000, 16, 16), dtype=np.uint8)
    test, train = np.arange(1500), np.arange(1500, 12_000)
    for i, j in {0: 1500, 1023: 9691, 1024: 9692, 1499: 11_999}.items():
        thumbs[i] = np.clip(thumbs[j].astype(int) + draw.integers(-3, 4, (16, 16)), 0, 255)
    thumbs[7] = thumbs[1600] = 100
    found = module._candidates(thumbs, test, train)
    assert found == [(0, 1500), (1023, 9691), (1024, 9692), (1499, 11_999)]


def test_the_limits_of_work_are_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    originals = [photo(seed, 128, 96) for seed in range(6)]
    data = dataset([saved(i, "PNG") for i in originals], [saved(i, quality=95) for i in originals])
    assert near_duplicates(data).count == 6
    monkeypatch.setattr(module, "PAIR_LIMIT", 2)
    assert near_duplicates(data).sentence.startswith("At least 2 of 6 test images looked at are nearly equal")
    monkeypatch.setattr(module, "PAIR_LIMIT", 10)
    monkeypatch.setattr(module, "TEST_LIMIT", 4)
    found = near_duplicates(data)
    assert (found.count, found.checked) == (4, 4)
    assert found.sentence.startswith("At least 4 of 4 test images looked at are nearly equal")
    assert "and others." in found.sentence


def test_without_thumbnails_exact_copies_are_found() -> None:
    data = Dataset.build(
        ref="made",
        read=lambda i: np.zeros((2, 2, 3), np.uint8),
        digests=["x", "y", "x", "z"],
        class_names=None,
        splits=["train", "train", "test", "test"],
    )
    found = near_duplicates(data)
    assert (found.count, found.identical, found.examples) == (1, 1, (("2", "0"),))
    assert found.sentence == (
        "1 of 2 test images is equal to a training image: 2 and 0. "
        "Near-duplicates were not looked for: the data has no thumbnails."
    )
    assert near_duplicates(subset(data, max_images=2)).checked <= 1


def test_one_side_without_images() -> None:
    data = dataset([saved(photo(0))], [])
    assert near_duplicates(data).sentence == "No near-duplicate of a training image among 0 test images."
    assert near_duplicates(dataset([], [saved(photo(0))])).count == 0
