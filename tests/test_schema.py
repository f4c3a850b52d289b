"""The committed schema of card.json is the schema of the record."""

import json

from sslaudit.report.card import json_schema
from tests.conftest import ROOT

PATH = ROOT / "registry" / "schema" / "report-card-1.json"


def test_the_committed_schema_is_exported() -> None:
    exported = json.dumps(json_schema(), indent=2) + "\n"
    assert PATH.read_text() == exported, "write it anew: python -m tests.test_schema"


if __name__ == "__main__":
    PATH.write_text(json.dumps(json_schema(), indent=2) + "\n")
