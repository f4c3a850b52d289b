"""The next sentence as pretext target: which sentences are paired, and what is made of them."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from sslaudit.errors import UsageError
from sslaudit.pretext import pairs, parse_targets, sentence_pairs, text_pairs
from sslaudit.pretext.text import word_counts

LETTERS = "abcdefghijklmnopqrstuvwxyz "


def letters(sentences: Sequence[str]) -> np.ndarray:
    """How often each letter stands in each sentence."""
    return np.array([[sentence.lower().count(letter) for letter in LETTERS] for sentence in sentences])


def documents(n: int, seed: int = 0) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    words = ["red", "blue", "moon", "sun", "table", "chair", "river", "stone", "bird", "fish"]
    return [[" ".join(rng.choice(words, 5)) for _ in range(rng.integers(2, 7))] for _ in range(n)]


def test_neighbours_are_paired_and_none_stands_twice() -> None:
    found = sentence_pairs([["a", "b", "c", "d", "e"], ["f"], [], ["g", "h"]])
    assert found.x == ("a", "c", "g")
    assert found.z == ("b", "d", "h")
    assert found.documents.tolist() == [0, 0, 3]
    assert found.documents.dtype == np.int64


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_each_sentence_is_used_once_at_most(lengths: list[int]) -> None:
    written = [[f"{i} {j}" for j in range(length)] for i, length in enumerate(lengths)]
    if max(lengths) < 2:
        with pytest.raises(ValueError, match="no document has two sentences"):
            sentence_pairs(written)
        return
    found = sentence_pairs(written)
    used = found.x + found.z
    assert len(used) == len(set(used)) == sum(length // 2 * 2 for length in lengths)
    for x, z, place in zip(found.x, found.z, found.documents, strict=True):
        (i, j), (k, following) = (map(int, sentence.split()) for sentence in (x, z))
        assert i == k == place
        assert following == j + 1
        assert j % 2 == 0


def test_blank_sentences_do_not_count_and_copies_are_no_pair() -> None:
    found = sentence_pairs([["Hello", " ", "you", "Yes", "yes ", "no", "maybe"]])
    assert found.x == ("Hello", "no")
    assert found.z == ("you", "maybe")


def test_features_targets_and_labels() -> None:
    texts = documents(60)
    found = text_pairs(texts, letters)
    pair = sentence_pairs(texts)
    np.testing.assert_array_equal(found.f, letters(pair.x))
    assert found.f.dtype == np.float32
    centred = letters(pair.z) - letters(pair.z).mean(axis=0)
    assert found.z.shape[1] == 9 < len(pair.x) // 10, "five of ten words: nine dimensions"
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found.z), np.abs(centred @ axes[:9].T), atol=1e-8)
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels, pair.documents)
    topics = np.arange(60) % 4
    np.testing.assert_array_equal(text_pairs(texts, letters, topics=topics).labels, topics[pair.documents])
    assert (found.target.name, found.categories) == ("next-sentence", False)


def with_zebras(texts: list[list[str]], odd: int) -> list[list[str]]:
    """Of each two sentences the first (0) or the second (1) with other letters and words."""
    return [[s + " zebra" * (i % 3) * (j % 2 == odd) for j, s in enumerate(d)] for i, d in enumerate(texts)]


def test_x_and_z_are_functions_of_their_own_sentences() -> None:
    texts = documents(60)
    plain = text_pairs(texts, letters)
    other_z = text_pairs(with_zebras(texts, 1), letters)
    other_x = text_pairs(with_zebras(texts, 0), letters)
    np.testing.assert_array_equal(other_z.f, plain.f)
    np.testing.assert_array_equal(other_z.floor, plain.floor)
    np.testing.assert_array_equal(other_x.z, plain.z)
    assert (other_x.f != plain.f).any()
    assert (other_z.z[:, 0] != plain.z[:, 0]).any()


def test_the_floor_is_the_truncated_decomposition_of_tf_idf() -> None:
    sentences = sentence_pairs(documents(60)).x
    counts = TfidfVectorizer().fit_transform(sentences).toarray()
    k = min(len(sentences) // 10, 10)
    _, _, axes = np.linalg.svd(counts, full_matrices=False)
    np.testing.assert_allclose(np.abs(word_counts(sentences)), np.abs(counts @ axes[:k].T), atol=1e-7)
    np.testing.assert_array_equal(word_counts(sentences), word_counts(sentences))


@pytest.mark.parametrize(
    ("sentences", "columns"),
    [
        (["!!", "..."], 0),
        (["same words", "same words"], 0),
        (["alone"], 0),
        (["a", "!"], 1),
        (["私 は", "猫 です"], 1),
    ],
)
def test_few_words_give_few_columns(sentences: list[str], columns: int) -> None:
    assert word_counts(sentences).shape == (len(sentences), columns)


def test_what_cannot_be_used_is_refused_with_a_reason() -> None:
    texts = documents(20)
    with pytest.raises(ValueError, match="document 1 is a string; give the sequence of its sentences"):
        sentence_pairs([["a", "b"], "a sentence. another."])
    with pytest.raises(ValueError, match="one whole number for each of the 20 documents"):
        text_pairs(texts, letters, topics=[1, 2])
    with pytest.raises(ValueError, match="one whole number"):
        text_pairs(texts, letters, topics=np.full(20, 0.5))
    with pytest.raises(ValueError, match=re.escape("embed gave shape (27,)")):
        text_pairs(texts, lambda sentences: np.zeros(27))
    with pytest.raises(ValueError, match="not all finite"):
        text_pairs(texts, lambda sentences: np.full((len(sentences), 2), np.inf))


def test_images_have_no_next_sentence() -> None:
    with pytest.raises(UsageError, match=r"z=next-sentence is for text; .* reads images"):
        parse_targets("next-sentence")
    target = text_pairs(documents(20), letters).target
    with pytest.raises(ValueError, match="'next-sentence' is for text, and has no pairs of images"):
        pairs(target, None, [0])  # type: ignore[arg-type]
