"""NumPy files: which arrays are images, how their axes and numbers are read, and what is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn

from sslaudit.data import Dataset
from sslaudit.data.arrays import open_arrays
from sslaudit.data.pixels import check_range, eight_bit
from sslaudit.errors import DataError, DataNotFound, UsageError
from sslaudit.loading import load_dataset
from sslaudit.refs import DataRef

COLOUR = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
LABELS = np.repeat([0, 1, 2], 4)

Save = Callable[..., Path]


@pytest.fixture(params=[np.savez, np.savez_compressed], ids=["stored", "compressed"])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Save:
    """Writes arrays to a ``.npz``."""

    def write(**members: object) -> Path:
        request.param(tmp_path / "images.npz", **members)
        return tmp_path / "images.npz"

    return write


def npz(path: Path, **members: object) -> Path:
    np.savez(path / "images.npz", **members)
    return path / "images.npz"


def opened(path: Path, **options: str) -> Dataset:
    return open_arrays(DataRef("arrays", str(path), tuple(options.items())))


def pixels(data: Dataset) -> np.ndarray:
    return np.stack([data.read(i) for i in range(len(data))])


def refused(path: Path, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        opened(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


# Which arrays


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("data", "targets"), ("X", "target")])
def test_images_and_labels_by_name(save: Save, names: tuple[str, str]) -> None:
    data = opened(save(**dict(zip(names, (COLOUR, LABELS), strict=True)), unused=np.ones(3)))
    assert data.classes == ("0", "1", "2")
    assert data.labels is not None
    assert data.labels.tolist() == LABELS.tolist()
    assert np.array_equal(pixels(data), COLOUR)
    assert len(data.train) + len(data.test) == 12


@pytest.mark.parametrize("pattern", ["{}_{}", "{1}_{0}", "{1}{0}"], ids=["x_train", "train_x", "trainx"])
def test_splits_by_name(tmp_path: Path, pattern: str) -> None:
    sides = {"train": slice(0, None, 2), "test": slice(1, None, 2)}
    members = {pattern.format("x", side): COLOUR[part] for side, part in sides.items()}
    members |= {pattern.format("y", side): LABELS[part] for side, part in sides.items()}
    data = opened(npz(tmp_path, **members))
    assert data.ids == (*(f"train/{i}" for i in range(6)), *(f"test/{i}" for i in range(6)))
    assert data.train.tolist() == list(range(6))
    assert np.array_equal(pixels(data), np.concatenate([COLOUR[::2], COLOUR[1::2]]))


def test_three_splits_with_labels_as_a_column(tmp_path: Path) -> None:
    """As MedMNIST writes them."""
    members = {f"{side}_images": COLOUR[i::3] for i, side in enumerate(("train", "val", "test"))}
    members |= {f"{side}_labels": LABELS[i::3][:, None] for i, side in enumerate(("train", "val", "test"))}
    data = opened(npz(tmp_path, **members))
    assert (len(data.train), len(data.test)) == (4, 4)
    assert {(skip.reason, skip.count) for skip in data.skipped} == {("in val, while test is reported on", 4)}


def test_a_bare_npy_holds_images(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", COLOUR)
    data = opened(tmp_path / "images.npy")
    assert data.labels is None
    assert np.array_equal(pixels(data), COLOUR)


def test_options_name_the_arrays(tmp_path: Path) -> None:
    path = npz(tmp_path, x=COLOUR, photos=COLOUR[::-1], kind=LABELS)
    data = opened(path, images="photos", labels="kind")
    assert np.array_equal(pixels(data), COLOUR[::-1])
    assert data.classes == ("0", "1", "2")
    assert "no array 'gone'" in refused(path, images="gone")


def test_class_names_in_the_file(tmp_path: Path) -> None:
    data = opened(npz(tmp_path, x=COLOUR, y=LABELS, class_names=np.array(["ox", "cat", "ox"])))
    assert data.classes == ("cat", "ox (0)", "ox (2)")
    few = npz(tmp_path, x=COLOUR, y=LABELS, classes=np.array(["ox", "cat"]))
    assert "hold 2, and there are 2 class names" in refused(few)


def test_texts_and_one_hot_rows_are_labels(tmp_path: Path) -> None:
    words = np.array(["ox", "cat", "dog"])[LABELS]
    assert opened(npz(tmp_path, x=COLOUR, y=words)).classes == ("cat", "dog", "ox")
    one_hot = opened(npz(tmp_path, x=COLOUR, y=np.eye(3)[LABELS]))
    assert one_hot.labels is not None
    assert one_hot.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"photos": COLOUR}, "no array is called x"),
        ({"x": COLOUR, "images": COLOUR}, "'x' and 'images' may both be its images"),
        ({"x": COLOUR, "x_train": COLOUR}, "has no split and 'x_train' has one"),
        ({"x": COLOUR, "y": LABELS[:-1]}, "12 images and array 'y' has 11 labels"),
        ({"x": COLOUR, "y": np.ones((12, 3), int)}, "multi-label: 3 columns of 0 and 1"),
        ({"x": COLOUR, "y": np.full((12, 3), 0.3)}, "multi-label: shape (12, 3)"),
        ({"x": COLOUR, "y": np.linspace(0, 1, 12)}, "labels are whole numbers or texts"),
        ({"x": np.array([*COLOUR, None], object)[:-1]}, "array 'x' holds Python objects"),
        ({"x": COLOUR, "y": np.array(["a", 1] * 6, object)}, "array 'y' holds Python objects"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path: Path, members: dict[str, np.ndarray], said: str) -> None:
    assert said in refused(npz(tmp_path, **members))


# Axes


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (COLOUR.transpose(0, 3, 1, 2), {}),
        (np.asfortranarray(COLOUR), {}),
        (COLOUR[:, :5].reshape(12, -1), {"layout": "flat-hwc"}),
        (COLOUR[:, :5].transpose(0, 3, 1, 2).reshape(12, -1), {"layout": "flat-chw"}),
    ],
    ids=["nchw", "fortran", "flat-hwc", "flat-chw"],
)
def test_every_order_of_axes_gives_the_same_pixels(
    save: Save, array: np.ndarray, options: dict[str, str]
) -> None:
    rows = 5 if options else 6
    assert np.array_equal(pixels(opened(save(x=array), **options)), COLOUR[:, :rows])


@pytest.mark.parametrize("shape", [(12, 6, 5), (12, 6, 5, 1), (12, 1, 6, 5)])
def test_gray_is_repeated(tmp_path: Path, shape: tuple[int, ...]) -> None:
    gray = COLOUR[..., 0]
    assert np.array_equal(pixels(opened(npz(tmp_path, x=gray.reshape(shape)))), gray[..., None].repeat(3, -1))


def test_a_flat_square_is_gray(tmp_path: Path) -> None:
    digits = COLOUR[:, :5, :, 1]
    assert np.array_equal(pixels(opened(npz(tmp_path, x=digits.reshape(12, 25))))[..., 2], digits)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((12, 3, 32, 3), "nhwc or nchw"),
        ((12, 3072), "flat-hwc or flat-chw"),
        ((4, 4, 3), "one image (H, W, 3)"),
        ((32, 32, 3, 12), "holds no images that are recognised"),
        ((12, 30), "holds no images that are recognised"),
        ((12,), "holds no images that are recognised"),
        ((12, 2, 3, 4, 5), "holds no images that are recognised"),
    ],
)
def test_a_shape_with_two_readings_or_none_is_refused(
    tmp_path: Path, shape: tuple[int, ...], said: str
) -> None:
    assert said in refused(npz(tmp_path, x=np.zeros(shape, np.uint8)))


def test_the_option_decides_between_two_readings(tmp_path: Path) -> None:
    square = np.random.default_rng(1).integers(0, 256, (12, 3, 4, 3), dtype=np.uint8)
    path = npz(tmp_path, x=square)
    assert np.array_equal(pixels(opened(path, layout="nhwc")), square)
    assert np.array_equal(pixels(opened(path, layout="nchw")), square.transpose(0, 2, 3, 1))
    assert "is not nhw" in refused(path, layout="nhw")


# Numbers

RAMP = np.arange(256).reshape(4, 8, 8)


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (RAMP.astype(np.uint8), {}),
        (RAMP, {}),
        (RAMP.astype(np.int16), {}),
        (RAMP.astype(np.uint16) * 257, {}),
        ((RAMP * 257).astype(">u2"), {}),
        ((RAMP / 255).astype(np.float32), {}),
        (RAMP / 255, {}),
        (RAMP.astype(np.float32), {"levels": "256"}),
        (RAMP * 4, {"levels": "1021"}),
    ],
)
def test_every_type_of_number_gives_the_same_pixels(
    tmp_path: Path, array: np.ndarray, options: dict[str, str]
) -> None:
    assert np.array_equal(pixels(opened(npz(tmp_path, x=array), **options))[..., 0], RAMP)


def test_truth_values_are_black_and_white(tmp_path: Path) -> None:
    assert set(pixels(opened(npz(tmp_path, x=RAMP % 2 == 0))).ravel().tolist()) == {0, 255}


def test_alpha_is_composited_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 2, 2, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, 0, :, 3] = 255
    seen = pixels(opened(npz(tmp_path, x=rgba)))
    assert seen[0].tolist() == [[[200, 0, 0]] * 2, [[255, 255, 255]] * 2]


@pytest.mark.parametrize(
    ("array", "options", "said"),
    [
        (RAMP * 16, {}, "from 0 to 4080; whole numbers are taken as 0..255. levels=4096"),
        (RAMP - 1, {}, "from -1 to 254"),
        (RAMP.astype(float), {}, "from 0 to 255; floats are taken as 0..1. levels=256"),
        ((RAMP - 127) / 60, {}, "the encoder does that itself"),
        (np.where(RAMP == 3, np.nan, 0), {}, "NaN or infinity"),
        (np.where(RAMP == 3, np.inf, 0), {}, "NaN or infinity"),
        (RAMP, {"levels": "255"}, "outside 0..254 as levels=255 says"),
        (RAMP.astype(complex), {}, "type complex128"),
        (RAMP.astype(str), {}, "type <U21"),
    ],
)
def test_numbers_that_are_no_pixels_are_refused(
    tmp_path: Path, array: np.ndarray, options: dict[str, str], said: str
) -> None:
    assert said in refused(npz(tmp_path, x=array), **options)


def test_sixteen_bits_that_use_few_levels_are_told(tmp_path: Path) -> None:
    data = opened(npz(tmp_path, x=(RAMP * 16).astype(np.uint16)))
    assert any("reach only 4080 of 65535" in note for note in data.notes)
    assert opened(npz(tmp_path, x=(RAMP * 257).astype(np.uint16))).notes == ()


@settings(max_examples=50, deadline=None)
@given(drawn(np.uint16, 30), st.integers(2, 65536))
def test_scaling_keeps_the_ends_and_the_order(values: np.ndarray, levels: int) -> None:
    fitting = np.sort(np.append(values.astype(int) % levels, [0, levels - 1]).astype(np.uint16))
    check_range(fitting[0], fitting[-1], fitting.dtype, levels)
    scaled = eight_bit(fitting, levels)
    assert (scaled[0], scaled[-1]) == (0, 255)
    assert (np.diff(scaled.astype(int)) >= 0).all()
    assert np.abs(scaled - fitting * (255 / (levels - 1))).max() <= 0.5 + 1e-9


# Files


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.npz", tmp_path):
        with pytest.raises(DataNotFound, match="there is no file"):
            opened(path)


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["images.npy", "images.npz"])
def test_a_pickle_is_never_opened(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(_Payload()))
    assert "pickles stay closed" in refused(tmp_path / name)
    np.savez(tmp_path / "objects.npz", x=np.array([_Payload()], object))
    assert "only unpickling opens" in refused(tmp_path / "objects.npz")
    assert not (tmp_path / "ran").exists()


def test_an_object_array_that_is_not_needed_stays_closed(tmp_path: Path) -> None:
    data = opened(npz(tmp_path, x=COLOUR, y=LABELS, meta=np.array([{"a": 1}], object)))
    assert len(data) == 12


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, keep: float) -> None:
    np.save(tmp_path / "images.npy", COLOUR)
    for path in (npz(tmp_path, x=COLOUR, y=LABELS), tmp_path / "images.npy"):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        assert "no NumPy file that can be read" in refused(path)


def test_stored_arrays_are_read_piece_by_piece(tmp_path: Path) -> None:
    from sslaudit.data.npy import members

    array = members(npz(tmp_path, y=LABELS, x=COLOUR))["x"].open()
    assert isinstance(array, np.memmap)
    assert np.array_equal(array, COLOUR)


def test_a_compressed_array_that_memory_cannot_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "images.npz", x=COLOUR)
    monkeypatch.setattr("sslaudit.data.npy._memory", lambda: 1000.0)
    assert "Save it with np.savez" in refused(tmp_path / "images.npz")


def test_the_reference_as_it_is_typed(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.random.default_rng(1).integers(0, 256, (12, 3, 4, 3), dtype=np.uint8))
    assert len(load_dataset(f"arrays,layout=nchw:{path}")) == 12
    with pytest.raises(UsageError, match="layout=hwc is none of nhwc"):
        load_dataset(f"arrays,layout=hwc:{path}")
