"""Flags of ``evaluate``: trust, partial loads, given preprocessing, the projection, several encoders."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from sslaudit import EncoderError, UsageError, read_card
from sslaudit.cli.options import Interpolation, read_override, with_flags
from sslaudit.comparison import paired_difference
from sslaudit.encoder import Override
from sslaudit.errors import CardError, EncoderNotFound, RefError
from sslaudit.refs import EncoderRef
from sslaudit.registry import Registry
from sslaudit.report.sources import source_table
from sslaudit.report.terminal import console
from sslaudit.sources import resolve_all
from sslaudit.specs import Source
from tests.conftest import ROOT, Run

SCHEMA = json.loads((ROOT / "registry" / "schema" / "report-card-1.json").read_text())
KNN = ("--data", "digits", "--max-images", "200", "--metrics", "knn")


@pytest.fixture
def evaluate(run_here: Run) -> Callable[..., object]:
    return lambda *args: run_here("evaluate", *args)


def flagged(registry: Registry, *refs: str, **wanted: bool) -> list[str]:
    every = {"allow_partial": False, "trust_pickle": False, "trust_remote_code": False}
    return [str(ref) for ref in with_flags([EncoderRef.parse(r) for r in refs], registry, **every | wanted)]


def test_a_flag_is_an_option_of_every_reference_that_takes_it(stub_registry: Registry) -> None:
    refs = ("stub:a", "plain:b", "untrained,seed=2:stub:c", "stub,allow-partial=no:d")
    assert flagged(stub_registry, *refs) == list(refs)
    assert flagged(stub_registry, *refs, allow_partial=True) == [
        "stub,allow-partial=yes:a",
        "plain:b",
        "untrained,seed=2:stub,allow-partial=yes:c",
        "stub,allow-partial=no:d",
    ]
    both = flagged(stub_registry, "stub:a", trust_pickle=True, trust_remote_code=True)
    assert both == ["stub,trust-pickle=yes,trust-remote-code=yes:a"]


@pytest.mark.parametrize("flag", ["allow_partial", "trust_pickle", "trust_remote_code"])
def test_a_flag_for_nothing_is_refused(stub_registry: Registry, flag: str) -> None:
    with pytest.raises(UsageError, match=rf"--{flag.replace('_', '-')} is for nothing here: 'plain:b'"):
        flagged(stub_registry, "plain:b", **{flag: True})


@pytest.mark.parametrize("flag", ["trust_pickle", "trust_remote_code"])
def test_trust_is_given_to_one_file(stub_registry: Registry, flag: str) -> None:
    name = flag.replace("_", "-")
    with pytest.raises(UsageError) as caught:
        flagged(stub_registry, "stub:a", "plain:c", "stub:b", **{flag: True})
    assert f"--{name} trusts one file, and 2 are named" in str(caught.value)
    assert f"stub,{name}=yes:a" in str(caught.value)
    control = flagged(stub_registry, "stub:a", "untrained:stub:a", **{flag: True})
    assert control == [f"stub,{name}=yes:a", f"untrained:stub,{name}=yes:a"]


def test_what_is_given_of_preprocessing_is_read() -> None:
    assert read_override(None, None, None, None, None) == Override()
    given = read_override("64x48", "0.5", "0.1,0.2,0.3", Interpolation.bicubic, 0.9)
    assert given == Override(
        size=(64, 48), mean=(0.5,) * 3, std=(0.1, 0.2, 0.3), interpolation="bicubic", crop=0.9
    )
    assert read_override("64", None, None, None, None).size == (64, 64)


@pytest.mark.parametrize("size", ["", "x", "12x", "-3", "1.5", "8x8x8", "999999"])
def test_a_text_that_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(UsageError, match="--size 224"):
        read_override(size, None, None, None, None)


@pytest.mark.parametrize("numbers", ["", "a", "1,2", "1,2,3,4", "nan", "1,inf,1", "1,,1"])
def test_a_text_that_is_no_channels_is_refused(numbers: str) -> None:
    with pytest.raises(UsageError, match=r"--mean 0\.5"):
        read_override(None, numbers, None, None, None)


def test_a_partial_load_is_scored_branded_and_not_compared(evaluate: Run, tmp_path: Path) -> None:
    done = evaluate("stub:partial", "stub:whole", *KNN, "--allow-partial", "--no-anchors")
    assert done.returncode == 1, done.stderr
    shown = " ".join(done.stdout.split())
    assert (
        "PARTIAL only 2 of 3 backbone tensors loaded; fresh: layer3.1.bn2.weight; from 'teacher' of "
        "the file; also in the file: student (key=student) CHECKS" in shown
    )
    assert "NOT LOADED" not in shown
    assert shown.count("ACCURACY") == 1
    assert max(map(len, done.stdout.splitlines())) <= 80
    partial, whole = (
        tmp_path / "reports" / f"stub-allow-partial-yes-{name}" for name in ("partial", "whole")
    )
    record = json.loads((partial / "card.json").read_text())
    jsonschema.validate(record, SCHEMA)
    assert record["encoder"]["load"]["missing"] == ["layer3.1.bn2.weight"]
    assert record["checks"][0] == {
        "name": "load",
        "status": "fail",
        "message": "only 2 of 3 backbone tensors loaded; fresh: layer3.1.bn2.weight",
    }
    assert record["metrics"][0]["value"] > 0.3
    assert "<dt>PARTIAL</dt>" in (partial / "card.html").read_text()
    with pytest.raises(CardError, match="failed its check 'load': only 2 of 3"):
        paired_difference(read_card(whole), read_card(partial), "knn")


def test_given_preprocessing_wins_is_recorded_and_has_its_own_features(evaluate: Run, tmp_path: Path) -> None:
    args = ("stub:whole", "untrained:stub:whole", *KNN, "--no-anchors", "--cache", "features")
    assert evaluate(*args).returncode == 0
    done = evaluate(*args, "--mean", "0", "--std", "1", "--size", "16")
    assert done.returncode == 0, done.stderr
    assert "from the cache" not in done.stderr
    for name in ("stub-whole", "untrained-stub-whole"):
        card = json.loads((tmp_path / "reports" / name / "card.json").read_text())
        preprocess = card["encoder"]["preprocess"]
        assert (preprocess["mean"], preprocess["std"]) == ([0, 0, 0], [1, 1, 1])
        assert preprocess["size"] == [16, 16]
        assert preprocess["source"] == "stub, size, mean and std given"
        assert card["provenance"]["command"].endswith("--mean 0 --std 1 --size 16")


def test_a_size_that_does_not_fit_is_one_clear_error(evaluate: Run, tmp_path: Path) -> None:
    done = evaluate("stub:fixed", *KNN, "--size", "16")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: 'stub:fixed' cannot take images of 16 x 16: ")
    assert done.stderr.endswith("It takes 8 x 8; leave out --size.\n")
    assert not (tmp_path / "reports").exists()


def test_offline_is_said_before_any_plugin_is_imported(run: Run, stubs: dict[str, str]) -> None:
    done = run("evaluate", "stub:whole", "--offline", env=stubs)
    assert done.returncode == 2, done.stderr
    assert "hub at import 1 1" in " ".join(done.stdout.split())


def test_projections_are_scored_in_their_own_space(evaluate: Run, tmp_path: Path) -> None:
    args = ("stub:projector", "--data", "digits", "--max-images", "200", "--metrics", "knn,alignment")
    assert evaluate(*args).returncode == 0
    done = evaluate(*args, "--space", "projection")
    assert done.returncode == 0, done.stderr
    assert "how good (projection z; higher is better)" in done.stdout
    assert "why (projection z, unit norm" in done.stdout
    assert "on projection z" in done.stdout
    folders = (tmp_path / "reports" / f"stub-projector{suffix}" for suffix in ("", "-projection"))
    cards = [json.loads((folder / "card.json").read_text()) for folder in folders]
    for card in cards:
        jsonschema.validate(card, SCHEMA)
    embedded, projected = (
        {(m["name"], m["space"]): m["value"] for m in card["metrics"] if not m["minor"]} for card in cards
    )
    both = {("alignment", "embedding"), ("alignment", "projection")}
    assert set(embedded) == {("knn", "embedding")} | both
    assert set(projected) == {("knn", "projection"), ("alignment", "projection")}
    at = ("alignment", "projection")
    assert embedded[at] == pytest.approx(projected[at], rel=1e-6)
    assert embedded[at] != embedded["alignment", "embedding"]
    assert (
        "projection z; higher is better"
        in (tmp_path / "reports" / "stub-projector-projection" / "card.html").read_text()
    )


def test_without_a_projector_the_projection_is_refused(evaluate: Run, tmp_path: Path) -> None:
    done = evaluate("stub:whole", *KNN, "--space", "projection")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: 'stub:whole' has no projector, and --space projection scores what one gives. "
        "Leave --space out to score the embeddings.\n"
    )
    assert not (tmp_path / "reports").exists()


def test_several_encoders_are_announced_before_any_is_loaded(evaluate: Run, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"x" * 2_000)
    done = evaluate("stub:whole", "stub:big", "stub:pickle", "plain:last.pt", *KNN)
    assert done.returncode == 1
    lines = [line.rstrip() for line in done.stderr.splitlines()]
    assert [line.split() for line in lines[:9]] == [
        ["reference", "revision", "size", "to", "fetch", "licence", "access"],
        ["stub:whole", "01234567", "44.7", "MB", "-", "apache-2.0"],
        ["org/whole"],
        ["stub:big", "01234567", "1.2", "GB", "1.2", "GB", "apache-2.0", "gated"],
        ["org/big"],
        ["stub:pickle", "01234567", "44.7", "MB", "-", "apache-2.0"],
        ["org/pickle"],
        ["plain:last.pt", "2", "kB", "-"],
        ["to", "download:", "1.2", "GB", "in", "total"],
    ]
    assert lines[-1] == "error: opening 'pickle' would run code."


def test_the_table_of_sources_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    long = Source(
        name="a-long-organisation/a-very-long-repository-name-v2.0",
        revision="0123456789abcdef",
        bytes=999_900_000,
        to_fetch=999_900_000,
        licence="cc-by-nc-sa-4.0-and-more",
        gated=True,
    )
    console().print(source_table(["hf:short@main", "timm:" + "x" * 90], [long, long]))
    lines = capsys.readouterr().out.splitlines()
    assert all(line.rstrip().endswith("gated") for line in (lines[1], lines[3]))
    assert max(map(len, lines)) <= 80
    console().print(source_table(["x"], [Source(name="x", bytes=5)]))
    assert capsys.readouterr().out.splitlines()[-1] == "to download: nothing"


def test_all_that_cannot_be_had_is_listed_before_any_work(evaluate: Run, tmp_path: Path) -> None:
    done = evaluate("stub:whole", "stub:gone1", "plain:./missing.pt", "stub:gone2", *KNN)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "error: 3 of 4 encoders cannot be had:",
        "  the hub has no repository 'gone1'.",
        "  there is no such file: './missing.pt'.",
        "  the hub has no repository 'gone2'.",
    ]
    assert not (tmp_path / "reports").exists()


def test_one_failure_keeps_its_kind_and_many_stay_readable(stub_registry: Registry) -> None:
    def resolve(*refs: str) -> None:
        resolve_all([EncoderRef.parse(ref) for ref in refs], stub_registry)

    with pytest.raises(EncoderNotFound, match="'gone'"):
        resolve("stub:a", "stub:gone")
    with pytest.raises(RefError, match="no encoder"):
        resolve("stub:a", "untrained:resnet18")
    with pytest.raises(EncoderError) as caught:
        resolve(*(f"stub:gone{i}" for i in range(20)))
    assert len(str(caught.value).splitlines()) == 10
    assert str(caught.value).endswith("and 12 more")
