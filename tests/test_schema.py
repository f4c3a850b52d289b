"""The committed schemas are those of the records."""

import json
from collections.abc import Callable

import pytest

from sslaudit.report import card, inspection
from tests.conftest import ROOT

SCHEMAS = {"report-card-1.json": card.json_schema, "inspect-1.json": inspection.json_schema}
FOLDER = ROOT / "registry" / "schema"


def exported(schema: Callable[[], object]) -> str:
    return json.dumps(schema(), indent=2) + "\n"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_exported(name: str) -> None:
    assert (FOLDER / name).read_text() == exported(SCHEMAS[name]), (
        "write it anew: python -m tests.test_schema"
    )


if __name__ == "__main__":
    for name, schema in SCHEMAS.items():
        (FOLDER / name).write_text(exported(schema))
