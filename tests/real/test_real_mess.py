"""A real messy folder: a run that ends, and says what was left out and why."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run


@pytest.mark.slow
@pytest.mark.network
def test_a_messy_folder_is_audited_and_what_was_skipped_is_listed(
    run: Run, openclipart: Path, tmp_path: Path
) -> None:
    before = {file: file.lstat().st_mtime_ns for file in openclipart.rglob("*")}
    done = run(
        *("evaluate", "untrained:timm:mobilenetv2_050", "--data", str(openclipart / "png")),
        *("--size", "32", "--views", "2", "--metrics", "knn,alignment"),
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    (path,) = tmp_path.glob("reports/*/card.json")
    data = json.loads(path.read_text())["data"]
    found = sum(file.is_file() and file.suffix == ".png" for file in openclipart.rglob("*"))
    skipped = {entry["reason"]: entry["count"] for entry in data["skipped"]}
    assert data["images"] > 7000
    assert found == data["images"] + sum(skipped.values()), skipped
    assert any("decompression bomb" in reason for reason in skipped)
    for reason in skipped:
        assert reason.split("(")[0].strip()[:40] in " ".join(done.stdout.split())
    assert {file: file.lstat().st_mtime_ns for file in openclipart.rglob("*")} == before
