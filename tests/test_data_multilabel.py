"""What is taken for several labels in a cell or a row, and what is a name with a mark in it."""

import pytest

from sslaudit.data.multilabel import several_columns, several_in_a_cell


@pytest.mark.parametrize(
    "labels",
    [
        ["[unknown]", "[known]", "{}"],
        ["A|1", "B|2"],
        ["Tom &amp; Jerry", "Tom", "Jerry"],
        ["Tom; Jerry", "Asterix; Obelix", "Spirou"],
        ["Paris, France", "Lyon, France", "Paris, Texas"],
        ["1,5", "5,1", "1", "5"],
        ["New York, NY", "New York"],
        ["tench, Tinca tinca", "eel"],
        ["a|b", "", ""],
        [],
    ],
)
def test_names_with_marks_in_them_are_one_label(labels: list[str]) -> None:
    assert several_in_a_cell(labels * 4) == ""


@pytest.mark.parametrize(
    ("labels", "count"),
    [
        (["cat|dog", "cat", "dog"], 1),
        (["Mass|Nodule", "Nodule|Edema", "Edema|Mass"], 3),
        (["Mass;Nodule", "Mass;Edema", "Edema", "Nodule;rare"], 3),
        (["1,2,5", "1", "2", "5"], 1),
        (["['cat']", "cat"], 1),
        (["[0, 3]", "[1, 3]"], 2),
        (["Tom &amp; Jerry; Spike", "Tom & Jerry", "Tom", "Jerry", "Spike"], 1),
    ],
)
def test_labels_that_come_back_are_several(labels: list[str], count: int) -> None:
    assert f"multi-label, {count} of {len(labels)} cells hold several labels" in several_in_a_cell(labels)


def test_columns_with_one_1_in_each_row_are_called_that() -> None:
    one_hot = {name: [str(int(i % 3 == k)) for i in range(6)] for k, name in enumerate(["cat", "dog", "ox"])}
    said = several_columns({"path": ["x"] * 6, **one_hot})
    assert "3 columns of 0 and 1 (cat, dog, ox, ...) with exactly one 1 in each row" in said
    assert "multi-label" not in said
    one_hot["ox"][0] = "1"
    assert "it is multi-label: 3 columns hold 0 and 1 (cat, dog, ox, ...)" in several_columns(one_hot)
    assert several_columns({"cat": ["0", "1"], "dog": ["1", "0"]}) == ""
