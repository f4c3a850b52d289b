"""``sslaudit list KIND NAME``: all of one metric, scheme, recipe or method, and ``deferred``."""

import subprocess
from collections.abc import Callable

import pytest

from sslaudit import Estimate, MetricInputs, MetricSpec, Needs
from sslaudit.errors import PluginError
from sslaudit.host import Plugin
from sslaudit.registry import Registry, installed
from sslaudit.specs import Deferred, Option, deferred
from tests.conftest import Run

Listing = Callable[..., subprocess.CompletedProcess[str]]


def described(inputs: MetricInputs) -> Estimate:
    """The metric ``boldness``: what [bold]it[/bold] is.

    A second paragraph
    in two lines:

        f(x)   =  [red]x[/red]
        g(x)   =  y

    Formula: one line that is long enough to be wrapped where a terminal has eighty columns, and then some,
        which goes on here,

            f  =  [i]g[/i]

        * and a point.
    Shapes: (N, D).
    High: much.
    """
    raise AssertionError("a page runs nothing")


def undescribed(inputs: MetricInputs) -> Estimate:
    raise AssertionError("a page runs nothing")


def spec(name: str, compute: Callable[..., object], **fields: object) -> MetricSpec:
    about = {"version": 3, "summary": "{k} [i]of[/i] it", "source": "[link=x]us[/link]", "needs": Needs()}
    return MetricSpec(**{"name": name, "compute": compute, **about, **fields})  # type: ignore[arg-type]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed, and metrics of a third party."""
    options = (
        Option(name="k", type=int, default=4, minimum=1, maximum=9, help="how [b]many[/b]"),
        Option(name="way", type=str, default=None, choices=("up", "down"), help="which"),
    )
    needs = Needs(views=2, pixel_views=1, labels="optional", altered=True, encoder=True, results=("knn",))
    metrics = [
        spec("boldness", described, options=options, needs=needs, default=False, range=(0, None)),
        spec("silence", undescribed),
        spec("nowhere", deferred("sslaudit.nowhere:compute")),
        spec("knn", described),
    ]
    plugin = Plugin(name="theirs", distribution="their-dist", version="7", offers={"metrics": metrics})
    found = Registry([*installed().plugins, plugin])
    monkeypatch.setattr("sslaudit.cli.guard.installed", lambda: found)


@pytest.fixture
def listing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own: None) -> Listing:
    """``listing("metrics", "knn")`` at 80 columns, in this process."""
    from sslaudit.cli.app import app

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit) as end:
            app(["list", *args])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(args, int(end.value.code or 0), said.out, said.err)

    return call


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_the_page_of_a_metric_says_all_of_it(listing: Listing) -> None:
    done = listing("metrics", "boldness")
    assert done.returncode == 0
    assert max(map(len, lines(done.stdout))) <= 80
    said = lines(done.stdout)
    assert said[0] == "boldness   4 [i]of[/i] it"
    for line in (
        "plugin     theirs (their-dist 7)",
        "version    3",
        "runs       only when named: --metrics boldness",
        "group      other: the rest",
        "range      from 0",
        "direction  neither end is better",
        "unit       none",
        "source     [link=x]us[/link]",
        "  k    how [b]many[/b]",
        "       a whole number, default 4, at least 1, at most 9",
        "  way  which",
        "       a text, no default, one of up, down",
        "The metric 'boldness': what [bold]it[/bold] is.",
        "A second paragraph in two lines:",
        "    f(x)   =  [red]x[/red]",
        "    g(x)   =  y",
        "Formula:  one line that is long enough to be wrapped where a terminal has eighty",
        "                  f  =  [i]g[/i]",
        "          * and a point.",
        "Shapes:   (N, D).",
        "High:     much.",
    ):
        assert line in said, line
    together = " ".join(done.stdout.split())
    for need in (
        "at least 2 views of each image, embedded; at least 1 view of each image, as pixels",
        "class labels, and says less without; extra passes of the encoder",
        "the encoder itself; the results of knn; reads embeddings",
        "and then some, which goes on here,",
    ):
        assert need in together, need


def test_what_has_no_docstring_has_a_page_all_the_same(listing: Listing) -> None:
    done = listing("metrics", "silence")
    assert done.returncode == 0
    assert lines(done.stdout)[-1].startswith("source")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("metrics", "boldnes"), 2, "error: there is no metric 'boldnes'. Did you mean 'boldness'?"),
        (
            ("metrics", "NC1"),
            2,
            "error: there is no metric 'NC1'. 'neural-collapse' gives it: `sslaudit list",
        ),
        (("encoders", "flie"), 2, "error: there is no encoder 'flie'. Did you mean 'file'?"),
        (("metrics", "nowhere"), 1, "error: plugin theirs (their-dist 7) failed on metric 'nowhere': Module"),
        (("metrics", "knn"), 1, "error: metric 'knn' is offered by "),
    ],
)
def test_a_name_that_cannot_be_shown_is_one_clear_answer(
    listing: Listing, args: tuple[str, str], code: int, said: str
) -> None:
    done = listing(*args)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("encoders", "file"), "trust-pickle run the code pickled in this file"),
        (("datasets", "folder"), "levels"),
        (("recipes", "simclr"), "terms crop+flip+color(strength=1.0)+gray+blur"),
        (("recipes", "crop"), "interpolation how it is resized a text, default bilinear, one of"),
        (("methods", "simclr"), "temperature NT-Xent temperature a number, default 0.5"),
        (
            ("methods", "byol"),
            "example sslaudit train 'byol(momentum=0.996)' --data DATA --output run/last.pt",
        ),
        (
            ("methods", "rotation"),
            "recipe crop+flip heads one linear layer of four classes on h example sslaudit",
        ),
        (("methods", "pretext-boost"), "trains a head on top of --encoder example sslaudit train"),
    ],
)
def test_other_kinds_have_pages_too(listing: Listing, args: tuple[str, str], said: str) -> None:
    done = listing(*args)
    assert done.returncode == 0
    assert said in " ".join(done.stdout.split())


def test_the_program_shows_a_metric_of_its_own(run: Run) -> None:
    done = run("list", "metrics", "alignment")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "norm  sphere (unit norm)" in done.stdout
    assert "Formula:  " in done.stdout


def test_a_deferred_function_is_found_without_being_run() -> None:
    later = deferred("tests.test_cli_listing:described")
    assert isinstance(later, Deferred)
    assert later.path == "tests.test_cli_listing:described"
    assert later.resolve().__doc__ == described.__doc__
    assert deferred("math:sqrt")(9) == 3
    with pytest.raises(AttributeError):
        deferred("math:root").resolve()


def test_a_metric_that_cannot_be_imported_blames_its_plugin() -> None:
    from sslaudit.described import documentation

    with pytest.raises(PluginError, match="its plugin failed on metric 'gone': AttributeError"):
        documentation(spec("gone", deferred("math:root")))
