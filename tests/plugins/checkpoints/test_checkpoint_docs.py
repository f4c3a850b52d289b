"""The tables of the documentation name what exists, and leave nothing out."""

import re

from sslaudit_checkpoints.projects import PROJECTS
from tests.conftest import ROOT
from tests.plugins.checkpoints import (
    layouts_conv_contrastive,
    layouts_conv_distilled,
    layouts_conv_frameworks,
    layouts_conv_pretext,
)
from tests.plugins.checkpoints.layouts_conv import LAYOUTS

TEXT = (ROOT / "plugins" / "sslaudit_checkpoints" / "README.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")] for line in TEXT.splitlines() if line[:1] == "|"
]
WRITTEN_BY = (layouts_conv_contrastive, layouts_conv_distilled, layouts_conv_frameworks, layouts_conv_pretext)


def test_every_proof_exists() -> None:
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[-1])}
    files = {path.stem: path.read_text() for path in (ROOT / "tests" / "plugins").rglob("test_*.py")}
    functions = {name for text in files.values() for name in re.findall(r"def (test_\w+)", text)}
    assert named <= files.keys() | functions | LAYOUTS.keys()
    assert len(named) > 40


def test_every_project_and_layout_is_listed() -> None:
    for project in PROJECTS:
        assert project.source.split(" ")[0] in TEXT or project.title in TEXT, project.name
    assert not [name for name in LAYOUTS if f"`{name}`" not in TEXT]
