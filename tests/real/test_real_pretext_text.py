"""The next sentence of real conversations, by a real encoder of sentences: topics as labels."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModel, AutoTokenizer

from sslaudit.pretext import PretextPairs, text_pairs

pytestmark = [pytest.mark.network, pytest.mark.slow]


@pytest.fixture(scope="module")
def conversations(chatter: list[Path]) -> tuple[list[list[str]], list[int]]:
    """Conversations in English, and the topic of each."""
    texts, topics = [], []
    for topic, file in enumerate(chatter):
        for lines in yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]:
            texts.append([str(line) for line in lines])
            topics.append(topic)
    return texts, topics


@pytest.fixture(scope="module")
def found(conversations: tuple[list[list[str]], list[int]], minilm: Path) -> PretextPairs:
    return text_pairs(conversations[0], embedder(minilm), topics=conversations[1])


def embedder(folder: Path) -> Callable[[Sequence[str]], np.ndarray]:
    """Mean-pooled states of the model in ``folder``."""
    tokens = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()

    def embed(sentences: Sequence[str]) -> np.ndarray:
        rows = []
        for start in range(0, len(sentences), 64):
            some = list(sentences[start : start + 64])
            batch = tokens(some, padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                states = model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            rows.append((states * mask).sum(dim=1) / mask.sum(dim=1))
        return torch.cat(rows).numpy()

    return embed


def within(f: np.ndarray, z: np.ndarray, labels: np.ndarray) -> float:
    """Sum over topics of the share times the squared norm of the covariance within the topic."""
    total = 0.0
    for label in np.unique(labels):
        rows = labels == label
        f_k, z_k = (values[rows] - values[rows].mean(axis=0) for values in (f, z))
        total += rows.mean() * float(((f_k.T @ z_k / rows.sum()) ** 2).sum())
    return total


def test_pairs_of_real_conversations(found: PretextPairs) -> None:
    assert found.labels is not None
    assert len(found.f) > 500
    assert found.f.shape[1] == 384
    assert found.z.shape == (len(found.f), min(64, len(found.f) // 10))
    assert len(np.unique(found.labels)) >= 7


@pytest.mark.parametrize("features", ["f", "floor"])
def test_the_next_sentence_depends_on_this_one_within_topics(found: PretextPairs, features: str) -> None:
    assert found.labels is not None
    f = getattr(found, features).astype(np.float64)
    rng = np.random.default_rng(0)
    shuffled = []
    for _ in range(99):
        order = np.arange(len(f))
        for label in np.unique(found.labels):
            rows = np.flatnonzero(found.labels == label)
            order[rows] = rng.permutation(rows)
        shuffled.append(within(f, found.z[order], found.labels))
    assert within(f, found.z, found.labels) > 3 * max(shuffled)
