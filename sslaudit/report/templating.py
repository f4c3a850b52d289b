"""The templates of pages: every text is escaped, and a name that a template misspells is an error."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


@functools.cache
def environment(package: str, finalize: Callable[[Any], Any] | None = None) -> "Environment":
    """The templates beside the modules of ``package``; ``finalize`` changes each value that is shown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
