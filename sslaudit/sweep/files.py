"""Text files of a sweep, written whole or not at all."""

from pathlib import Path

from sslaudit import whole
from sslaudit.errors import OutputError


def write_text(path: Path, text: str) -> None:
    """Write ``path`` and the folders above it. Raises ``OutputError``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}.") from error
    whole.write_text(path, text)
