"""Data sets of torchvision, from files written here in its layouts; none is downloaded."""

import hashlib
import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from scipy.io import savemat
from torchvision.datasets import CIFAR10, SVHN

from sslaudit.data import Dataset
from sslaudit.data.torchvision_sets import SETS, open_torchvision
from sslaudit.errors import DataError, DataNotFound, RefError
from sslaudit.refs import DataRef

GRAY = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
KINDS = np.arange(30, dtype=np.uint8) % 10


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``--offline`` sets it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def opened(name: str, **options: str) -> Dataset:
    return open_torchvision(DataRef("torchvision", name, tuple(options.items())))


def idx(path: Path, array: np.ndarray) -> None:
    """An array in the format of MNIST: magic number, sizes, bytes."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + array.tobytes())


def fashion(root: Path) -> Path:
    for name, part in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        idx(root / "FashionMNIST" / "raw" / f"{name}-images-idx3-ubyte", GRAY[part])
        idx(root / "FashionMNIST" / "raw" / f"{name}-labels-idx1-ubyte", KINDS[part])
    return root


def test_train_and_test_of_idx_files(tmp_path: Path) -> None:
    data = opened("FashionMNIST", root=str(fashion(tmp_path)))
    assert (len(data.train), len(data.test)) == (20, 10)
    assert len(data.classes) == 10
    assert "Ankle boot" in data.classes
    assert data.labels is not None
    assert data.classes[data.labels[9]] == "Ankle boot"
    assert np.array_equal(np.stack([data.read(i)[..., 1] for i in range(30)]), GRAY)
    assert data.ids[20] == "test/0"


def test_the_cache_is_looked_in_and_case_is_not_minded(own_cache: Path) -> None:
    fashion(own_cache / "datasets")
    assert len(opened("fashionmnist")) == 30


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_splits_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (32, 32, 3, 10), dtype=np.uint8)
    lists = {}
    for split in ("train", "test", "extra"):
        path = tmp_path / f"{split}_32x32.mat"
        savemat(path, {"X": colour, "y": np.arange(1, 11, dtype=np.uint8)[:, None]})
        lists[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", lists)
    data = opened("SVHN", root=str(tmp_path))
    assert (len(data.train), len(data.test)) == (10, 10)
    assert np.array_equal(data.read(3), colour[..., 3])
    assert len(opened("SVHN", root=str(tmp_path), test="extra").test) == 10
    with pytest.raises(RefError, match="Unknown value 'dev'"):
        opened("SVHN", root=str(tmp_path), test="dev")


def test_fake_data_has_no_splits() -> None:
    with pytest.raises(RefError, match="train= cannot choose one"):
        opened("FakeData", train="a")


# Pickles


def cifar(root: Path, monkeypatch: pytest.MonkeyPatch, change: bytes = b"") -> Path:
    """CIFAR-10 with one image a batch, its checksums those of the files written here."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def put(name: str, content: object) -> str:
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    planes = np.arange(3072, dtype=np.uint32).astype(np.uint8)[None]
    batches = [f"data_batch_{i}" for i in range(1, 6)]
    sums = [[name, put(name, {"data": planes, "labels": [i]})] for i, name in enumerate(batches)]
    monkeypatch.setattr(CIFAR10, "train_list", sums)
    monkeypatch.setattr(
        CIFAR10, "test_list", [["test_batch", put("test_batch", {"data": planes, "labels": [2]})]]
    )
    meta = {"label_names": list("abcdefghij")}
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": put("batches.meta", meta)})
    return root


def test_the_published_batches_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = opened("CIFAR10", root=str(cifar(tmp_path, monkeypatch)))
    assert (len(data.train), len(data.test)) == (5, 1)
    assert data.read(0)[0, 1].tolist() == [1, 1, 1], "planes, 1,024 bytes each"


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_another_pickle_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    root = cifar(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(_Payload()))
    with pytest.raises(DataError, match=f"{name}' is not the published file"):
        opened("CIFAR10", root=str(root))
    assert not (tmp_path / "ran").exists()


def test_torchvision_checks_before_it_unpickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the docstring of ``torchvision_sets`` says of the library itself."""
    root = cifar(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in ("data_batch_1", "batches.meta"):
        (root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(_Payload()))
        with pytest.raises(RuntimeError):
            CIFAR10(root, train=True)
    assert not (tmp_path / "ran").exists()


def test_no_other_set_here_opens_pickles() -> None:
    modules = {inspect.getmodule(getattr(torchvision.datasets, name)) for name in SETS} - {
        inspect.getmodule(CIFAR10)
    }
    for module in modules:
        source = inspect.getsource(module)  # type: ignore[arg-type]
        assert "pickle.load" not in source
        assert source.count("torch.load(") == source.count("weights_only=True")


# What cannot be had


def test_missing_files_offline(tmp_path: Path) -> None:
    for name in ("MNIST", "CIFAR10", "DTD", "STL10", "Caltech101", "EuroSAT", "GTSRB", "ImageNet"):
        with pytest.raises(DataNotFound) as caught:
            opened(name, root=str(tmp_path / name))
        assert f"'torchvision,root={tmp_path / name}:{name}'" in str(caught.value)
        assert f"are not below '{tmp_path / name}' and offline mode is on" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_the_files_that_are_looked_for_are_named(tmp_path: Path) -> None:
    for name, expected in (
        ("CIFAR10", "cifar-10-batches-py/data_batch_1"),
        ("MNIST", "MNIST/raw/train-images-idx3-ubyte"),
    ):
        with pytest.raises(DataNotFound, match=expected):
            opened(name, root=str(tmp_path))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    fashion(tmp_path)
    path = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        opened("FashionMNIST", root=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CIFAR", "There are: CIFAR10, CIFAR100"),
        ("fashion-mnist", "There are: FashionMNIST"),
        ("", "There are: CIFAR10"),
        ("VOCDetection", "gives no single label"),
        ("CocoCaptions", "gives no single label"),
        ("CelebA", "multi-label: 40 attributes"),
        ("ImageFolder", "name the folder itself"),
    ],
)
def test_a_name_that_cannot_be_used(name: str, said: str) -> None:
    with pytest.raises(RefError, match=said):
        opened(name)


def test_every_set_is_one_of_torchvision() -> None:
    assert set(SETS) <= set(torchvision.datasets.__all__)
