"""What a fresh interpreter imports, and what ``import sslaudit`` offers."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sslaudit
from sslaudit.cli.listing import Kind

HEAVY = (
    *("torch", "torchvision", "numpy", "scipy", "sklearn", "timm", "pandas", "pyarrow"),
    *("PIL", "safetensors", "huggingface_hub", "jinja2"),
)
PROGRAM = """
import sys
try:
    exec(sys.argv.pop(1))
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def loaded_by(code: str, *args: str) -> set[str]:
    """Top-level packages in ``sys.modules`` after ``code`` ran in a fresh interpreter."""
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, code, *args], capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.rpartition("LOADED ")[2].split())


def test_the_probe_sees_a_heavy_import() -> None:
    assert "numpy" in loaded_by("import sslaudit; sslaudit.Features")


@pytest.mark.parametrize(
    "code",
    ["import sslaudit; dir(sslaudit)", "from sslaudit import hookimpl, MetricSpec, RefError, Estimate"],
)
def test_import_is_light(code: str) -> None:
    loaded = loaded_by(code)
    assert "sslaudit" in loaded
    assert not loaded & {*HEAVY, "pydantic", "rich", "typer"}


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["--version"],
        ["evaluate", "--help"],
        ["train", "--help"],
        ["plugins"],
        ["plugins", "--json"],
        *(["list", kind] for kind in map(str, Kind)),
    ],
    ids=" ".join,
)
def test_a_command_that_only_lists_loads_no_array_library(command: list[str]) -> None:
    # typer itself imports pydantic where it is installed, so that one may be there.
    loaded = loaded_by("from sslaudit.cli import main; main()", *command)
    assert "typer" in loaded
    assert not loaded & set(HEAVY)


def test_all_is_what_resolves() -> None:
    assert sslaudit.__all__ == sorted(set(sslaudit.__all__))
    assert dir(sslaudit) == sslaudit.__all__
    for name, module in sslaudit._HOME.items():
        assert getattr(sslaudit, name) is getattr(import_module(module), name)


def test_all_is_what_type_checkers_see() -> None:
    tree = ast.parse(Path(sslaudit.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        (name,) = node.names
        assert name.name == name.asname  # `import X as X` is what makes a name public to type checkers
        seen[name.name] = node.module
    assert seen == sslaudit._HOME


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sslaudit' has no attribute 'evalute'"):
        sslaudit.evalute  # noqa: B018
