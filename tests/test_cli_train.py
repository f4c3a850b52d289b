"""``sslaudit train``: what it says, what it refuses before any work, and what it leaves behind."""

import csv
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sslaudit import load_encoder
from sslaudit.cli import train_progress
from sslaudit.cli.train_progress import EpochMeter, summary
from tests.conftest import Run

TINY = ("--data", "photos", "--size", "8", "--recipe", "crop(scale=0.6)+color", "--output", "run/last.pt")


def test_a_run_shows_its_epochs_and_says_what_it_came_to(run_here: Run, photos: Path, tmp_path: Path) -> None:
    args = (
        "--epochs",
        "2",
        "--online",
        "knn",
        "--keep-every",
        "1",
        "--optimiser",
        "lars",
        "--batch-size",
        "9",
    )
    done = run_here("train", "simclr(temperature=0.2)", *TINY, *args)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if " loss " in line]
    assert [line[: len("epoch 1 of 2")] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all(re.search(r"loss .* spread .* rank .* accuracy ", line) for line in lines)
    assert max(map(len, [*lines, *done.stdout.splitlines()])) <= 80
    assert re.fullmatch(
        r"(COLLAPSED: .*\n|.*collapse: .*\n)?"
        r"simclr\(temperature=0\.2\) with conv3: 2 epochs of 24 images, [\d,]+ images/s\n"
        r"loss +\d\.\d{4}, mean of the last epoch\n"
        r"spread +0\.\d\d of the embeddings: 0 where all are one, near 1 all around\n"
        r"rank +\d+\.\d, the directions that they fill, of 128\n"
        r"knn +\d+\.\d % right on training images: no score on unseen ones\n"
        r"wrote run/last\.pt; next: sslaudit evaluate run/last\.pt --data photos\n",
        done.stdout,
    ), done.stdout
    with (tmp_path / "run" / "last.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "3"), ("2", "6")]
    assert all(0 <= float(row["online_knn"]) <= 1 for row in rows)
    kept = {path.name for path in (tmp_path / "run").iterdir()} - {"last.tensorboard"}
    assert kept == {"last.pt", "last.csv", "last-epoch-0001.pt", "last-epoch-0002.pt"}
    header = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["sslaudit"]
    assert {name: header[name] for name in ("optimiser", "batch_size", "epochs", "epoch", "size")} == {
        **{"optimiser": "lars", "batch_size": 9, "epochs": 2, "epoch": 2, "size": 8}
    }
    assert load_encoder(tmp_path / "run" / "last.pt").dim == 128


def test_a_file_that_exists_is_kept_unless_it_is_said_otherwise(
    run_here: Run, photos: Path, tmp_path: Path
) -> None:
    args = ("train", "simclr", *TINY, "--epochs", "1")
    assert run_here(*args).returncode == 0
    file = tmp_path / "run" / "last.pt"
    before = file.read_bytes()
    again = run_here(*args, "--data", "nowhere")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("error: --output run/last.pt holds a run of simclr, 1 epochs; add --over")
    resumed = run_here(*args, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.startswith("wrote run/last.pt; next: sslaudit evaluate run/last.pt")
    both = run_here(*args, "--resume", "--overwrite")
    assert both.returncode == 2
    boosted = run_here("train", "pretext-boost", *TINY[:2], *TINY[-2:], "--encoder", "run/last.pt")
    assert boosted.returncode == 1
    assert boosted.stderr.startswith("error: --output run/last.pt ")
    assert file.read_bytes() == before
    changed = run_here(*args, "--overwrite", "--seed", "1")
    assert changed.returncode == 0, changed.stderr
    assert file.read_bytes() != before


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--batch-size", "1"), 2, "error: --batch-size 1: a step needs at least 2 images."),
        (("--epochs", "0"), 2, "error: --epochs 0: an encoder that was not trained is not written."),
        (("--size", "0"), 2, "error: --size 0 must be above 0."),
        (("--lr", "-1"), 2, "error: --lr -1.0 must be above 0."),
        (("--lr", "nan"), 2, "error: --lr nan must be above 0."),
        (("--momentum", "1"), 2, "error: --momentum 1.0 must be from 0 up to below 1."),
        (("--weight-decay", "-1"), 2, "error: --weight-decay -1.0 must be 0 or above."),
        (("--warm-up", "1.5"), 2, "error: --warm-up 1.5 is a share, from 0 to 1."),
        (("--clip", "0"), 2, "error: --clip 0.0 must be above 0."),
        (("--seed", "-1"), 2, "error: --seed -1 is not between 0 and "),
        (("--backbone", "conv33"), 2, "error: there is no backbone 'conv33'. Did you mean 'conv3'?"),
        (("--recipe", "simcrl"), 2, "error: "),
        (("--device", "gpu"), 2, "error: --device gpu is not a device; write auto, cpu, cuda"),
        (("--optimiser", "adam"), 2, "error: --optimiser adam is none of adamw, sgd, lars."),
        (("--online", "linear"), 2, "error: --online linear is none of knn, nearest-centre."),
        (("--precision", "int8"), 2, "error: --precision int8 is none of auto, fp32, bf16, fp16."),
        (("--keep-every", "0"), 2, "'--keep-every': "),
        (("--output", "."), 1, "error: --output . is a folder; name the file to write."),
    ],
)
def test_what_cannot_be_is_refused_before_images_are_read(
    run_here: Run, tmp_path: Path, args: tuple[str, str], code: int, said: str
) -> None:
    done = run_here("train", "simclr", *TINY, "--data", "nowhere", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "nowhere" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_online_accuracy_needs_labels(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for i in range(8):
        Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(tmp_path / "plain" / f"{i}.png")
    done = run_here("train", "simclr", *TINY, "--data", "plain", "--online", "knn")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: --online knn reads labels of training images, and plain has none; leave it out."
    )
    assert not (tmp_path / "run").exists()


def test_only_the_first_of_several_processes_speaks(
    run_here: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with EpochMeter(silent=True) as meter:
        meter.say("a message")
        meter.epoch(epoch(1))
    assert capfd.readouterr().err == ""
    for name, value in (
        ("TORCHELASTIC_RUN_ID", "x"),
        ("RANK", "0"),
        ("WORLD_SIZE", "2"),
        ("LOCAL_RANK", "0"),
    ):
        monkeypatch.setenv(name, value)
    done = run_here("train", "pretext-boost", "--data", "digits", "--output", "x.pt", "--encoder", "x.pt")
    assert done.returncode == 2
    assert done.stderr == (
        "error: method 'pretext-boost' refines an encoder in one process; start it without torchrun.\n"
    )


class Shown(SimpleNamespace):
    """An epoch whose line is its number."""

    def __str__(self) -> str:
        return f"epoch {self.number}"


def epoch(number: int, epochs: int = 1000, **changed: object) -> Shown:
    numbers = {"loss": 1.5, "spread": 0.25, "rank": 7.0, "online": None, "collapsed": None}
    return Shown(**{**numbers, "number": number, "epochs": epochs, "images_per_second": 5432.1, **changed})


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the meter."""
    now = [0.0]
    monkeypatch.setattr(train_progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("seconds", "epochs", "lines"), [(0.5, 1000, 21), (1, 8, 8), (40, 300, 300)])
def test_many_epochs_are_a_few_lines(
    at: list[float], capsys: pytest.CaptureFixture[str], seconds: float, epochs: int, lines: int
) -> None:
    with EpochMeter() as meter:
        for number in range(1, epochs + 1):
            at[0] += seconds
            meter.epoch(epoch(number, epochs))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    assert (said[0], said[-1]) == ("epoch 1", f"epoch {epochs}")


def test_a_long_epoch_says_how_long_it_takes(at: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with EpochMeter() as meter:
        for step in range(100, 200):
            at[0] += 10
            meter.step(step, 2100)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 33
    assert said[-1] == "step 198 of 2,100, 5.3 h left"


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "80")):
        monkeypatch.setenv(name, value)
    with EpochMeter() as meter:
        meter.step(1, 100)
        meter.epoch(epoch(1, 100))
        meter.say("one message")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert re.search(r"epoch 1 of 100 \S+ 5,432 images/s  loss 1\.5000  spread 0\.25", shown)
    assert "one message\n" in shown
    assert "epoch 1\n" not in shown


def test_a_collapse_comes_first() -> None:
    header = SimpleNamespace(method="simsiam", backbone="conv3", epoch=3, images=40, dim=128)
    said = summary(header, epoch(3, rank=None, collapsed="COLLAPSED: all images have one embedding."), None)
    assert said[0] == "COLLAPSED: all images have one embedding."
    assert [line.split()[0] for line in said[1:]] == ["simsiam", "loss", "spread"]


def test_its_help_begins_with_what_everybody_gives(run_here: Run) -> None:
    done = run_here("train", "--help")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    panels = re.split(r"╭─ (.+?) ─+╮", done.stdout)
    assert panels[1::2] == ["Arguments", "Options", "Views", "Steps", "The run", "Refining an encoder"]
    assert re.findall(r"--\w[\w-]*", panels[4])[:5] == [
        "--data",
        "--output",
        "--backbone",
        "--size",
        "--epochs",
    ]
