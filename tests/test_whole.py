"""Files are replaced whole, or left as they were, with nothing beside them."""

from pathlib import Path

import pytest

from sslaudit.whole import replacing


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    for text in ("one", "two"):
        with replacing(path) as beside:
            beside.write_text(text)
        assert path.read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.txt"]
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "none" / "x.txt") as beside:
        beside.write_text("")


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "x.txt"
    path.write_text("before")

    def write() -> None:
        with replacing(path) as beside:
            beside.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.txt"]
