"""A refined encoder: its file, the encoder below it that is named and not copied, and every refusal."""

import dataclasses
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sslaudit import EncoderError, TrainingError, UsageError, load_dataset, load_encoder
from sslaudit.data import Dataset, subset
from sslaudit.errors import EncoderNotFound, OutputError, UnreadableFile
from sslaudit.refs import EncoderRef
from sslaudit.registry import installed
from sslaudit.specs import MethodSpec, Option
from sslaudit.train import bases, loop
from sslaudit.train.choices import Choices
from sslaudit.train.refined import RefinedHeader, is_refined, layers_of, read_refined, write_refined
from sslaudit.train.refinement import Learned, Task, refine

IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(load_dataset("digits"), max_images=120)


@pytest.fixture(scope="module")
def trained(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("trained") / "base.pt"
    registry = installed()
    choices = Choices(size=8, recipe="crop(scale=0.5)", epochs=1, batch_size=64)
    train = registry.methods.get("simclr")
    loop.train(train, digits, output=file, named=registry.recipes.usable(), choices=choices)
    return file


@pytest.fixture
def base(trained: Path, tmp_path: Path) -> Path:
    """``runs/base.pt``, an encoder of 128 dimensions."""
    (tmp_path / "runs").mkdir()
    return Path(shutil.copy(trained, tmp_path / "runs" / "base.pt"))


def mlp(task: Task, *, dim: int, network: str) -> Learned:
    """A head with drawn weights, which has seen the embeddings."""
    f = task.altered.embedded(None, task.images)
    assert f.shape == (len(task.images), task.dim)
    layers = [nn.Linear(task.dim, 5), nn.ReLU(), nn.Linear(5, dim, bias=False)]
    head = nn.Sequential(*layers) if network == "mlp" else nn.Sequential(nn.Linear(task.dim, dim))
    return Learned(head=head, labelled=len(task.images) // 2, results={"loss": float(np.abs(f).mean())})


def method(refine: Callable[..., object] = mlp) -> MethodSpec:
    options = (
        Option(name="dim", type=int, default=4, help=""),
        Option(name="network", type=str, default="mlp", help=""),
        Option(name="more", type=str, default=None, help=""),
    )
    return MethodSpec(name="mine", summary="", source="", refine=refine, options=options)


def refined(
    base: Path | str, output: Path, data: Dataset, spec: MethodSpec | None = None, **choices: object
) -> RefinedHeader:
    return refine(spec or method(), EncoderRef.parse(str(base)), data, output=output, **choices)


@pytest.fixture
def file(base: Path, digits: Dataset) -> Path:
    """``runs/refined.pt``, on top of ``runs/base.pt``."""
    refined(base, base.parent / "refined.pt", digits)
    return base.parent / "refined.pt"


def test_the_embedding_is_the_head_of_what_the_base_gives(file: Path, base: Path, digits: Dataset) -> None:
    encoder, below = load_encoder(file), load_encoder(base)
    head = torch.load(file, weights_only=True)["head"]
    with torch.inference_mode():
        h = below.embed(IMAGES)
        expected = torch.relu(h @ head["0.weight"].T + head["0.bias"]) @ head["2.weight"].T
        torch.testing.assert_close(encoder.embed(IMAGES), expected)
    assert (encoder.dim, encoder.module) == (4, encoder.embed)
    assert encoder.preprocess == below.preprocess
    assert encoder.project is None
    assert encoder.parameters == below.parameters + 5 * 128 + 5 + 4 * 5
    assert (encoder.load.matched, encoder.load.expected) == (below.load.matched + 3, below.load.expected + 3)
    assert encoder.facts["recipe"] == below.facts["recipe"] == "crop(scale=0.5)@1"
    assert (encoder.facts["method"], encoder.facts["base method"]) == ("mine", "simclr")
    assert encoder.facts["base"] == "./base.pt, 128-d"
    assert encoder.facts["refined on"] == f"digits, {len(digits.train)} images, labels of 40"
    assert encoder.digest not in (below.digest, load_encoder(f"untrained:{file}").digest)


def test_the_header_says_everything_in_plain_words(base: Path, digits: Dataset, tmp_path: Path) -> None:
    header = refined(base, tmp_path / "x.pt", digits, options={"dim": 7}, seed=3)
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    assert is_refined(content)
    assert content["sslaudit_refined"] == dataclasses.asdict(header)
    assert (header.method, header.options) == ("mine(dim=7)", {"dim": 7, "network": "mlp"})
    assert (header.base, header.base_digest) == ("./runs/base.pt", load_encoder(base).digest)
    assert (header.base_dim, header.dim, header.layers) == (128, 7, ["linear", "relu", "linear"])
    assert (header.data, header.data_digest) == ("digits", digits.digest)
    assert (header.images, header.labelled, header.seed) == (len(digits.train), 40, 3)
    assert read_refined(content)[0] == header


def test_a_seed_repeats_and_global_randomness_is_left_alone(base: Path, digits: Dataset) -> None:
    before = torch.random.get_rng_state()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        refined(base, base.parent / name, digits, seed=seed)
    encoders = {name: load_encoder(base.parent / name) for name in "abc"}
    assert torch.equal(before, torch.random.get_rng_state())
    assert (base.parent / "a").read_bytes() == (base.parent / "b").read_bytes()
    assert encoders["a"].digest == encoders["b"].digest != encoders["c"].digest


def test_held_out_images_are_never_read(base: Path, digits: Dataset) -> None:
    read: set[int] = set()

    def watched(i: int) -> np.ndarray:
        read.add(i)
        return digits.read(i)

    refined(base, base.parent / "x.pt", dataclasses.replace(digits, read=watched))
    assert read == set(digits.train.tolist())


def test_both_files_move_together_and_links_are_followed(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = load_encoder(file).digest
    moved = tmp_path / "elsewhere" / "deep"
    shutil.move(file.parent, moved)
    assert load_encoder(moved / "refined.pt").digest == digest
    (tmp_path / "current.pt").symlink_to(moved / "refined.pt")
    assert load_encoder(tmp_path / "current.pt").digest == digest
    monkeypatch.chdir(moved)
    assert load_encoder("refined.pt").digest == digest


def test_a_base_may_be_of_any_kind(base: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of timm, an untrained copy, a file with options, and a refined encoder."""
    monkeypatch.chdir(base.parent)
    below = {
        "untrained,seed=2:timm:test_resnet": "untrained,seed=2:timm:test_resnet",
        "untrained:base.pt": "untrained:./base.pt",
        "simclr,trust-pickle=yes,size=16:base.pt": "simclr,size=16:./base.pt",
        "refined.pt": "./refined.pt",
    }
    refined("base.pt", Path("refined.pt"), digits)
    few = subset(digits, max_images=20)
    for place, (ref, named) in enumerate(below.items()):
        output = Path(f"{place}.pt")
        header = refined(ref, output, few, options={"network": "linear"})
        assert header.base == named
        encoder = load_encoder(output)
        assert encoder.preprocess == load_encoder(ref).preprocess
        with torch.inference_mode():
            assert encoder.embed(torch.randn(2, 3, *encoder.preprocess.size)).shape == (2, 4)


def test_trust_is_given_by_a_person_and_never_by_a_file(file: Path) -> None:
    ref = EncoderRef.parse("file,trust-pickle=yes,size=8:./base.pt")
    assert str(bases.found_from(file, ref)) == f"file,size=8:{file.parent / 'base.pt'}"
    given = bases.found_from(file, ref, trusted=(("trust-pickle", "yes"),))
    assert given.option("trust-pickle") == "yes"
    assert load_encoder(f"file,trust-pickle=yes:{file}").dim == 4


def test_the_untrained_copy_has_fresh_weights_above_and_below(file: Path, base: Path) -> None:
    control = load_encoder(f"untrained,seed=3:{file}")
    again, other = load_encoder(f"untrained,seed=3:{file}"), load_encoder(f"untrained,seed=4:{file}")
    assert control.digest == again.digest != other.digest
    assert (control.dim, control.facts["weights"]) == (4, "untrained, seed 3")
    below = load_encoder(f"untrained,seed=3:{base}").embed(IMAGES)
    head = load_encoder(file).module.head
    assert not torch.allclose(control.embed(IMAGES), head(below))


def test_a_base_that_changed_or_went_is_named(file: Path, base: Path, digits: Dataset) -> None:
    digest = load_encoder(base).digest
    content = torch.load(base, weights_only=True)
    content["backbone"]["0.weight"] += 1
    torch.save(content, base)
    other = load_encoder(base).digest
    with pytest.raises(EncoderError) as caught:
        load_encoder(file)
    assert str(caught.value) == (
        f"'{file}' was refined on top of './base.pt', which has changed since: its digest was "
        f"{digest[:12]}, that of '{base}' is {other[:12]}.\nBring the earlier one back, or refine again."
    )
    base.unlink()
    with pytest.raises(EncoderNotFound) as caught:
        load_encoder(file)
    assert str(caught.value) == (
        f"the encoder below '{file}' cannot be had: there is no such file: '{base}'.\n"
        "The file names it './base.pt' from its own folder: bring it there, or refine again."
    )


def test_a_file_on_top_of_itself_is_no_encoder(file: Path) -> None:
    content = torch.load(file, weights_only=True)
    content["sslaudit_refined"]["base"] = "./refined.pt"
    torch.save(content, file)
    with pytest.raises(UnreadableFile, match="is refined on top of itself"):
        load_encoder(file)


HEAD = "the tensors of the checkpoint's 'head'"


@pytest.mark.parametrize(
    ("header", "head", "said"),
    [
        ({"format": 2}, {}, "has format 2, made by a newer sslaudit; this one reads format 1."),
        ({"base": ...}, {}, "the checkpoint header lacks base."),
        ({"layers": ["linear", "sine"]}, {}, "the checkpoint header is malformed: layers.1: "),
        ({"dim": "four"}, {}, "the checkpoint header is malformed: dim: "),
        ({"dim": 5}, {}, f"{HEAD} are no linear + relu + linear from 128 to 5 dimensions."),
        ({"base_dim": 64}, {}, f"{HEAD} are no linear + relu + linear from 64 to 4 dimensions."),
        ({"layers": []}, {}, f"{HEAD} are no layers from 128 to 4 dimensions."),
        ({}, {"2.weight": torch.ones(4, 6)}, f"{HEAD} are no linear + relu + linear from 128 to 4"),
        ({}, {"3.weight": torch.ones(4)}, f"{HEAD} are no linear + relu + linear from 128 to 4"),
        ({}, {"0.bias": torch.ones(4)}, f"{HEAD} are no linear + relu + linear from 128 to 4"),
        ({}, {"2.weight": torch.ones(4)}, "the checkpoint's 'head' has no matrix '2.weight'."),
        ({}, {"0.bias": torch.full((5,), torch.nan)}, f"{HEAD} hold NaN or infinity."),
        ({}, {"0.bias": torch.ones(5, dtype=torch.complex64)}, f"{HEAD} are not all floating-point numbers."),
        ({}, {"0.bias": torch.ones(5, dtype=torch.int64)}, f"{HEAD} are not all floating-point numbers."),
        ({}, {"0.bias": 1.0}, "the checkpoint has a header, but its 'head' is no mapping of tensors."),
    ],
    ids=str,
)
def test_a_broken_file_is_named(
    file: Path, header: dict[str, object], head: dict[str, object], said: str
) -> None:
    content = torch.load(file, weights_only=True)
    merged = {**content["sslaudit_refined"], **header}
    merged = {name: value for name, value in merged.items() if value is not ...}
    torch.save({"sslaudit_refined": merged, "head": {**content["head"], **head}}, file)
    with pytest.raises(UnreadableFile, match=re.escape(said)) as caught:
        load_encoder(file)
    assert str(caught.value).startswith(f"'{file}': ")
    assert "\n" not in str(caught.value)


def test_a_header_that_names_no_encoder_is_refused(file: Path) -> None:
    content = torch.load(file, weights_only=True)
    for named, said in (("resnet18", "names no encoder"), ("nowhere:x", "unknown scheme 'nowhere'")):
        content["sslaudit_refined"]["base"] = named
        torch.save(content, file)
        with pytest.raises(EncoderError, match=said) as caught:
            load_encoder(file)
        assert str(caught.value).startswith(f"the encoder below '{file}' cannot be had: ")


def test_options_of_another_kind_of_file_are_refused(file: Path) -> None:
    for option in ("arch=resnet18", "key=teacher", "prefix=x", "size=16", "heads=2"):
        name = option.partition("=")[0]
        with pytest.raises(UsageError, match=f"option {name} does not go with a refined encoder"):
            load_encoder(f"file,{option}:{file}")


def test_nothing_is_written_when_nothing_was_learned(base: Path, digits: Dataset) -> None:
    def head(*layers: nn.Module) -> MethodSpec:
        made = Learned(head=nn.Sequential(*layers), labelled=0, results={})
        return method(lambda task, **options: made)

    output = base.parent / "x.pt"
    broken = nn.Linear(128, 2)
    nn.init.constant_(broken.bias, torch.nan)
    cases: list[tuple[MethodSpec, str]] = [
        (method(lambda task, **options: nn.Linear(2, 2)), "method 'mine' gave a Linear, not a Learned."),
        (head(broken), "the weights of the head are not finite; nothing was written."),
        (head(nn.Linear(128, 2), nn.Sigmoid()), "this one has a Sigmoid."),
    ]
    for spec, said in cases:
        with pytest.raises(TrainingError, match=re.escape(said)):
            refined(base, output, digits, spec)
    with pytest.raises(TrainingError, match="digits has no training images"):
        refined(base, output, dataclasses.replace(digits, train=digits.train[:0]))
    with pytest.raises(UsageError, match="is the encoder that is refined"):
        refined(base, base, digits)
    with pytest.raises(OutputError, match="is no regular file; name the file to write"):
        refined(base, Path(os.devnull), digits)
    with pytest.raises(UsageError, match="--seed -1 is not between 0 and"):
        refined(base, output, digits, seed=-1)
    with pytest.raises(OutputError, match="is a folder; name the file to write"):
        refined(base, base.parent, digits)
    assert [path.name for path in base.parent.iterdir()] == ["base.pt"]
    with pytest.raises(UsageError, match="trains a backbone of its own"):
        refined(base, output, digits, installed().methods.get("simclr"))
    with pytest.raises(UsageError, match="refines an encoder"):
        loop.train(method(), digits, output=output, named={})


def test_no_file_below_is_written_over(file: Path, base: Path, digits: Dataset) -> None:
    content = base.read_bytes()
    (file.parent / "link.pt").symlink_to(base)
    for output in (base, file.parent / "link.pt"):
        with pytest.raises(UsageError) as caught:
            refined(file, output, digits)
        assert str(caught.value) == (
            f"--output {output} is below {file}, which is refined, and the result needs it beside it."
        )
    assert base.read_bytes() == content
    with pytest.raises(OutputError, match="exists; add --overwrite"):
        refined(base, file, digits, seed=1)
    refined(base, file, digits, seed=1, overwrite=True)  # on nothing that it needs


def test_a_head_on_an_untrained_base_is_no_control(digits: Dataset, tmp_path: Path) -> None:
    few = subset(digits, max_images=20)
    refined("untrained,seed=2:timm:test_resnet", tmp_path / "x.pt", few)
    learned, control = load_encoder(tmp_path / "x.pt"), load_encoder(f"untrained,seed=5:{tmp_path / 'x.pt'}")
    assert "weights" not in learned.facts
    assert learned.facts["base weights"] == "untrained, seed 2"
    assert control.facts["weights"] == "untrained, seed 5"


def test_steps_and_their_losses_are_handed_on(base: Path, digits: Dataset) -> None:
    heard: list[tuple[int, float]] = []
    spec = installed().methods.get("pretext-boost")
    refined(
        *(base, base.parent / "x.pt", digits, spec),
        options={"steps": 3, "n0": 30, "z": "rotation"},
        on_step=lambda number, loss: heard.append((number, loss)),
    )
    assert [number for number, _ in heard] == list(range(1, len(heard) + 1))
    assert 1 < len(heard) <= 6


def test_a_method_either_builds_or_refines() -> None:
    for given in ({}, {"build": mlp, "refine": mlp}):
        with pytest.raises(UsageError, match="method 'mine' needs one of build and refine"):
            MethodSpec(name="mine", summary="", source="", **given)


def test_a_full_disk_leaves_no_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header, head = read_refined(torch.load(file, weights_only=True))
    assert layers_of(head) == header.layers

    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"cannot write the checkpoint .* No space left"):
        write_refined(file.parent / "new.pt", header, head)
    assert sorted(path.name for path in file.parent.iterdir()) == ["base.pt", "refined.pt"]
