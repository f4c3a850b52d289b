"""What ``sslaudit list metrics NAME`` shows of every first-party metric is there, whole and in order."""

import re

import pytest

from sslaudit.described import LABELS, documentation
from sslaudit.specs import MetricSpec
from sslaudit_probes.metrics import METRICS as PROBES
from sslaudit_theory.metrics import METRICS as THEORY

SPECS = {spec.name: spec for spec in (*THEORY, *PROBES)}


@pytest.fixture(params=sorted(SPECS))
def spec(request: pytest.FixtureRequest) -> MetricSpec:
    return SPECS[request.param]


def test_the_docstring_of_a_metric_has_all_labels_in_order(spec: MetricSpec) -> None:
    first, _, rest = documentation(spec).partition("\n")
    assert first.startswith(f"The metric ``{spec.name}``: ")
    assert first.endswith((".", "?")), "one sentence on one line"
    parts = re.split(rf"^({'|'.join(LABELS)}):", rest, flags=re.MULTILINE)
    assert tuple(parts[1::2]) == LABELS
    for label, said in zip(parts[1::2], parts[2::2], strict=True):
        text = " ".join(said.split())
        assert len(text) > 8, f"{label} says nothing"
        assert text.endswith((".", "?")), f"{label} is no sentence: {text}"


def test_every_option_says_what_it_does(spec: MetricSpec) -> None:
    for option in spec.options:
        assert option.help, option.name
        assert not option.help.endswith("."), option.name


def test_a_metric_has_a_label_and_a_source(spec: MetricSpec) -> None:
    assert spec.summary
    assert spec.source
