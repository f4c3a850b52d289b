"""References and terms: parsing is total, and ``str`` is its inverse."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sslaudit.errors import RefError
from sslaudit.host import Plugin
from sslaudit.refs import DataRef, EncoderRef, Ref, Term, split_terms
from sslaudit.registry import Registry
from sslaudit.specs import EncoderScheme

# Every code point, lone surrogates too: an undecodable byte of an argument arrives as one.
ANY = st.text(st.characters(exclude_categories=()), max_size=20)
PIECES = (
    *(
        "timm",
        "tim%6D",
        "timm:r",
        "torchvision",
        "torchvision:r",
        "simclr",
        "digits",
        "arch=",
        "a=",
        "C",
        "x",
        ".pt",
        "\udce9",
        "\n",
        " ",
    ),
    *(":", ",", "=", "%", "%2C", "\\", "/", "~", ".", "(", ")", "+"),
)
TEXTS = st.one_of(ANY, st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
SCHEMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_.+-]+", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z][\w-]*", fullmatch=True)
OPTIONS = st.dictionaries(NAMES, TEXTS, max_size=3).map(lambda pairs: tuple(pairs.items()))
KINDS = st.sampled_from([EncoderRef, DataRef])


@given(KINDS, TEXTS)
def test_parse_gives_a_reference_or_a_ref_error(kind: type[Ref], text: str) -> None:
    try:
        ref = kind.parse(text)
    except RefError:
        return
    assert type(ref) is kind
    assert kind.parse(str(ref)) == ref


@example(EncoderRef, "simclr", (("arch", "timm"),), "run:1.pt")
@example(EncoderRef, "simclr", (("arch", "timm:resnet18"),), "run:1.pt")
@example(EncoderRef, "simclr", (("arch", "torchvision"),), "run:1.pt")
@example(EncoderRef, "simclr", (("arch", "torchvision:resnet18"),), "run:1.pt")
@given(KINDS, SCHEMES, OPTIONS, TEXTS)
def test_str_is_the_inverse_of_parse(
    kind: type[Ref], scheme: str, options: tuple[tuple[str, str], ...], locator: str
) -> None:
    ref = kind(scheme, locator, options)
    assert kind.parse(str(ref)) == ref


@given(TEXTS)
def test_a_term_parses_or_is_refused(text: str) -> None:
    try:
        term = Term.parse(text)
    except RefError:
        return
    assert Term.parse(str(term)) == term


@pytest.mark.parametrize(
    ("text", "scheme", "locator"),
    [
        ("./missing.pt", "file", "./missing.pt"),
        ("/abs/missing.pt", "file", "/abs/missing.pt"),
        ("C:\\models\\x.pt", "file", "C:\\models\\x.pt"),
        ("C:/models/x", "file", "C:/models/x"),
        ("~/x.pt", "file", "~/x.pt"),
        ("my model.pt", "file", "my model.pt"),
        ("runs/MODEL.PTH", "file", "runs/MODEL.PTH"),
        ("runs/a/b", "file", "runs/a/b"),
        ("./resnet18", "file", "./resnet18"),
        ("./run:1.pt", "file", "./run:1.pt"),
        ("..", "file", ".."),
        ("resnet18", "", "resnet18"),
        ("resnet50", "", "resnet50"),
        ("hf:org/name", "hf", "org/name"),
        ("timm:resnet18", "timm", "resnet18"),
        ("timm:hf-hub:org/name@main", "timm", "hf-hub:org/name@main"),
        ("barlow-twins:runs/x.pt", "barlow-twins", "runs/x.pt"),
    ],
)
def test_a_text_has_one_reading(text: str, scheme: str, locator: str) -> None:
    ref = EncoderRef.parse(text)
    assert (ref.scheme, ref.locator, ref.options) == (scheme, locator, ())
    assert str(ref) == text


def test_a_hub_name_alone_is_refused_with_the_spellings_that_work() -> None:
    with pytest.raises(RefError) as caught:
        EncoderRef.parse("facebook/dino-vits16")
    for spelling in ("hf:facebook/dino-vits16", "timm:hf-hub:facebook/dino-vits16", "./facebook/dino-vits16"):
        assert spelling in str(caught.value)


def test_an_alias_is_refused_by_the_registry_with_both_readings() -> None:
    with pytest.raises(RefError, match=r"timm:resnet18 .* \./resnet18"):
        Registry([]).encoder_scheme(EncoderRef.parse("resnet18"))


@pytest.mark.parametrize(("make", "kind"), [(Path.mkdir, "folder"), (Path.touch, "file")])
def test_a_bare_name_that_also_lies_here_is_refused_with_both_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "resnet50")
    with pytest.raises(RefError) as caught:
        Registry([]).encoder_scheme(EncoderRef.parse("resnet50"))
    assert str(caught.value) == (
        f"'resnet50' may be the {kind} that lies here or a timm model. "
        f"Write ./resnet50 for the {kind} or timm:resnet50 for the model."
    )


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_bare_name_that_no_file_system_takes_is_refused_all_the_same(name: str) -> None:
    with pytest.raises(RefError, match="names no encoder"):
        Registry([]).encoder_scheme(EncoderRef.parse(name))


def test_the_control_of_a_control_is_about_the_innermost_encoder() -> None:
    inner = EncoderRef.parse("simclr,key=teacher:x.pt")
    assert inner.target() is inner
    assert EncoderRef.parse(f"untrained:{inner}").target() == inner
    assert EncoderRef.parse(f"untrained,seed=1:untrained:{inner}").target() == inner
    with pytest.raises(RefError):
        EncoderRef.parse("untrained:").target()


def test_an_unknown_scheme_is_answered_with_the_nearest_one() -> None:
    offers = [EncoderScheme(scheme="timm", summary="", load=lambda ref, device: None)]
    registry = Registry([Plugin(name="p", distribution="d", version="1", offers={"encoders": offers})])
    with pytest.raises(RefError, match=r"'tim:resnet18' .* 'tim'\. Did you mean 'timm'\? There is: timm\."):
        registry.encoder_scheme(EncoderRef.parse("tim:resnet18"))


@pytest.mark.parametrize(
    ("text", "options", "locator"),
    [
        ("simclr,arch=resnet18:x.pt", {"arch": "resnet18"}, "x.pt"),
        ("simclr,arch=timm:resnet18:x.pt", {"arch": "timm:resnet18"}, "x.pt"),
        ("simclr,arch=timm:resnet18,key=teacher:x.pt", {"arch": "timm:resnet18", "key": "teacher"}, "x.pt"),
        ("file,arch=torchvision:resnet18:x.pt", {"arch": "torchvision:resnet18"}, "x.pt"),
        ("file,arch=torchvision:resnet18,key=a:x.pt", {"arch": "torchvision:resnet18", "key": "a"}, "x.pt"),
        ("simclr,arch=timm:x.pt", {"arch": "timm"}, "x.pt"),
        ("file,prefix=a%2Cb%3Ac%25:x,y:z", {"prefix": "a,b:c%"}, "x,y:z"),
        ("file,prefix=a=b:", {"prefix": "a=b"}, ""),
        ("file,prefix=:x", {"prefix": ""}, "x"),
    ],
)
def test_options_stand_before_the_colon(text: str, options: dict[str, str], locator: str) -> None:
    ref = EncoderRef.parse(text)
    assert (dict(ref.options), ref.locator) == (options, locator)
    assert ref.option("arch") == options.get("arch")
    assert ref.option("none", "default") == "default"


@pytest.mark.parametrize(
    ("text", "scheme"), [("digits", "digits"), ("photos", "folder"), ("D:\\photos", "folder")]
)
def test_data_without_a_scheme_is_a_folder_or_the_embedded_digits(text: str, scheme: str) -> None:
    assert DataRef.parse(text).scheme == scheme


def test_a_folder_called_digits_can_be_named() -> None:
    assert DataRef.parse("./digits") == DataRef("folder", "./digits")
    assert str(DataRef("folder", "digits")) == "folder:digits"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "encoder is empty"),
        (" \n", "encoder is empty"),
        ("file,a=1,a=2:x", "'a' twice"),
        ("org/name", "hf:org/name"),
        ("a b/c", "'a b/c'"),
    ],
)
def test_what_is_wrong_with_a_reference_is_named(text: str, named: str) -> None:
    with pytest.raises(RefError) as caught:
        EncoderRef.parse(text)
    assert named in str(caught.value)


def test_terms_keep_names_and_options() -> None:
    assert Term.parse(" knn( k = 20 , T=0.07 ) ") == Term("knn", {"k": "20", "T": "0.07"})
    assert Term.parse("knn()") == Term("knn")
    assert str(Term("knn", {"k": "20", "T": "0.07"})) == "knn(k=20,T=0.07)"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("knn(k)", "'k' in 'knn(k)'"),
        ("knn(=2)", "'=2'"),
        ("knn(k=)", "'k='"),
        ("knn(k=1,k=2)", "'k' twice"),
        ("knn(k=1", "'knn(k=1'"),
        ("knn)k=1(", "'knn)k=1('"),
        ("5nn", "'5nn'"),
        ("", "''"),
    ],
)
def test_what_is_wrong_with_a_term_is_named(text: str, named: str) -> None:
    with pytest.raises(RefError) as caught:
        Term.parse(text)
    assert named in str(caught.value)


def test_a_separator_inside_parentheses_does_not_split() -> None:
    assert split_terms("knn(k=5,T=1),alignment", ",") == [
        Term("knn", {"k": "5", "T": "1"}),
        Term("alignment"),
    ]
    assert split_terms("color(strength=1e+5)+flip", "+") == [
        Term("color", {"strength": "1e+5"}),
        Term("flip"),
    ]


@pytest.mark.parametrize("text", ["", "a,,b", "a,", ",a", "a, ,b"])
def test_an_empty_place_in_a_list_is_refused(text: str) -> None:
    with pytest.raises(RefError, match="empty place"):
        split_terms(text, ",")
