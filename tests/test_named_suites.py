"""Protocols of audits: those of the registry can be run; what is wrong with a file is said by its field."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from sslaudit.errors import UsageError
from sslaudit.loading import load_dataset
from sslaudit.named import AuditSuite, audit_suites, read_suite, sweep_file, sweep_suites
from sslaudit.plan import make_plan
from sslaudit.recipes import parse_recipe
from sslaudit.refs import EncoderRef
from sslaudit.registry import installed
from tests.conftest import ROOT, Run

FOLDER = ROOT / "registry" / "suites"
GOOD = """
kind = "audit"
name = "mine"
version = 2
summary = "mine"
recipe = "crop+flip"
how_to_get = '''
They lie
on my disk.'''
"""


def written(folder: Path, text: str) -> str:
    path = folder / "suite.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("suite", audit_suites(), ids=lambda suite: suite.name)
def test_every_committed_suite_can_be_run(suite: AuditSuite) -> None:
    assert read_suite(suite.name) == suite == read_suite(str(FOLDER / f"{suite.name}.toml"))
    registry = installed()
    planned = make_plan(registry, suite.metrics, space="embedding")
    assert planned.views <= suite.views
    assert {metric.term for metric in planned.metrics} >= set(suite.metrics or ())
    assert parse_recipe(suite.recipe, registry.recipes.usable())
    assert suite.digest is not None, "cards of other images would stand beside each other"
    assert "://" not in (FOLDER / f"{suite.name}.toml").read_text(encoding="utf-8")


def test_the_digits_are_those_of_their_suites() -> None:
    digits = load_dataset("digits")
    on_digits = [suite for suite in audit_suites() if suite.data == "digits"]
    assert {suite.name for suite in on_digits} == {"digits", "digits-ladder"}
    assert {suite.digest for suite in on_digits} == {digits.digest}


def test_every_file_is_of_one_kind() -> None:
    audits, sweeps = {suite.name for suite in audit_suites()}, set(sweep_suites())
    assert audits == {"digits", "digits-ladder", "emoji", "stamps"}
    assert audits | sweeps == {path.stem for path in FOLDER.iterdir()}
    assert not audits & sweeps


def test_what_a_file_leaves_out_has_defaults(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, GOOD))
    assert suite == AuditSuite(
        name="mine", version=2, summary="mine", recipe="crop+flip", how_to_get="They lie on my disk."
    )
    assert suite.label == "mine-v2"
    assert (suite.views, suite.views_mode, suite.seed, suite.precision) == (8, "per-image", 0, "fp32")
    suite.check_data("f" * 64, "photos/")


def test_a_file_may_say_everything(tmp_path: Path) -> None:
    said = {
        "data": '"digits"',
        "digest": f'"{"a" * 64}"',
        "metrics": '["knn(k=5)", "alignment"]',
        "views": "2",
        "views_mode": '"bank"',
        "seed": "7",
        "precision": '"bf16"',
        "max_images": "100",
        "per_class": "9",
    }
    suite = read_suite(written(tmp_path, GOOD + "".join(f"{k} = {v}\n" for k, v in said.items())))
    assert suite.metrics == ("knn(k=5)", "alignment")
    assert {field.name for field in fields(suite)} >= set(said)
    assert replace(suite, digest=None).check_data("b" * 64, "photos/") is None
    suite.check_data("a" * 64, "photos/")
    with pytest.raises(UsageError) as caught:
        suite.check_data("b" * 64, "photos/")
    assert str(caught.value) == (
        "'photos/' does not hold the images of the suite 'mine': their digest is bbbbbbbbbbbb... and must be "
        "aaaaaaaaaaaa.... They lie on my disk."
    )


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("version = 2", "version = 0", "version 0 is below 1"),
        ("version = 2", "version = true", "version is a whole number, not true or false"),
        ("version = 2", "version = 2.5", "version is a whole number, not a number"),
        ("version = 2\n", "", "the field 'version' is missing"),
        ("version = 2", "verison = 2", "there is no field 'verison'. Did you mean 'version'?"),
        ('"crop+flip"', '"auto"', "recipe is 'auto', which may be another for every encoder; name one"),
        ('"crop+flip"', '"crop"\nseed = -1', "seed -1 is below 0"),
        ('"crop+flip"', '"crop"\nmetrics = []', "metrics: there is none"),
        ('"crop+flip"', '"crop"\nmetrics = [1]', "metrics, entry 1 is a text, not a whole number"),
        ('"crop+flip"', '"crop"\nmetrics = "knn"', "metrics is a list, not a text"),
        ('"crop+flip"', '"crop"\ndigest = "abc"', "digest is 64 hexadecimal digits"),
        ('"crop+flip"', '"crop"\nprecision = "auto"', "precision is one of fp32, bf16, fp16, not 'auto'"),
        ('"crop+flip"', '"crop"\nmax_images = 0', "max_images 0 is below 1"),
        ('name = "mine"', 'name = "../mine"', "name '../mine' is no name of a folder"),
        ('kind = "audit"', 'kind = "race"', "kind is 'race', not 'audit'"),
        ('kind = "audit"', "kind =", "is not TOML"),
    ],
)
def test_a_fault_is_named_by_its_field(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert GOOD.count(before) == 1
    path = written(tmp_path, GOOD.replace(before, after))
    with pytest.raises(UsageError) as caught:
        read_suite(path)
    assert said in str(caught.value)
    assert path in str(caught.value)


def test_a_name_that_fits_nothing_is_answered_with_those_that_do(tmp_path: Path) -> None:
    for call, text, said in (
        (read_suite, "digit", "there is no suite 'digit'. Did you mean 'digits'?"),
        (
            read_suite,
            "slides-table-1",
            "'slides-table-1' is for training: sslaudit sweep slides-table-1",
        ),
        (read_suite, str(tmp_path / "gone.toml"), "gone.toml': No such file or directory."),
        (read_suite, str(tmp_path), f"there is no suite '{tmp_path}'."),
        (sweep_file, "slides-table-4", "there is no suite 'slides-table-4'. Did you mean 'slides-table-"),
        (sweep_file, "emoji", "the suite 'emoji' trains nothing: sslaudit evaluate REF --suite emoji."),
        (sweep_file, str(FOLDER / "digits.toml"), "trains nothing"),
    ):
        with pytest.raises(UsageError) as caught:
            call(text)
        assert said in str(caught.value)
    assert sweep_file("slides-table-1") == FOLDER / "slides-table-1.toml"


def test_a_file_of_the_users_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").write_text(GOOD, encoding="utf-8")
    assert read_suite("digits").name == "mine"


def test_a_sweep_takes_the_name_of_a_suite(run_here: Run) -> None:
    done = run_here("sweep", "slides-table-1", "--output", "out", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "simclr/abcde/seed-0  new" in done.stdout
    done = run_here("sweep", "digits", "--output", "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the suite 'digits' trains nothing: sslaudit evaluate REF --suite digits.\n"


def test_suites_have_pages(run_here: Run) -> None:
    said = " ".join(run_here("list", "suites", "emoji").stdout.split())
    for part in (
        "emoji Noto emoji, 64 x 64, nine categories, 800 images",
        "on cards emoji-v1 data to be given digest 7d4f",
        "recipe simclr views 4, per-image",
        "sslaudit evaluate REF --suite emoji --data FOLDER",
    ):
        assert part in said
    said = " ".join(run_here("list", "suites", "slides-table-1").stdout.split())
    assert "sslaudit sweep slides-table-1 --output reports/slides-table-1" in said
    done = run_here("list", "suites", "emojis")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no suite 'emojis'. Did you mean 'emoji'?")


def test_no_suite_has_the_name_of_an_encoder() -> None:
    assert all(not EncoderRef.parse(suite.name).scheme for suite in audit_suites())
