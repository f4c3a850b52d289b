"""Pretext targets: what an encoder may see of an image or a text (x), and what is to be predicted (z).

Names and options are checked without any array library; everything else is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sslaudit.pretext.options import DESCRIPTIONS, TARGETS, check_options

if TYPE_CHECKING:
    from sslaudit.pretext.targets import PretextPairs, Target, pairs, parse_targets
    from sslaudit.pretext.text import SentencePairs, sentence_pairs, text_pairs

_HOME = {
    **dict.fromkeys(("PretextPairs", "Target", "pairs", "parse_targets"), "sslaudit.pretext.targets"),
    **dict.fromkeys(("SentencePairs", "sentence_pairs", "text_pairs"), "sslaudit.pretext.text"),
}

__all__ = [
    "DESCRIPTIONS",
    "TARGETS",
    "PretextPairs",
    "SentencePairs",
    "Target",
    "check_options",
    "pairs",
    "parse_targets",
    "sentence_pairs",
    "text_pairs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sslaudit.pretext' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value
