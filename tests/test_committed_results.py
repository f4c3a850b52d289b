"""Committed cards: each lies where its content says, can be read, and compared with its neighbours."""

import json
import re
from collections import defaultdict
from pathlib import Path

import jsonschema
import pytest

from registry.make_results import RESULTS, path_of, results
from sslaudit.comparison import check_comparable
from sslaudit.named import AuditSuite
from sslaudit.named.models import models
from sslaudit.recipes import parse_recipe
from sslaudit.registry import installed
from sslaudit.report.card import ReportCard, from_json
from sslaudit.report.html import page
from tests.conftest import ROOT

LARGEST = 5_000_000
"""Bytes of all results together."""
FILES = sorted(path for path in (ROOT / RESULTS).rglob("*") if path.is_file())
MADE = {(result.suite.label, result.model): result.suite for result in results()}
MACHINE = re.compile(r"(?<![\w.~/-])(/(work|tmp|home|root|Users|var|opt|mnt)\b|[A-Za-z]:\\\\)|://")
"""A path of the machine on which a card was made, or a host."""


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.relative_to(ROOT / RESULTS).as_posix())
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def card(file: Path) -> ReportCard:
    return from_json(file.read_text(encoding="utf-8"), f"'{file}'")


@pytest.fixture(scope="module")
def suite(file: Path) -> AuditSuite:
    return MADE[file.parent.parent.name, file.parent.name]


def test_there_are_results_and_they_are_small() -> None:
    assert FILES, "python -m registry.make_results"
    assert sum(path.stat().st_size for path in FILES) < LARGEST
    folders = [path.parent for path in FILES]
    assert {(folder.parent.name, folder.name) for folder in folders} == set(MADE)
    assert len(set(folders)) == len(folders), "one card for each encoder on each suite"


def test_it_lies_where_its_content_says(file: Path, card: ReportCard, suite: AuditSuite) -> None:
    assert file == ROOT / path_of(card, file.parent.name)
    assert card.suite == suite.label
    model, ref = file.parent.name, card.encoder.ref
    known = {model.name: model for model in models()}.get(model)
    if known is not None:
        assert (card.encoder.digest, ref) == (known.digest, model)
        assert card.encoder.facts["licence"] == known.licence
    elif model == "untrained":
        assert ref.startswith("untrained:")
    else:
        assert ref in (f"module:{model}", f".cache/results/demo/{model}.pt")


def test_it_keeps_to_its_suite(card: ReportCard, suite: AuditSuite) -> None:
    data = card.data
    recipe = parse_recipe(suite.recipe, installed().recipes.usable())
    assert data.digest == suite.digest
    assert data.recipe.rpartition("@")[0] == recipe.text
    assert not data.recipe_assumed
    assert (data.views, data.views_mode, data.seed) == (suite.views, suite.views_mode, suite.seed)
    assert card.provenance.precision == suite.precision
    terms = {record.term for record in card.metrics}
    assert terms >= set(suite.metrics or ("linear-probe", "knn", "alignment", "divergence", "theorem1"))
    assert not card.problems


def test_it_is_of_the_schema_and_renders(file: Path, card: ReportCard) -> None:
    text = file.read_text(encoding="utf-8")
    schema = json.loads((ROOT / "registry" / "schema" / "report-card-1.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(text), schema)
    shown = page(card)
    assert shown == page(card)
    assert card.encoder.ref in shown


def test_it_says_nothing_of_the_machine_but_its_device(file: Path, card: ReportCard) -> None:
    assert not MACHINE.search(file.read_text(encoding="utf-8"))
    assert card.provenance.device.startswith("cpu")


def test_cards_of_one_suite_are_comparable() -> None:
    cards = defaultdict(list)
    for path in FILES:
        card = from_json(path.read_text(encoding="utf-8"), f"'{path}'")
        if not card.failed_checks:
            cards[card.suite].append(card)
    assert cards
    for of_suite in cards.values():
        check_comparable(of_suite)
        assert len({card.encoder.digest for card in of_suite}) == len(of_suite)
