"""``sslaudit evaluate`` as a user runs it: in a process, with real files, its output read."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import sslaudit
from sslaudit.errors import UsageError
from sslaudit.named import read_suite
from sslaudit.report.card import read_card
from sslaudit.train.backbones import build_backbone
from tests.conftest import ROOT, Run, make_photos

SCHEMA = json.loads((ROOT / "registry" / "schema" / "report-card-1.json").read_text())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A ResNet-18 of random weights in a file, as any project saves one."""
    path = tmp_path / "model.pt"
    torch.save(build_backbone("resnet18", seed=0).state_dict(), path)
    return path


def evaluate(run: Run, *args: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return run("evaluate", *args, **kwargs)


SMALL = ("--views", "3", "--batch-size", "16")


def test_the_card_says_what_it_must_and_validates(
    run_here: Run, photos: Path, model: Path, tmp_path: Path
) -> None:
    done = evaluate(run_here, "file,size=32:model.pt", "--data", "photos", *SMALL)
    assert done.returncode == 0, done.stderr
    for word in ("LOADED", "HEALTHY", "NOT ABOVE CONTROL", "kNN", "view spread", "centre overlap", "ASSUMED"):
        assert word in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    folder = tmp_path / "reports" / "file-size-32-model.pt"
    card = json.loads((folder / "card.json").read_text())
    jsonschema.validate(card, SCHEMA)
    assert card["data"]["images"] == 36
    assert card["data"]["views"] == 3
    assert card["encoder"]["load"]["matched"] == card["encoder"]["load"]["expected"] == 120
    assert card["provenance"]["batch_size"] == 16
    table = pq.read_table(folder / "samples.parquet").to_pydict()
    assert len(table["id"]) == 36
    assert {"knn/correct", "alignment/alignment"} <= set(table)
    assert "<title>" in (folder / "card.html").read_text()


def test_twice_is_byte_equal_and_reads_the_cache(
    run_here: Run, photos: Path, model: Path, tmp_path: Path
) -> None:
    def once() -> tuple[dict[str, object], str]:
        done = evaluate(
            run_here, "file,size=32:model.pt", "--data", "photos", *SMALL, "--metrics", "knn,alignment"
        )
        assert done.returncode == 0, done.stderr
        card = json.loads((tmp_path / "reports" / "file-size-32-model.pt" / "card.json").read_text())
        del card["provenance"]
        for metric in card["metrics"]:
            del metric["seconds"]
        return card, done.stderr

    first, said_first = once()
    second, said_second = once()
    assert json.dumps(first) == json.dumps(second)
    assert "read from the cache" not in said_first
    assert "108 of 108 views read from the cache" in said_second


def features(cache: Path) -> dict[str, bytes]:
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.rglob("part-*.npy"))}


def test_workers_do_not_change_a_byte_and_batch_sizes_hardly_do(
    run_here: Run, photos: Path, model: Path, tmp_path: Path
) -> None:
    def extract(name: str, batch: str, workers: str) -> dict[str, bytes]:
        cache = tmp_path / name
        done = evaluate(
            run_here, "file,size=32:model.pt", "--data", "photos", "--views", "3", "--metrics", "alignment",
            "--no-anchors", "--batch-size", batch, "--workers", workers, "--cache", str(cache), "--overwrite",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return features(cache)

    alone, threads, other = extract("a", "8", "0"), extract("b", "8", "2"), extract("c", "5", "0")
    assert alone == threads
    assert set(alone) != set(other)
    (one,), (two,) = (  # beside them lie the identity views that the check of the normalisation took
        [part for path in (tmp_path / name).rglob("part-*.npy") if (part := np.load(path)).shape[1] == 3]
        for name in ("a", "c")
    )
    assert np.abs(one - two).max() <= 1e-5 * np.abs(one).max()


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path: Path, model: Path) -> None:
    make_photos(tmp_path / "many", classes=2, each=300)
    command = [
        sys.executable, "-m", "sslaudit", "evaluate", "file,size=32:model.pt", "--data", "many",
        "--views", "2", "--metrics", "alignment", "--no-anchors", "--cache",
    ]  # fmt: skip
    whole = tmp_path / "whole"
    subprocess.run([*command, str(whole)], cwd=tmp_path, capture_output=True, check=True)
    for how in (signal.SIGKILL, signal.SIGINT):
        cache = tmp_path / how.name
        process = subprocess.Popen([*command, str(cache)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        while not list(cache.rglob("part-*.npy")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
        done_before = len(list(cache.rglob("part-*.npy")))
        assert 1 <= done_before < 3, "stopped between the first part and the last"
        if how is signal.SIGINT:
            assert process.returncode == 130
            assert "interrupted." in said
            assert "goes on where it stopped" in said
            assert "Traceback" not in said
        again = subprocess.run(
            [*command, str(cache)], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert f"{done_before * 512:,} of 1,200 views read from the cache" in again.stderr
        assert features(cache) == features(whole)


def test_without_data_nothing_is_scored(run_here: Run, model: Path, tmp_path: Path) -> None:
    done = evaluate(run_here, "model.pt")
    assert done.returncode == 2
    assert "120 of 120 backbone tensors" in done.stdout
    line = next(line for line in done.stderr.splitlines() if "--data" in line and "evaluate" in line)
    assert line.strip() == "sslaudit evaluate model.pt --data digits"
    assert not (tmp_path / "reports").exists()


def test_one_class_is_no_error(run_here: Run, model: Path, tmp_path: Path) -> None:
    make_photos(tmp_path / "one", classes=1)
    done = evaluate(run_here, "file,size=32:model.pt", "--data", "one", *SMALL)
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "reports" / "file-size-32-model.pt" / "card.json").read_text())
    by_name = {metric["name"]: metric for metric in card["metrics"]}
    for name in ("knn", "nearest-centre", "few-shot", "divergence"):
        assert by_name[name]["verdict"] == "not-applicable"
        assert "one class only" in by_name[name]["reason"]
    assert by_name["alignment"]["value"] is not None


def test_unlabelled_images_are_no_error(run_here: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, path in enumerate(sorted(photos.rglob("*.png"))):
        shutil.copy(path, flat / f"{i}.png")
    done = evaluate(run_here, "file,size=32:model.pt", "--data", "flat", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "the data has no labels" in done.stdout


BAD = {
    "no such file": (["missing.pt", "--data", "photos"], "there is no such file: 'missing.pt'"),
    "empty folder": (["model.pt", "--data", "empty"], "'empty' holds no image"),
    "no such folder": (["model.pt", "--data", "phots"], "there is no folder 'phots'"),
    "unknown scheme": (["tim:resnet18", "--data", "photos"], "Did you mean 'timm'"),
    "bare name": (["resnet18", "--data", "photos"], "timm:resnet18"),
    "unknown data scheme": (["model.pt", "--data", "foldr:photos"], "Did you mean 'folder'"),
    "unknown metric": (["model.pt", "--data", "photos", "--metrics", "knm"], "Did you mean 'knn'"),
    "unknown option": (["model.pt", "--data", "photos", "--metrics", "knn(j=3)"], "no option 'j'"),
    "bad option value": (
        ["model.pt", "--data", "photos", "--metrics", "knn(k=some)"],
        "k=some is not a whole",
    ),
    "option too small": (["model.pt", "--data", "photos", "--metrics", "knn(k=0)"], "k=0 is below 1"),
    "unknown recipe": (["model.pt", "--data", "photos", "--recipe", "simclrr"], "simclr"),
    "text file": (["notes.pt", "--data", "photos"], "is a text file"),
    "unwritable output": (
        ["model.pt", "--data", "photos", "--output", "notes.pt"],
        "cannot write to --output",
    ),
    "output below a file": (["model.pt", "--data", "photos", "--output", "notes.pt/x"], "cannot write"),
    "no device": (["model.pt", "--data", "photos", "--device", "abacus"], "--device abacus"),
    "no views": (["model.pt", "--data", "photos", "--views", "0"], "--views 0"),
    "no images": (["model.pt", "--data", "photos", "--max-images", "0"], "--max-images 0"),
    "same twice": (["model.pt", "model.pt", "--data", "photos"], "named twice"),
    "hub or file": (["facebook/dinov2-base", "--data", "photos"], "hf:facebook/dinov2-base"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_answer(
    run_here: Run, photos: Path, model: Path, tmp_path: Path, case: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.pt").write_text("these are notes\n")
    args, said = BAD[case]
    before = sorted(tmp_path.rglob("*"))
    done = evaluate(run_here, *args)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 4
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before, "nothing is left behind"


def test_a_full_disk_leaves_no_half_card(tmp_path: Path, model: Path, photos: Path) -> None:
    """A file-size limit refuses the write in the middle, as a full disk does."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048));"
        "sys.argv = ['sslaudit', *sys.argv[1:]]; from sslaudit.cli import main; main()"
    )
    done = subprocess.run(
        [
            sys.executable, "-c", code, "evaluate", "file,size=32:model.pt", "--data", "photos",
            "--views", "2", "--metrics", "knn", "--no-anchors",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "error: cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("card.json"))
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_card_of_another_encoder_is_not_replaced(
    run_here: Run, photos: Path, model: Path, tmp_path: Path
) -> None:
    args = ("file,size=32:model.pt", "--data", "photos", "--metrics", "knn")
    assert evaluate(run_here, *args).returncode == 0
    make_photos(tmp_path / "others", seed=1)
    other = evaluate(run_here, "file,size=32:model.pt", "--data", "others", "--metrics", "knn")
    assert other.returncode == 1
    assert "holds the card of file,size=32:model.pt on photos" in other.stderr
    args = ("file,size=32:model.pt", "--data", "others", "--metrics", "knn", "--overwrite")
    assert evaluate(run_here, *args).returncode == 0


def test_json_on_stdout_is_strict(run_here: Run, photos: Path, model: Path) -> None:
    args = (
        "file,size=32:model.pt",
        "untrained,seed=1:model.pt",
        "--data",
        "photos",
        "--format",
        "json",
        *SMALL,
        "--metrics",
        "knn,divergence",
        "--no-anchors",
    )
    done = evaluate(run_here, *args)
    assert done.returncode == 0, done.stderr
    cards = json.loads(done.stdout, parse_constant=lambda constant: pytest.fail(constant))
    assert [card["encoder"]["ref"] for card in cards] == list(args[:2])
    assert cards[1]["encoder"]["facts"]["weights"] == "untrained, seed 1"


def test_a_collapsed_encoder_is_called_so(run_here: Run, photos: Path, tmp_path: Path) -> None:
    state = build_backbone("resnet18", seed=0).state_dict()
    torch.save({k: v * 0 if "conv" in k else v for k, v in state.items()}, tmp_path / "dead.pt")
    done = evaluate(run_here, "file,size=32:dead.pt", "--data", "photos", *SMALL)
    assert done.returncode == 1
    assert "COLLAPSED" in done.stdout
    assert "ACCURACY" not in done.stdout


def test_one_that_cannot_be_had_does_not_cost_the_others(run_here: Run, tmp_path: Path) -> None:
    torch.save(build_backbone("conv3", seed=0).state_dict(), tmp_path / "unknown.pt")
    torch.save({"w": torch.ones(2)}, tmp_path / "other.pt")
    model = tmp_path / "model.pt"
    torch.save(build_backbone("resnet18-cifar", seed=0).state_dict(), model)
    choices = (
        "--data",
        "digits",
        "--max-images",
        "40",
        "--views",
        "1",
        "--metrics",
        "knn",
        "--format",
        "json",
    )
    done = run_here("evaluate", "unknown.pt", "model.pt", "other.pt", *choices)
    assert done.returncode == 1
    assert json.loads(done.stdout)["encoder"]["ref"] == "model.pt"
    assert done.stderr.count("error: the weights of") == 2
    assert len(list((tmp_path / "reports").rglob("card.json"))) == 1


SUITE = """
kind = "audit"
name = "few-digits"
version = 3
summary = "some digits"
data = "digits"
{digest}
metrics = ["knn(k=3)", "alignment"]
recipe = "crop"
views = 2
seed = 5
max_images = 200
how_to_get = "They are embedded."
"""


def test_a_suite_chooses_and_is_named(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "few.toml").write_text(SUITE.format(digest=""))
    args = ("stub:x", "--suite", "few.toml", "--no-anchors")
    done = evaluate(run_here, *args)
    assert done.returncode == 0, done.stderr
    card = read_card(tmp_path / "reports" / "stub-x")
    assert card.suite == "few-digits-v3"
    assert {metric.term for metric in card.metrics} == {"knn(k=3)", "alignment"}
    assert (card.data.recipe, card.data.views, card.data.seed) == ("crop@1", 2, 5)
    assert (card.data.images, card.provenance.precision) == (200, "fp32")
    assert evaluate(run_here, *args).returncode == 0, "the same again"
    other = evaluate(run_here, "stub:x", "--data", "digits", "--metrics", "knn(k=3),alignment")
    assert "is of the suite few-digits-v3; write --overwrite" in other.stderr

    for text in ("--seed 0", "--metrics knn", "--views-mode bank", "--space projection"):
        option = text.split()
        done = evaluate(run_here, *args, *option)
        assert done.returncode == 2
        assert f"error: {option[0]} does not go with the suite 'few-digits'" in done.stderr
    suite = read_suite(str(tmp_path / "few.toml"))
    with pytest.raises(UsageError, match="--recipe does not go with the suite 'few-digits'"):
        sslaudit.evaluate("stub:x", suite=suite, recipe="simclr")
    with pytest.raises(UsageError, match="there are no data"):
        sslaudit.evaluate("stub:x")

    (tmp_path / "few.toml").write_text(SUITE.format(digest=f'digest = "{"0" * 64}"'))
    done = evaluate(run_here, *args, "--output", "others")
    assert done.returncode != 0
    assert "images of the suite 'few-digits': their digest is" in done.stderr
    assert not (tmp_path / "others").exists()
