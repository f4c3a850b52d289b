"""``sslaudit inspect`` as a user runs it: the page, its JSON, its exit codes."""

import json
from collections.abc import Callable

import jsonschema
import pytest

from tests.conftest import ROOT, Run

SCHEMA = json.loads((ROOT / "registry" / "schema" / "inspect-1.json").read_text())


@pytest.fixture
def inspect(run_here: Run) -> Callable[..., object]:
    return lambda *args: run_here("inspect", *args)


def test_the_page_says_what_matters_first_and_all_the_rest(run: Run, stubs: dict[str, str]) -> None:
    done = run("inspect", "stub:projector", env=stubs)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].strip() == "stub:projector"
    assert lines[1].split(maxsplit=1) == ["LOADED", "all 3 backbone tensors of Stub-8"]
    page = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in lines[2:] if "  " in line.strip()}
    digest = page.pop("digest")
    assert page == {
        "file": "PyTorch checkpoint, 44.7 MB",
        "branch": "teacher",
        "also there": "student (key=student)",
        "matched": "3 of 3 backbone tensors",
        "prefix": "'module.backbone.' removed from every name",
        "renamed": "'norm' is written 'bn'",
        "left out": "head (4 tensors), optimizer state",
        "encoder": "Stub-8, 16-d, 3,088 parameters",
        "projector": "to 4-d, for --space projection",
        "hub at import": "None None",
        "licence": "apache-2.0",
        "stem": "none",
        "input": "8 x 8, bilinear, centre crop 1",
        "normalised": "mean 0.485, 0.456, 0.406; std 0.229, 0.224, 0.225",
        "from": "stub",
        "ASSUMED": "the stem is that of small images",
    }
    assert len(digest) == 64
    assert max(map(len, lines)) <= 80


def test_json_is_strict_valid_and_says_the_same(inspect: Run) -> None:
    done = inspect("stub:projector", "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout, parse_constant=lambda constant: pytest.fail(constant))
    jsonschema.validate(found, SCHEMA)
    assert (found["status"], found["projection"], found["warnings"]) == ("loaded", 4, [])
    assert found["encoder"]["load"]["others"] == ["student (key=student)"]
    assert found["encoder"]["preprocess"]["source"] == "stub"


def test_a_partial_load_is_branded_and_exits_1(inspect: Run) -> None:
    done = inspect("stub:partial", "--allow-partial")
    assert done.returncode == 1
    sentence = "only 2 of 3 backbone tensors loaded; fresh: layer3.1.bn2.weight (Stub-8)"
    shown = " ".join(done.stdout.split())
    assert f"PARTIAL {sentence}" in shown
    assert "fresh layer3.1.bn2.weight" in shown
    assert max(map(len, done.stdout.splitlines())) <= 80
    found = json.loads(inspect("stub,allow-partial=yes:partial", "--json").stdout)
    assert (found["status"], found["summary"]) == ("partial", sentence)


def test_weights_that_did_not_load_give_no_page(inspect: Run) -> None:
    for args in (["stub:partial"], ["stub:partial", "--json"]):
        done = inspect(*args)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "error: the weights of 'partial' did not load: matched 2 of 3 tensors.\n"


def test_of_several_the_others_are_still_shown(inspect: Run) -> None:
    done = inspect("plain:whole", "plain:partial", "plain:fixed")
    assert done.returncode == 1
    assert done.stdout.count("LOADED") == 2
    assert done.stderr == "error: the weights of 'partial' did not load: matched 2 of 3 tensors.\n"
    done = inspect("plain:whole", "plain:fixed", "--json")
    assert [one["encoder"]["ref"] for one in json.loads(done.stdout)] == ["plain:whole", "plain:fixed"]


def test_what_was_trusted_is_said(inspect: Run) -> None:
    done = inspect("stub:pickle", "--trust-pickle")
    assert done.returncode == 0
    assert "WARNING opened with trust-pickle=yes" in " ".join(done.stdout.split())
    assert json.loads(inspect("stub,trust-pickle=yes:pickle", "--json").stdout)["warnings"]


def test_overrides_are_shown_with_their_source(inspect: Run) -> None:
    done = inspect("stub:whole", "--size", "16x12", "--mean", "0.5", "--std", "0.25,0.5,0.5", "--crop", "0.9")
    assert done.returncode == 0, done.stderr
    assert "16 x 12, bilinear, centre crop 0.9" in done.stdout
    assert "mean 0.5, 0.5, 0.5; std 0.25, 0.5, 0.5" in done.stdout
    assert "stub, size, mean, std and crop given" in done.stdout


def test_the_control_says_that_it_is_one(inspect: Run) -> None:
    done = inspect("untrained,seed=3:stub:whole")
    assert "Stub-8 with fresh weights (untrained, seed 3): a control" in done.stdout
