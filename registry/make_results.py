"""Makes the committed results again, each encoder on each suite.

    python -m registry.make_results [--suite NAME] [--model NAME] [--again]

It runs from the root of a checkout, so that no card holds a path of this machine, and goes on where it was
interrupted: a card that is there stands, unless ``--again`` is said. Weights and images are kept in
``.cache``, features for one run alone, so that no number is older than the code. All together it takes
about ten minutes on two cores.
"""

import argparse
import contextlib
import functools
import io
import runpy
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from registry import fetch
from sslaudit import Encoder, ReportCard, evaluate
from sslaudit.demo import run as run_demo
from sslaudit.encoder import from_module
from sslaudit.errors import UsageError
from sslaudit.named import AuditSuite, Model, read_suite
from sslaudit.named.models import models
from sslaudit.registry import installed, nearest
from sslaudit.report.card import EncoderRecord, to_json
from sslaudit.whole import replacing

ROOT = Path(__file__).parent.parent
RESULTS = Path("registry") / "results"
MADE = Path(".cache") / "results"
DIGITS = 12
"""Of the encoder's digest, as the name of its card."""

Make = Callable[[], str | Encoder]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One encoder on one suite."""

    suite: AuditSuite
    model: str
    make: Make
    """The encoder, or its reference."""

    @property
    def folder(self) -> Path:
        """Where its card lies, alone."""
        return RESULTS / self.suite.label / self.model


def results() -> Iterator[Result]:
    """All that is committed, in the order in which it is made."""
    demo = {name: functools.partial(_of_demo, name) for name in ("simclr", "barlow-twins", "untrained")}
    names = ("pixels", "pca-16", "lda-9", "mlp-hidden-32", "mlp-softmax")
    ladder = {name: functools.partial(_of_ladder, name) for name in names}
    shipped = {model.name: functools.partial(_shipped, model) for model in models() if model.weights}
    makes: Mapping[str, Mapping[str, Make]] = {
        "digits": demo,
        "digits-ladder": {**ladder, **demo},
        "emoji": shipped,
        "stamps": shipped,
    }
    for name, of_suite in makes.items():
        suite = read_suite(name)
        for model, make in of_suite.items():
            yield Result(suite=suite, model=model, make=make)


def path_of(card: ReportCard, model: str) -> Path:
    """Where the card of ``model`` lies: its suite, its name, the start of its encoder's digest."""
    return RESULTS / str(card.suite) / model / f"{card.encoder.digest[:DIGITS]}.json"


@functools.cache
def _demo() -> Mapping[str, str]:
    """The encoders of ``sslaudit demo``, trained with its seeds."""
    folder = MADE / "demo"
    files = {name: folder / f"{name}.pt" for name in ("simclr", "barlow-twins")}
    if not all(file.is_file() for file in files.values()):
        run_demo(installed(), folder, say=lambda message: print(f"  {message}", file=sys.stderr))
    refs = {name: str(file) for name, file in files.items()}
    return MappingProxyType({**refs, "untrained": f"untrained:{refs['simclr']}"})


def _of_demo(name: str) -> str:
    return _demo()[name]


@functools.cache
def _ladder() -> dict[str, Any]:
    """What ``examples/digits_ladder.py`` makes."""
    with contextlib.redirect_stdout(io.StringIO()):
        return runpy.run_path("examples/digits_ladder.py", run_name="digits_ladder")


def _of_ladder(name: str) -> Encoder:
    made = _ladder()
    modules = {title.lower().replace(" ", "-"): module for title, module in made["encoders"].items()}
    return from_module(modules[name], preprocess=made["preprocess"], name=name)


def _model(name: str) -> Model | None:
    return next((model for model in models() if model.name == name), None)


def _on_record(encoder: EncoderRecord, model: Model) -> EncoderRecord:
    """The short name in place of where a file lies on this machine, and what is known of the weights."""
    assert model.weights is not None
    known = {"licence": model.licence, "source": f"{model.weights.member} in {model.weights.pinned}"}
    return replace(encoder, ref=model.name, facts={**encoder.facts, **known})


def _shipped(model: Model) -> str:
    return model.at(fetch.weights(model))


def make(result: Result, cache: Path) -> Path:
    """Audit, with features in ``cache``, and leave one card in the folder of the encoder."""
    encoder = result.make()
    folder = fetch.DATA[result.suite.name]() if result.suite.data is None else None
    card = evaluate(
        encoder,
        None if folder is None else str(folder),
        suite=result.suite,
        device="cpu",
        cache=cache,
    )
    if isinstance(encoder, str):
        command = ["sslaudit", "evaluate", encoder, "--suite", result.suite.name]
        command += [] if folder is None else ["--data", str(folder)]
    else:
        command = ["python", "-m", "registry.make_results", "--again", "--suite", result.suite.name]
        command += ["--model", result.model]
    card = replace(card, provenance=replace(card.provenance, command=shlex.join(command)))
    if model := _model(result.model):
        card = replace(card, encoder=_on_record(card.encoder, model))
    path = path_of(card, result.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(to_json(card), encoding="utf-8")
    for other in set(path.parent.iterdir()) - {path}:  # weights that are trained anew have another digest
        other.unlink()
    return path


def main(arguments: list[str]) -> None:
    """Make what is asked for and not there."""
    parser = argparse.ArgumentParser(
        prog="python -m registry.make_results", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--suite", action="append", help="only this one; may be repeated")
    parser.add_argument("--model", action="append", help="only this one; may be repeated")
    parser.add_argument("--again", action="store_true", help="replace cards that are there")
    asked = parser.parse_args(arguments)
    if Path.cwd() != ROOT:
        raise UsageError(f"run it from {ROOT}, so that no card holds a path of this machine.")
    every = list(results())
    for given, known in (
        (asked.suite, {result.suite.name for result in every}),
        (asked.model, {result.model for result in every}),
    ):
        for name in set(given or ()) - known:
            raise UsageError(f"there is no result of '{name}'.{nearest(name, known)}")
    wanted = [
        result
        for result in every
        if (not asked.suite or result.suite.name in asked.suite)
        and (not asked.model or result.model in asked.model)
    ]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="sslaudit-") as cache:
        for result in wanted:
            there = sorted(result.folder.glob("*.json"))
            if there and not asked.again:
                print(f"{there[0]} stands")
                continue
            before = time.perf_counter()
            print(f"{make(result, Path(cache))}  {time.perf_counter() - before:.0f} s", flush=True)
    print(f"{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UsageError as error:
        sys.exit(f"error: {error}")
