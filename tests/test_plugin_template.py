"""A third-party plugin, end to end: built, installed beside the built wheel in a fresh environment, used."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``sslaudit`` in an environment that holds the two wheels and borrows only their dependencies."""
    folder = tmp_path_factory.mktemp("plugin")
    for source in (ROOT, ROOT / "examples" / "plugin-template"):
        command = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(folder),
            str(source),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=120)
    site = next((venv / "lib").glob("python3*/site-packages"))
    # The dependencies of this environment, behind the wheels' own folder: a plain path runs no .pth file,
    # so the checkout that is installed here in editable mode is not seen.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    wheels = [str(wheel) for wheel in folder.glob("*.whl")]
    assert len(wheels) == 2
    command = [str(venv / "bin" / "pip"), "install", "--quiet", "--no-deps", "--no-index", *wheels]
    subprocess.run(command, check=True, timeout=120)
    return venv / "bin" / "sslaudit"


def call(program: Path, cwd: Path, *args: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(program), *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_runs_from_the_wheel(program: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [str(program.with_name("python")), "-c", "import sslaudit; print(sslaudit.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert str(program.parent.parent) in where


def test_it_is_listed(program: Path, tmp_path: Path) -> None:
    plugins = {plugin["name"]: plugin for plugin in json.loads(call(program, tmp_path, "plugins", "--json"))}
    assert plugins["template"]["distribution"] == "sslaudit-template"
    assert plugins["template"]["status"] == "ok"
    assert plugins["template"]["offers"] == {
        "encoders": ["pooled"],
        "metrics": ["norms"],
        "methods": ["align-uniform"],
    }
    assert "norms" in call(program, tmp_path, "list", "metrics")


def test_what_has_a_name_is_in_the_wheel(program: Path, tmp_path: Path) -> None:
    assert "mobilenet-v2" in call(program, tmp_path, "list", "models")


def test_its_encoder_and_both_its_numbers_are_on_a_card(program: Path, tmp_path: Path) -> None:
    text = call(
        program, tmp_path, "evaluate", "pooled:4", "--data", "digits", "--max-images", "200",
        "--metrics", "norms(bins=20),knn", "--format", "json",
    )  # fmt: skip
    card = json.loads(text)
    metrics = {metric["name"]: metric for metric in card["metrics"]}
    assert {name for name, metric in metrics.items() if not metric["minor"]} == {
        "norms.mean",
        "norms.spread",
        "knn",
    }
    assert metrics["norms.mean"]["term"] == "norms(bins=20)"
    assert metrics["norms.mean"]["options"] == {"bins": 20}
    assert metrics["norms.mean"]["plugin"] == "sslaudit-template 0.1.0"
    assert metrics["norms.mean"]["interval"]["low"] < metrics["norms.mean"]["value"]
    assert metrics["norms.spread"]["no_interval"]
    (figure,) = metrics["norms.mean"]["figures"]
    assert figure["kind"] == "histogram"
    assert len(figure["counts"]) == 20
    assert sum(figure["counts"]) == 200


def test_its_method_trains_an_encoder(program: Path, tmp_path: Path) -> None:
    call(
        program, tmp_path, "train", "align-uniform(weight=0.5)", "--data", "digits", "--output", "mine.pt",
        "--size", "8", "--epochs", "1",
    )  # fmt: skip
    loaded = json.loads(call(program, tmp_path, "inspect", "--json", "mine.pt"))
    assert loaded["encoder"]["facts"]["method"] == "align-uniform(weight=0.5)"


def test_the_readme_names_every_field() -> None:
    """All fields of the spec dataclasses stand in plugins/README.md."""
    import dataclasses

    from sslaudit import encoder, results, specs

    readme = (ROOT / "plugins" / "README.md").read_text()
    kinds = [specs.EncoderScheme, specs.DatasetScheme, specs.MetricSpec, specs.RecipeSpec, specs.MethodSpec]
    kinds += [specs.Needs, specs.Option, results.Estimate, encoder.Encoder]
    for kind in kinds:
        section = readme.split(f"## `{kind.__name__}`")[1].split("\n## ")[0]
        for field in dataclasses.fields(kind):
            assert f"| `{field.name}` |" in section, f"{kind.__name__}.{field.name}"
