"""``sslaudit train pretext-boost``: an encoder refined, evaluated, inspected, and every refusal."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sslaudit import load_dataset, load_encoder, read_card
from sslaudit.refs import EncoderRef
from sslaudit.registry import installed
from sslaudit.train import loop
from sslaudit.train.choices import Choices
from sslaudit.train.pretext_boost import labels_against_dimensions
from sslaudit.train.refinement import refine
from tests.conftest import Run, make_photos

KNN = ("--data", "digits", "--metrics", "knn")
FITS = "any labels are fitted as well as true ones, and a small label term says nothing"
COMPARE = "compare f with the encoder below it"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three convolutions after two epochs on the digits, D = 128."""
    file = tmp_path_factory.mktemp("trained") / "base.pt"
    registry = installed()
    loop.train(
        registry.methods.get("simclr"),
        load_dataset("digits"),
        output=file,
        named=registry.recipes.usable(),
        choices=Choices(size=8, recipe="crop(scale=0.6)+color", epochs=2),
    )
    return file


@pytest.fixture
def base(trained: Path, tmp_path: Path) -> Path:
    """``base.pt`` in the working directory of ``run_here``."""
    return Path(shutil.copy(trained, tmp_path / "base.pt"))


def boost(run: Run, options: str = "steps=5", *args: str, data: str = "digits") -> object:
    method = f"pretext-boost({options})"
    given = ("--encoder", "base.pt", "--data", data, "--output", "boosted.pt", "--overwrite")
    return run("train", method, *given, *args)


def test_it_refines_and_the_result_is_evaluated_and_inspected(
    run_here: Run, base: Path, tmp_path: Path
) -> None:
    done = boost(run_here, "lam=0.02,dim=16,steps=20")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"n0 = 1258 > 2 D = 256 features: labels inform f, which can still get worse; {COMPARE}",
        "z = disjoint-crop: pixels of the crop 0.5:0:1:1, from the rest.",
        "f is learned on what stands beside z; evaluate gives it the plain image.",
    ]
    found = re.fullmatch(
        r"loss (\S+), label term (\S+), pretext term (\S+)\n"
        r"wrote boosted\.pt; next: sslaudit evaluate boosted\.pt base\.pt --data digits\n",
        done.stdout,
    )
    assert found is not None
    loss, label, pretext = map(float, found.groups())
    assert loss == pytest.approx(label - 0.02 * pretext, abs=2e-4)
    assert 0 < label < 0.9
    assert 0 < pretext < 1, "z is scaled to variance 1"

    again = run_here("evaluate", "boosted.pt", "base.pt", *KNN, "--output", "out")
    assert again.returncode == 0, again.stderr
    card = read_card(tmp_path / "out" / "boosted.pt" / "card.json")
    assert card.encoder.dim == 16
    assert card.encoder.facts["method"] == "pretext-boost(lam=0.02,dim=16,steps=20)"
    assert card.encoder.facts["recipe"] == "crop(scale=0.6)+color@1"
    assert not card.failed_checks
    knn = card.metric("knn")
    assert knn.value > 0.5

    seen = run_here("inspect", "boosted.pt")
    assert seen.returncode == 0, seen.stderr
    assert "LOADED" in seen.stdout
    for row in (
        r"base +\./base\.pt, 128-d",
        r"base method +simclr",
        r"encoder +conv3, refined by linear, 16-d",
    ):
        assert re.search(row, seen.stdout), seen.stdout


def test_the_header_holds_every_choice(run_here: Run, base: Path, tmp_path: Path) -> None:
    done = boost(run_here, "z=rotation,n0=40,dim=12,network=mlp,steps=3", "--seed", "5")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == (f"warning: n0 = 40 <= D = 128 features: {FITS}")
    header = torch.load(tmp_path / "boosted.pt", weights_only=True)["sslaudit_refined"]
    assert header["options"] == {
        **{"z": "rotation", "n0": 40, "dim": 12, "network": "mlp", "steps": 3},
        **{"describe": "pixels", "labelled": "seen", "lam": 0.02},
    }
    assert (header["dim"], header["layers"]) == (12, ["linear", "relu", "linear"])
    assert (header["images"], header["labelled"], header["seed"]) == (1258, 40, 5)
    assert header["base_digest"] == load_encoder(base).digest
    assert header["results"].keys() == {"loss", "label term", "pretext term"}


def test_with_few_labels_any_labels_are_fitted(base: Path, tmp_path: Path) -> None:
    """n0 > d_f and n0 <= D: the label term is 0, since f is learned."""
    data, spec = load_dataset("digits"), installed().methods.get("pretext-boost")
    shuffled = np.random.default_rng(0).permutation(data.labels)
    header = refine(
        spec,
        EncoderRef.parse(str(base)),
        dataclasses.replace(data, labels=shuffled),
        output=tmp_path / "x.pt",
        options={"n0": 40, "dim": 10},
    )
    assert header.results["label term"] < 1e-3


@pytest.mark.parametrize(
    ("n0", "weights", "said"),
    [
        (16, 0, "warning: n0 = 16 <= d_f = 16: refinement carries no label information"),
        (17, 0, f"warning: n0 = 17 <= D = 64 features: {FITS}"),
        (64, 0, f"warning: n0 = 64 <= D = 64 features: {FITS}"),
        (65, 0, "warning: n0 = 65 <= 2 D = 128 features: refinement carries weak label information"),
        (128, 0, "warning: n0 = 128 <= 2 D = 128 features: refinement carries weak label information"),
        (129, 0, f"n0 = 129 > 2 D = 128 features: labels inform f, which can still get worse; {COMPARE}"),
        (16, 900, "warning: n0 = 16 <= d_f = 16: refinement carries no label information"),
        (64, 900, f"warning: n0 = 64 <= D = 64 features: {FITS}"),
        (900, 900, f"warning: n0 = 900 <= 900, what the weights of the network can fit: {FITS}"),
        (901, 900, f"n0 = 901 > 900, what the weights of the network can fit; {COMPARE}"),
    ],
)
def test_labels_against_dimensions(n0: int, weights: int, said: str) -> None:
    assert labels_against_dimensions(n0, 16, 64, weights=weights) == said


def test_a_network_is_weighed_by_its_weights(run_here: Run, base: Path) -> None:
    """256 (128 + 1) + (256 + 1) 10 weights for 9 columns; more than 2 D labels are no information here."""
    done = boost(run_here, "network=mlp,steps=2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == (
        f"warning: n0 = 1258 <= 3954, what the weights of the network can fit: {FITS}"
    )


def test_labels_of_plain_images_make_f_better_on_them(run_here: Run, base: Path, tmp_path: Path) -> None:
    accuracy = {}
    for name in ("seen", "plain"):
        done = boost(run_here, f"labelled={name},z=patch,steps=20")
        assert done.returncode == 0, done.stderr
        evaluated = run_here("evaluate", "boosted.pt", *KNN, "--output", name)
        assert evaluated.returncode == 0, evaluated.stderr
        accuracy[name] = read_card(tmp_path / name / "boosted.pt" / "card.json").metric("knn").value
    assert accuracy["plain"] > accuracy["seen"] + 0.05


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("z=crops", "error: z=crops: there is no target 'crops'. There are disjoint-crop, patch, rotation"),
        ("z=rotation+patch", "error: pretext-boost: option z=rotation+patch names 2 targets; f is learned"),
        ("z=color", "error: z = color is the same in all training images of digits."),
        ("z=rotation,crop=0:0:0.5:1", "error: crop=0:0:0.5:1 is for z=disjoint-crop; z=rotation has no use"),
        ("n0=1259", "error: pretext-boost: option n0=1259 is above 1258, the training images of digits."),
        ("n0=-1", "error: method 'pretext-boost': option n0=-1 is below 0."),
        (
            "n0=1",
            "error: digits: the labels of 1 of 1258 training images are read, and all are '6'; there is",
        ),
        ("dim=129", "error: pretext-boost: option dim=129 is above 128, the dimensions of the encoder."),
        ("dim=0", "error: method 'pretext-boost': option dim=0 is below 1."),
        ("lam=0", "error: pretext-boost: option lam=0 must be above 0."),
        ("network=cnn", "error: method 'pretext-boost': option network=cnn is none of linear, mlp."),
        ("epochs=3", "error: method 'pretext-boost' has no option 'epochs'; it has: crop, describe, dim"),
    ],
)
def test_bad_options_are_named_and_nothing_is_written(
    run_here: Run, base: Path, tmp_path: Path, options: str, said: str
) -> None:
    done = boost(run_here, options)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(said)
    assert [path.name for path in tmp_path.iterdir()] == ["base.pt"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ("pretext-boost", "--data", "digits"),
            "error: method 'pretext-boost' refines an encoder; name it: --encoder REF",
        ),
        (
            ("simclr", "--data", "digits", "--encoder", "base.pt"),
            "error: method 'simclr' trains an encoder of its own and takes no --encoder.",
        ),
        (
            ("simclr", "--data", "digits", "--trust-pickle"),
            "error: method 'simclr' trains an encoder of its own and takes no --trust-pickle.",
        ),
        (
            (
                *("pretext-boost", "--data", "digits", "--encoder", "base.pt"),
                *("--epochs", "100", "--lr", "1"),
            ),
            "error: method 'pretext-boost' refines an encoder as it is and takes no --epochs and no --lr.",
        ),
        (
            ("pretext-boost", "--data", "digits", "--encoder", "base.pt", "--backbone", "conv3"),
            "error: method 'pretext-boost' refines an encoder as it is and takes no --backbone.",
        ),
        (
            ("pretext-boost", "--data", "digits", "--encoder", "none.pt"),
            "error: there is no such file: 'none.pt'.",
        ),
        (
            ("pretext-boost", "--data", "digits", "--encoder", "resnet18"),
            "error: 'resnet18' names no encoder: it has no scheme and no weight-file ending. Write",
        ),
        (
            ("pretext-boost", "--data", "one", "--encoder", "base.pt"),
            "error: one: the labels of 8 of 8 training images are read, and all are 'class0'; there is",
        ),
        (
            ("pretext-boost", "--data", "plain", "--encoder", "base.pt"),
            "error: plain has no labels, and pretext-boost reads those of training images.",
        ),
        (
            ("pretext-boost", "--data", "few", "--encoder", "base.pt"),
            "error: pretext-boost: f of 2 dimensions is learned from 4 images or more, and few has 2 for "
            "training; give more images.",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    run_here: Run, base: Path, tmp_path: Path, args: tuple[str, ...], said: str
) -> None:
    make_photos(tmp_path / "one", classes=1)
    make_photos(tmp_path / "few", classes=2, each=2)
    (tmp_path / "plain").mkdir()
    for i in range(8):
        Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(tmp_path / "plain" / f"{i}.png")
    done = run_here("train", *args, "--output", "x.pt")
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(said)
    assert not (tmp_path / "x.pt").exists()


def test_a_moved_folder_a_changed_base_and_a_missing_one(run_here: Run, base: Path, tmp_path: Path) -> None:
    assert boost(run_here).returncode == 0
    (tmp_path / "moved").mkdir()
    for name in ("base.pt", "boosted.pt"):
        shutil.move(tmp_path / name, tmp_path / "moved" / name)
    assert run_here("inspect", "moved/boosted.pt").returncode == 0
    content = torch.load(tmp_path / "moved" / "base.pt", weights_only=True)
    content["backbone"]["0.weight"] *= 2
    torch.save(content, tmp_path / "moved" / "base.pt")
    changed = run_here("evaluate", "moved/boosted.pt", *KNN)
    assert changed.returncode == 1
    first, last = changed.stderr.splitlines()[-2:]
    assert first.startswith(
        "error: 'moved/boosted.pt' was refined on top of './base.pt', which has changed since: its digest was"
    )
    assert last == "Bring the earlier one back, or refine again."
    (tmp_path / "moved" / "base.pt").unlink()
    missing = run_here("inspect", "moved/boosted.pt")
    assert missing.returncode == 1
    assert missing.stderr.splitlines() == [
        "error: the encoder below 'moved/boosted.pt' cannot be had: there is no such file: "
        f"'{tmp_path / 'moved' / 'base.pt'}'.",
        "The file names it './base.pt' from its own folder: bring it there, or refine again.",
    ]


def test_it_is_listed(run_here: Run) -> None:
    listed = run_here("list", "methods").stdout
    assert re.search(r"^pretext-boost +refine --encoder", listed, re.MULTILINE)
    assert "z=disjoint-crop" in listed


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")  # announces its end; the format stays
def test_any_encoder_can_be_refined(run_here: Run, tmp_path: Path) -> None:
    """A program whose preprocessing is assumed: what stands on it assumes the same."""
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    traced = torch.jit.trace(made.eval(), torch.zeros(1, 3, 8, 8))
    torch.jit.save(traced, tmp_path / "traced.pt")
    encoder = "file,size=8:traced.pt"
    args = ("--data", "digits", "--output", "boosted.pt")
    done = run_here("train", "pretext-boost(steps=2)", "--encoder", encoder, *args)
    assert done.returncode == 0, done.stderr
    assert f"sslaudit evaluate boosted.pt {encoder} --data digits" in done.stdout
    refined = load_encoder(tmp_path / "boosted.pt")
    assert refined.dim == 4, "no more dimensions than the encoder has"
    assert refined.preprocess.size == (8, 8)
    assert any("preprocessing: ImageNet" in assumption for assumption in refined.load.assumptions)


class Odd:
    """Only running code could make one."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code of the file ran",)


def test_what_it_says_to_type_next_can_be_typed(run_here: Run, base: Path, tmp_path: Path) -> None:
    """Files without an ending of weights, like a scheme and like a flag, and one with a trusted base."""
    content = torch.load(base, weights_only=True)
    torch.save({**content, "odd": Odd()}, tmp_path / "odd.pt")
    make_photos(tmp_path / "photos", each=8)
    for output, encoder, flags, said in (
        ("boosted", "base.pt", (), "./boosted base.pt"),
        ("two:one.pt", "base.pt", (), "./two:one.pt base.pt"),
        ("-one.pt", "base.pt", (), "./-one.pt base.pt"),
        (
            *("boosted.pt", "odd.pt", ("--trust-pickle",)),
            "file,trust-pickle=yes:boosted.pt file,trust-pickle=yes:odd.pt",
        ),
    ):
        args = ("--encoder", encoder, "--data", "photos", "--output", output, *flags)
        done = run_here("train", "pretext-boost(steps=2)", *args)
        assert done.returncode == 0, done.stderr
        command = f"next: sslaudit evaluate {said} --data photos"
        assert done.stdout.splitlines()[-1].endswith(command)
        assert run_here("inspect", said.split()[0]).returncode == 0
    refused = run_here(
        "train", "pretext-boost", "--encoder", "odd.pt", "--data", "photos", "--output", "x.pt"
    )
    assert refused.returncode == 1
    assert "--trust-pickle" in refused.stderr.splitlines()[-1]
