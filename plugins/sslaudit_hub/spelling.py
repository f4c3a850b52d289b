"""What was likely meant by a spelling that names neither a folder nor a repository."""

import re
from urllib.parse import unquote

_REPOSITORY = re.compile(
    r"(?:https?://(?:www\.)?(?:huggingface\.co|hf\.co)/|//)?"
    r"(?P<name>(?!(?:datasets|spaces|api)/)[\w-][\w.-]*/[\w-][\w.-]*)"
    r"(?:@(?P<at>[^?#]+)|/(?:tree|blob|resolve)/(?P<revision>refs/pr/\d+|[^/?#]+))?"
    r"(?:[/?#].*)?"
)


def advice(locator: str) -> str:
    """The right spelling of a repository that ``locator`` holds, as a sentence; empty when there is none."""
    if match := _REPOSITORY.fullmatch(locator):
        revision = unquote(match["revision"] or "") or match["at"]
        at = f"@{revision}" if revision and revision != "main" else ""
        return f" For the repository of the hub write hf:{match['name']}{at}."
    if "://" in locator:
        return " It is a URL: download the file first, or name a repository of the hub: hf:ORG/NAME."
    return ""
