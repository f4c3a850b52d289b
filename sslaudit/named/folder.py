"""Where named things are kept: beside the code of an installed package, in ``registry/`` of a checkout."""

import tomllib
from pathlib import Path
from typing import Any

from sslaudit.errors import UsageError

_INSTALLED = Path(__file__).parent / "data"
_CHECKOUT = Path(__file__).parents[2] / "registry"


def folder() -> Path:
    """The folder that holds ``models.toml``, ``suites`` and ``schema``."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file; ``what`` names it in errors. Raises ``UsageError``."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"cannot read {what} '{path}': {reason}.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{what} '{path}' is not TOML: {error}.") from None
