"""On a GPU the features are those of the CPU, and the work overlaps without changing them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sslaudit.data import subset
from sslaudit.encoder import from_module
from sslaudit.extraction import Embedder, features_of, lower_precision
from sslaudit.loading import load_dataset
from tests.extraction.test_embedder import HOW, LARGE, PROBE, scrambled

pytestmark = pytest.mark.gpu


def test_float32_is_float32(tmp_path: Path) -> None:
    """TF32, which cuDNN would take, is 100 times coarser."""
    data = subset(load_dataset("digits"), max_images=64)
    how = replace(HOW, views=2, batch_size=64)
    here = features_of(from_module(scrambled("resnet18"), preprocess=LARGE), data, how, cache=tmp_path)
    encoder = from_module(scrambled("resnet18"), preprocess=LARGE, device="cuda")
    there = features_of(encoder, data, replace(how, device="cuda"), cache=tmp_path)
    scale = np.linalg.norm(here.read(), axis=-1).max()
    # Views made on the two devices may differ by a grey level in a few pixels.
    assert np.linalg.norm(there.read() - here.read(), axis=-1).max() <= 5e-3 * scale


def test_workers_change_no_byte_on_a_gpu(tmp_path: Path) -> None:
    data = subset(load_dataset("digits"), max_images=300)
    encoder = from_module(scrambled("resnet18"), preprocess=LARGE, device="cuda")
    how = replace(HOW, views=2, batch_size=64, device="cuda")
    alone = features_of(encoder, data, how, cache=tmp_path / "0").read()
    found = features_of(encoder, data, replace(how, workers=8), cache=tmp_path / "8").read()
    np.testing.assert_array_equal(found, alone)


def test_the_lower_precision_of_a_gpu_is_close(tmp_path: Path) -> None:
    lower = lower_precision("cuda")
    assert lower in ("bf16", "fp16")
    encoder = from_module(scrambled("resnet18"), preprocess=LARGE, device="cuda")
    full = Embedder(encoder, replace(HOW, device="cuda"))(PROBE)
    low = Embedder(encoder, replace(HOW, device="cuda", precision=lower))(PROBE)
    assert 0 < float((low - full).norm() / full.norm()) < 2e-2


def test_a_batch_beyond_the_memory_is_halved(tmp_path: Path) -> None:
    said: list[str] = []
    encoder = from_module(scrambled("resnet18"), preprocess=LARGE, device="cuda")
    embedder = Embedder(encoder, replace(HOW, device="cuda", batch_size=200_000), on_message=said.append)
    assert embedder.rows < 200_000
    assert said
