"""The next sentence as pretext target of text.

Sentences of a document are paired without overlap, (0, 1), (2, 3), ...: none of them stands in x and in z.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from sslaudit.pretext.describe import components, principal, varying
from sslaudit.pretext.targets import PretextPairs, Target

_WORD = r"\w+"


@dataclass(frozen=True, kw_only=True, slots=True)
class SentencePairs:
    """m sentences, each with the next one of its document."""

    x: tuple[str, ...]
    z: tuple[str, ...]
    documents: np.ndarray
    """(m,) int64: the place of the document."""


def sentence_pairs(documents: Sequence[Sequence[str]]) -> SentencePairs:
    """Pairs of neighbours, (0, 1), (2, 3), ..., of each document.

    Blank sentences count for nothing, and a last one without a next is left out. So is a pair of two equal
    sentences, whatever their case and spaces: there z is a copy of x. Raises ``ValueError`` for a document
    that is a string, and when there is no pair.
    """
    x, z, places = [], [], []
    for place, document in enumerate(documents):
        if isinstance(document, str):
            raise ValueError(f"document {place} is a string; give the sequence of its sentences.")
        sentences = [sentence for sentence in document if sentence.strip()]
        for first, following in zip(sentences[::2], sentences[1::2], strict=False):
            if _plain(first) != _plain(following):
                x.append(first)
                z.append(following)
                places.append(place)
    if not x:
        raise ValueError("no document has two sentences that differ, one after the other.")
    return SentencePairs(x=tuple(x), z=tuple(z), documents=np.array(places, dtype=np.int64))


def text_pairs(
    documents: Sequence[Sequence[str]],
    embed: Callable[[Sequence[str]], np.ndarray],
    *,
    topics: Sequence[int] | np.ndarray | None = None,
) -> PretextPairs:
    """Embeddings of sentences (f), and principal components of those of the next sentences (z).

    ``embed`` takes sentences to (m, D). Labels are the ``topics`` of the documents, or their places. The
    floor is made of counts of words: the truncated singular value decomposition of TF-IDF. Raises
    ``ValueError`` for documents without pairs, topics that are not one whole number for each document, and
    embeddings of another shape or that are not finite.
    """
    found = sentence_pairs(documents)
    labels = found.documents
    if topics is not None:
        of_document = np.asarray(topics)
        if of_document.shape != (len(documents),) or of_document.dtype.kind not in "iu":
            raise ValueError(f"topics are one whole number for each of the {len(documents):,} documents.")
        labels = of_document.astype(np.int64)[found.documents]
    return PretextPairs(
        target=Target(
            name="next-sentence",
            about="embedding of the next sentence, from the sentence before",
            x=None,
            read_as="text",
        ),
        f=_embedded(embed, found.x).astype(np.float32),
        z=principal(_embedded(embed, found.z)),
        floor=word_counts(found.x),
        labels=labels,
    )


def word_counts(sentences: Sequence[str]) -> np.ndarray:
    """(m, at most 64) float64: TF-IDF of the words of sentences, by truncated singular values."""
    if not any(re.search(_WORD, sentence) for sentence in sentences):
        return np.empty((len(sentences), 0))
    counts = TfidfVectorizer(token_pattern=_WORD).fit_transform(sentences)
    if counts.shape[1] == 1 or not (counts.max(axis=0) != counts.min(axis=0)).nnz:
        return varying(counts.toarray())
    k = min(components(len(sentences)), *counts.shape)
    return varying(counts @ TruncatedSVD(k, random_state=0).fit(counts).components_.T)


def _embedded(embed: Callable[[Sequence[str]], np.ndarray], sentences: Sequence[str]) -> np.ndarray:
    features = np.asarray(embed(sentences))
    if features.ndim != 2 or len(features) != len(sentences) or not features.shape[1]:
        raise ValueError(f"embed gave shape {features.shape} for {len(sentences):,} sentences.")
    if not np.isfinite(features).all():
        raise ValueError("embed gave features that are not all finite.")
    return features


def _plain(sentence: str) -> str:
    return " ".join(sentence.split()).casefold()
