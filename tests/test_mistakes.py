"""What people type or pass by mistake: one line that names it as written and says what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sslaudit
from sslaudit import Encoder, LoadAudit, Preprocess
from sslaudit.cli.options import read_override
from sslaudit.encoder import Override, from_module
from sslaudit.errors import DataNotFound, EncoderNotFound, RefError, SslauditError, UsageError
from sslaudit.loading import load_dataset, load_encoder, load_untrained
from sslaudit.refs import DataRef, EncoderRef
from sslaudit.registry import Registry, installed, nearest
from sslaudit.sources import resolve_all
from sslaudit.specs import EncoderScheme, Option
from sslaudit.train.backbones import build_backbone
from tests.conftest import Run, make_photos


def refused(make: Callable[[], object], kind: type[SslauditError]) -> str:
    """The message, which is one line."""
    with pytest.raises(kind) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Preprocessing


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ("123.675,116.28,103.53", "58.395,57.12,57.375"),
        ("0.5", "127.5"),
        ("127.5", "0.5"),
        ("-1.6", "0.5"),
    ],
)
def test_values_for_pixels_of_0_to_255_are_refused(mean: str, std: str) -> None:
    message = refused(lambda: read_override(None, mean, std, None, None), UsageError)
    assert message.endswith("in units of 0 to 1; divide by 255.")
    assert f"{mean.split(',')[0]}," in message


def test_a_std_of_nothing_and_an_image_of_nothing_or_too_much_are_refused() -> None:
    assert "std below" in refused(lambda: Override(std=(1e-30, 0.5, 0.5)), UsageError)
    assert Override(mean=(-1.5,) * 3, std=(1.5, 1 / 255, 1.5)).std == (1.5, 1 / 255, 1.5)
    for size in ("20000", "4097x32", "0"):
        message = refused(lambda size=size: read_override(size, None, None, None, None), UsageError)
        assert message.endswith("is not between 1 and 4096 pixels.")
    assert read_override("4096", None, None, None, None).size == (4096, 4096)
    assert "size=20000 is above 4096" in refused(lambda: load_encoder("timm,size=20000:resnet18"), UsageError)


def assuming(*assumptions: str) -> Encoder:
    encoder = from_module(nn.Flatten(), preprocess=Preprocess(size=(8, 8)), name="flat")
    load = LoadAudit(matched=3, expected=3, assumptions=assumptions)
    return Encoder(**{name: getattr(encoder, name) for name in Encoder.__slots__} | {"load": load})


def test_what_is_given_is_assumed_no_longer() -> None:
    stem, normalised, size = "the stem", "preprocessing: ImageNet mean and std", "input size: 8x8"
    encoder = assuming(stem, normalised, size)

    def left(**given: object) -> tuple[str, ...]:
        return load_encoder(encoder, override=Override(**given)).load.assumptions

    assert left(mean=(0.5,) * 3, std=(0.5,) * 3) == (stem, size)
    assert left(mean=(0.5,) * 3) == (stem, normalised, size), "the std is still assumed"
    assert left(size=(4, 4)) == (stem, normalised)
    assert left(crop=0.5) == (stem, normalised, size)


# What was taken from the file


def test_the_card_says_which_branch_was_taken_and_which_others_exist(run_here: Run, tmp_path: Path) -> None:
    args = ("--data", "digits", "--max-images", "60", "--metrics", "knn", "--no-cache")
    done = run_here("evaluate", "stub:whole", *args)
    taken = (
        "all 3 backbone tensors of 'teacher', prefix 'module.backbone.' removed; "
        "also in the file: student (key=student); left out: head (4 tensors), optimizer state"
    )
    assert f"LOADED {taken}" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    page = (tmp_path / "reports" / "stub-whole" / "card.html").read_text()
    assert taken.replace("'", "&#39;") in page
    done = run_here("evaluate", "stub:partial", "--allow-partial", *args)
    shown = " ".join(done.stdout.split())
    assert "layer3.1.bn2.weight; from 'teacher' of the file; also in the file: student (key=stud" in shown


# Names of files


@pytest.mark.parametrize("name", ["~nosuchuser0/x.pth", "./~tilde.pth", "./" + "x" * 5000, "./a\0b.pth"])
def test_a_file_that_no_file_system_has_is_not_found(name: str, here: Path) -> None:
    for scheme in ("file", "untrained:file"):
        ref = EncoderRef.parse(f"{scheme}:{name}")
        assert name in refused(lambda ref=ref: resolve_all([ref], installed()), EncoderNotFound)
    assert name in refused(lambda: load_dataset(name), DataNotFound)


def test_a_tilde_in_a_name_is_only_home_where_a_user_is_named(here: Path) -> None:
    (here / "~tilde.pth").write_bytes(b"12345")
    for scheme in ("file", "untrained:file"):
        (found,) = resolve_all([EncoderRef.parse(f"{scheme}:./~tilde.pth")], installed())
        assert found.bytes == 5
    make_photos(here / "~photos")
    assert len(load_dataset("./~photos")) == len(load_dataset(here / "~photos")) == 36


# References


@pytest.mark.parametrize("text", ["https://host.org:80/a/x.pth", "s3://bucket/x.pth", "gs,a=b://c/x.pth"])
def test_a_url_is_to_be_downloaded_first(text: str, stub_registry: Registry) -> None:
    for encoder in (text, f"untrained:{text}"):
        message = refused(
            lambda encoder=encoder: resolve_all([EncoderRef.parse(encoder)], stub_registry), RefError
        )
        assert message == (
            f"'{text}' is a URL. Download it first and name the file, "
            "or a repository of the Hugging Face hub: hf:ORG/NAME."
        )
    message = refused(lambda: load_dataset(text), RefError)
    assert message == f"'{text}' is a URL. Download it first and name the folder."


def test_a_name_with_a_colon_that_lies_here_can_be_named(here: Path) -> None:
    torch.save({}, here / "model:v1.pth")
    message = refused(lambda: load_encoder("model:v1.pth"), RefError)
    assert message.endswith("has the unknown scheme 'model'. Write ./model:v1.pth for what lies here.")
    make_photos(here / "my:photos")
    assert "./my:photos" in refused(lambda: load_dataset("my:photos"), RefError)
    assert len(load_dataset("./my:photos")) == 36


@pytest.mark.parametrize("text", ["file:", "hf:", "timm:", "simclr,arch=resnet18:", "untrained: "])
def test_a_scheme_alone_names_nothing(text: str) -> None:
    assert f"'{text}' names nothing; write " in refused(lambda: load_encoder(text), RefError)


def test_of_many_names_the_near_ones_are_told() -> None:
    assert nearest("knm", ["knn", "few-shot"]) == " Did you mean 'knn'? There is: few-shot, knn."
    many = [f"resnet{i}" for i in range(80)]
    said = nearest("resnt18", many, "sslaudit list encoders")
    assert said.startswith(" Did you mean 'resnet18'? There are 80: `sslaudit list encoders`; near: resnet")
    assert said.count("resnet") == 8
    assert nearest("zzz", many) == " There are 80."
    message = refused(lambda: load_encoder("simlcr:x.pth"), RefError)
    assert "Did you mean 'simclr'?" in message
    assert "`sslaudit list encoders`" in message
    assert len(message) < 250


@pytest.mark.parametrize("seed", ["99999999999999999999999", "-1", str(2**63)])
def test_a_seed_that_no_generator_takes_is_refused(seed: str) -> None:
    text = f"untrained,seed={seed}:timm:resnet18"
    assert f"option seed={seed} is" in refused(lambda: load_encoder(text), UsageError)
    assert f"seed {seed} is not" in refused(
        lambda: load_untrained("timm:resnet18", seed=int(seed)), UsageError
    )


def test_a_number_may_not_be_above_the_maximum() -> None:
    option = Option(name="n", type=int, default=1, minimum=0, maximum=2**63 - 1, help="")
    assert option.read(str(2**63 - 1), "x") == 2**63 - 1
    message = refused(lambda: option.read(str(2**63), "x"), UsageError)
    assert message == f"x: option n={2**63} is above {2**63 - 1}."


# Python


def test_paths_name_encoders_and_data(here: Path) -> None:
    (here / "runs").mkdir()
    torch.save(build_backbone("resnet18", seed=0).state_dict(), here / "runs" / "net")
    make_photos(here / "photos")
    encoder = load_encoder(Path("runs/net"))  # as a text it would be ambiguous
    assert encoder.digest == load_encoder("./runs/net").digest
    assert encoder.ref == "file:runs/net"
    assert load_untrained(Path("runs/net")).name == encoder.name
    card = sslaudit.evaluate(
        Path("runs/net"),
        Path("photos"),
        metrics="knn",
        cache=False,
        device="cpu",
        max_images=20,
        override=Override(size=(32, 32)),
    )
    assert (card.encoder.ref, card.data.ref) == ("file:runs/net", "photos")
    (here / "digits").mkdir()
    assert "holds no image" in refused(lambda: load_dataset(Path("digits")), SslauditError)


@pytest.mark.parametrize("given", [None, 3, b"x.pth", ["x.pth"], DataRef("folder", "x"), b"x" * 999])
def test_what_is_no_reference_is_named(given: object) -> None:
    for make, what in (
        (lambda: load_encoder(given), "an encoder is"),
        (lambda: load_encoder(given, preprocess=Preprocess(size=(8, 8))), "an encoder is"),
        (lambda: load_untrained(given), "an encoder is"),
        (lambda: load_dataset(EncoderRef("a", "b") if isinstance(given, DataRef) else given), "data are"),
    ):
        message = refused(make, UsageError)
        assert message.startswith(what)
        assert len(message) < 180


# Weights stay where they are when the file changes


class Tied(nn.Module):
    """Two layers with one weight, and a projector."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(192, 192, bias=False)
        self.second = nn.Linear(192, 192, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("shift", torch.ones(192))

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images.flatten(1))) + self.shift


def loaded(module: nn.Module, *, project: nn.Module | None = None, mapped: bool = False) -> Encoder:
    """``module`` as a plugin would hand it over."""
    encoder = from_module(nn.Flatten(), preprocess=Preprocess(size=(8, 8)))
    fields = {name: getattr(encoder, name) for name in Encoder.__slots__}
    made = Encoder(**fields | {"module": module, "embed": module, "project": project})
    scheme = EncoderScheme(scheme="given", summary="", load=lambda ref, device: made)
    plugin = sslaudit.host.Plugin(name="p", distribution="d", version="1", offers={"encoders": [scheme]})
    return load_encoder("given:x", registry=Registry([plugin]), mapped=mapped)


def tensors(module: nn.Module) -> list[Tensor]:
    """Others over the same storage, which stays taken as long as they live."""
    return [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]


def shared(first: list[Tensor], second: list[Tensor]) -> bool:
    return bool({t.data_ptr() for t in first} & {t.data_ptr() for t in second})


def test_weights_are_copied_once_and_stay_tied() -> None:
    module, head, images = Tied().eval(), nn.Linear(192, 4), torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        before, from_file, of_head = module(images), tensors(module), tensors(head)
        encoder = loaded(module, project=head)
        assert torch.equal(encoder.embed(images), before)
    assert module.first.weight is module.second.weight
    assert not shared(tensors(module), from_file)
    assert not shared(tensors(head), of_head), "the projector comes from the file too"
    kept = tensors(module)
    assert shared(tensors(loaded(module, mapped=True).module), kept)


def test_a_torchscript_archive_keeps_its_features_and_its_ties(tmp_path: Path) -> None:
    images = torch.randn(2, 3, 8, 8)
    with pytest.warns(FutureWarning):
        traced = torch.jit.trace(Tied().eval(), images)
    traced.save(tmp_path / "x.pt")
    with pytest.warns(FutureWarning):
        module = torch.jit.load(tmp_path / "x.pt")
    with torch.inference_mode():
        before, from_file = module(images), tensors(module)
        assert torch.equal(loaded(module).embed(images), before)
    assert not shared(tensors(module), from_file)
    assert module.first.weight.data_ptr() == module.second.weight.data_ptr()


def test_weights_elsewhere_are_left_alone() -> None:
    module = Tied().to("meta")
    tensor = module.first.weight
    assert loaded(module).module.first.weight is tensor
    assert tensor.is_meta


# Data


@pytest.mark.parametrize("text", ["csv:", "arrays:", "webdataset:", "torchvision: ", "hf-datasets:"])
def test_data_that_name_nothing_are_answered_with_an_example(text: str) -> None:
    message = refused(lambda: load_dataset(text), RefError)
    assert message.startswith(f"'{text}' names nothing; write {text.strip()}")


@pytest.mark.parametrize("text", ["", "|", "crop|", "|crop", "crop||flip"])
def test_an_empty_recipe_is_quoted(text: str, here: Path) -> None:
    message = refused(
        lambda: sslaudit.evaluate("untrained:timm:resnet18", "digits", recipe=text, cache=False), RefError
    )
    assert message.startswith(f"recipe '{text}' is empty")
