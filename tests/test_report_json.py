"""``card.json``: strict to write, strict to read, and readable for as long as its version lasts."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.errors import CardError, OutputError
from sslaudit.report import words
from sslaudit.report.card import ReportCard, from_json, read_card, to_json, write_card
from tests.conftest import ROOT

FIRST = ROOT / "tests" / "data" / "first-card.json"
"""Written by the first sslaudit that had probes, from digits."""


def card(**details: Any) -> ReportCard:
    """The first card, with these details in its first metric."""
    read = read_card(FIRST)
    first = replace(read.metrics[0], details=details or read.metrics[0].details)
    return replace(read, metrics=(first, *read.metrics[1:]))


def test_a_card_of_the_first_sslaudit_is_read_and_says_what_it_did_not_record() -> None:
    read = read_card(FIRST)
    assert read.metric("knn").value == 0.5
    assert (read.metric("knn").space, read.metric("knn").paper) == ("", "")
    assert read.provenance.precision_reason == "not recorded"
    assert (read.anchors, read.references, read.shift) == ((), (), None)
    assert "RECIPE" not in dict(words.headline(read)), "the recipe is its own, which it did not say"
    assert "near-duplicates across the split" in words.not_checked(read)
    assert from_json(to_json(read), "it") == read


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 7'), "version 7; sslaudit 0."),
        (lambda text: text.replace('"schema_version": 1,', ""), "schema_version is missing"),
        (lambda text: text.replace('"value": 0.5', '"value": NaN'), "NaN is no JSON number"),
        (lambda text: text.replace('"value": 0.5', '"value": -Infinity'), "-Infinity is no JSON number"),
        (lambda text: text.replace('"value": 0.5', '"value": 1e999'), "1e999 is no JSON number"),
        (lambda text: text.replace('"value": 0.5', '"value": "0.5"'), "metrics.0.value"),
        (lambda text: text.replace('"low": 0.39', '"low": 0.99'), "upside down"),
        (lambda text: text[: len(text) // 2], "not a report card"),
        (lambda text: "[" * 100_000, "not a report card"),
        (lambda text: "[]", "schema_version is missing"),
    ],
)
def test_what_is_no_card_of_this_version_is_refused_in_one_sentence(
    change: Callable[[str], str], said: str
) -> None:
    text = FIRST.read_text()
    assert change(text) != text
    with pytest.raises(CardError, match=said) as refused:
        from_json(change(text), "'mine'")
    assert str(refused.value).startswith("'mine' ")


def test_a_list_of_numbers_stands_on_one_line() -> None:
    made = card(
        text="[\n  1,\n  2\n]", pair=(1, -2.5e-9), names=("a", "[\n1"), none=(), nested=((1, 2), (3,))
    )
    written = to_json(made)
    assert '"pair": [1, -2.5e-09],\n' in written
    assert "[1, 2],\n" in written
    assert json.loads(written)["metrics"][0]["details"] == {
        "text": "[\n  1,\n  2\n]", "pair": [1, -2.5e-9], "names": ["a", "[\n1"], "none": [],
        "nested": [[1, 2], [3]],
    }  # fmt: skip


def test_samples_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write_card(card(), tmp_path)
    (tmp_path / "samples.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(CardError, match=r"samples\.parquet"):
        read_card(tmp_path)


def test_scalars_of_array_libraries_paths_and_tuples_are_written() -> None:
    written = to_json(
        card(
            f32=np.float32(0.1), i64=np.int64(3), b=np.bool_(True), zero_d=np.array(2.5),
            tensor=torch.tensor(4), tiny=5e-324, large=1e308, path=PurePosixPath("/x"), pair=(1, 2),
        )
    )  # fmt: skip
    details = json.loads(written)["metrics"][0]["details"]
    assert details == {
        "f32": 0.10000000149011612, "i64": 3, "b": True, "zero_d": 2.5, "tensor": 4,
        "tiny": 5e-324, "large": 1e308, "path": "/x", "pair": [1, 2],
    }  # fmt: skip
    assert details["b"] is True
    assert to_json(card(zero=-0.0)) == to_json(card(zero=0.0)), "equal cards give equal text"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("-inf"),
        np.float32("nan"),
        b"x",
        {1},
        np.arange(2),
        {2: 1},
        np.longdouble(1),
        object(),
    ],
)
def test_what_json_does_not_have_is_refused_by_field_before_anything_is_written(
    value: Any, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"metrics\.0\.details\.odd"):
        write_card(card(odd=value), tmp_path / "new")
    assert not (tmp_path / "new").exists()


DETAIL = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)


@settings(max_examples=25)
@given(st.dictionaries(st.text(), DETAIL))
def test_every_detail_comes_back(details: dict[str, Any]) -> None:
    read = read_card(FIRST)
    made = replace(read, metrics=(replace(read.metrics[0], details=details), *read.metrics[1:]))
    again = from_json(to_json(made), "it")
    assert again == made
    assert to_json(again) == to_json(made)
