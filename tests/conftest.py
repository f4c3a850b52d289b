"""What many tests share: the program as a subprocess, small folders of images, a cache of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslaudit.cli import main
from sslaudit.data import Dataset
from sslaudit.host import Plugin
from sslaudit.registry import Registry, installed
from tests import stub_plugin

ROOT = Path(__file__).parent.parent

Run = Callable[..., subprocess.CompletedProcess[str]]


NO_BROWSER = "no browser: chromium, chromium-browser and google-chrome are not on PATH"


def chromium() -> str | None:
    """The Chromium of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that is marked ``gpu`` or ``browser`` is skipped where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if item.get_closest_marker("browser") and chromium() is None:
        pytest.skip(NO_BROWSER)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last lines say when no page was opened."""
    skipped = terminalreporter.stats.get("skipped", [])
    unopened = sum(NO_BROWSER in str(report.longrepr) for report in skipped)
    if unopened:
        terminalreporter.write_line(
            f"{unopened} browser tests DID NOT RUN, so no page was opened: install chromium and run again.",
            yellow=True,
        )


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Features of a test never come from the user's cache, nor from another test's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SSLAUDIT_CACHE", str(folder))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("evaluate", "x.pt")``: the program in a process of its own, in ``tmp_path``."""

    def call(
        *args: str, env: dict[str, str] | None = None, **kwargs: object
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sslaudit", *args],
            capture_output=True,
            text=True,
            cwd=kwargs.pop("cwd", tmp_path),
            env={**os.environ, "COLUMNS": "80", **(env or {})},
            timeout=300,
            check=False,
            **kwargs,
        )

    return call


def make_photos(folder: Path, *, classes: int = 3, each: int = 12, size: int = 24, seed: int = 0) -> Path:
    """A folder of PNGs, one folder for each class; a class has its own colour and stripes."""
    rng = np.random.default_rng(seed)
    for k in range(classes):
        (folder / f"class{k}").mkdir(parents=True)
        colour = rng.uniform(60, 200, 3)
        for i in range(each):
            waves = 40 * np.sin(np.arange(size) * (k + 1) * 0.6 + rng.uniform(0, 6))
            pixels = colour + waves[None, :, None] + rng.normal(0, 12, (size, size, 3))
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(
                folder / f"class{k}" / f"{i:03d}.png"
            )
    return folder


def levels(data: Dataset) -> list[int]:
    """The level of the first pixel of each image."""
    return [int(data.read(i)[0, 0, 0]) for i in range(len(data))]


def kinds(data: Dataset) -> list[str]:
    """The name of the class of each image."""
    assert data.labels is not None
    return [data.classes[label] for label in data.labels]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of twelve small images."""
    return make_photos(tmp_path / "photos")


@pytest.fixture
def stubs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the encoders of ``tests.stub_plugin`` are installed."""
    site = tmp_path_factory.mktemp("site")
    about = site / "dist_stub-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: dist-stub\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[sslaudit]\nstub = tests.stub_plugin\n")
    paths = (str(site), str(ROOT), os.environ.get("PYTHONPATH"))
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.fixture
def run_here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    stub_registry: Registry,
) -> Run:
    """As ``run``, in this process, which has the heavy imports behind it, and with the stubs installed."""

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "argv", ["sslaudit", *args])
        for module in ("cli.guard", "loading"):
            monkeypatch.setattr(f"sslaudit.{module}.installed", lambda: stub_registry)
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr()
        return subprocess.CompletedProcess(args, int(end.value.code or 0), said.out, said.err)

    return call


@pytest.fixture(scope="session")
def stub_registry() -> Registry:
    """What is installed, and the encoders of ``tests.stub_plugin`` beside it."""
    offers = {"encoders": list(stub_plugin.sslaudit_encoders())}
    stub = Plugin(name="stub", distribution="stub", version="1", offers=offers)
    return Registry([*installed().plugins, stub])
