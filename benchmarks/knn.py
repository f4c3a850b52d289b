"""kNN: the search of neighbours against faiss's exact search and scikit-learn's, on the same unit rows."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from benchmarks.plan import Plan
from benchmarks.race import Contender, Run, race
from benchmarks.table import Entry
from sslaudit.extraction.precision import lower_precision
from sslaudit_probes.classifiers.accuracy import first_best
from sslaudit_probes.classifiers.neighbours import UnitRows, nearest

BANK, QUERIES, DIM, CLASSES = 50_000, 10_000, 512, 10
NEIGHBOURS, T = 20, 0.07
OF_FAISS, OF_SCIKIT_LEARN, OF_FAISS_BF16 = 1 / 1.25, 2.0, 1.0
"""Targets: of faiss in float32, of scikit-learn, and of faiss with candidates by bfloat16."""


def measure(plan: Plan) -> Iterator[Entry]:
    """Rows for both kinds of product, and whether the predictions are those of the peers."""
    scale = min(1.0, plan.seconds / 2)
    bank, labels, query, _ = world(int(BANK * scale), int(QUERIES * scale))
    yield f"kNN, a bank of {len(bank):,}, {len(query):,} queries, d={DIM}, k={NEIGHBOURS}, float32 features"

    def ours(*, bf16: bool) -> Run:
        return lambda count, _: nearest(UnitRows(query[:count]), UnitRows(bank), NEIGHBOURS, bf16=bf16)

    contenders = [
        Contender(name="sslaudit", run=ours(bf16=False)),
        Contender(name="sslaudit", run=ours(bf16=True)),
        Contender(name="scikit-learn NearestNeighbors, brute", run=_of_rows(_scikit_learn, query, bank)),
    ]
    if find_spec("faiss"):
        contenders.append(Contender(name="faiss IndexFlatIP", run=_of_rows(_faiss, query, bank)))
    else:
        yield "  faiss is not installed here, so not measured"
    single, mixed, plain, *faiss = race(contenders, len(query), plan.rounds)
    for other in faiss:
        yield single.row("neighbours, float32 product", other, "queries/s", OF_FAISS)
        target = OF_FAISS_BF16 if lower_precision("cpu") == "bf16" else None
        yield mixed.row("neighbours, bf16 product", other, "queries/s", target)
        yield f"  {_equal('faiss', _faiss, query, bank, labels)}"
    yield single.row("neighbours, float32 product", plain, "queries/s", OF_SCIKIT_LEARN)
    yield mixed.row("neighbours, bf16 product", plain, "queries/s")
    yield f"  {_equal('scikit-learn', _scikit_learn, query, bank, labels)}"


def world(
    bank: int, queries: int, *, noise: float = 4.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Unit rows of a bank, labels, queries and theirs: noisy copies of a centre for each class, rectified."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLASSES, DIM))
    labels = rng.integers(0, CLASSES, bank + queries)
    rows = np.maximum(centres[labels] + noise * rng.normal(size=(bank + queries, DIM)), 0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows.astype(np.float32)
    return rows[:bank], labels[:bank], rows[bank:], labels[bank:]


Search = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Queries and bank; cosines (Q, k) and places (Q, k)."""


def _of_rows(search: Search, query: np.ndarray, bank: np.ndarray) -> Run:
    return lambda count, _: search(query[:count], bank)


def _faiss(query: np.ndarray, bank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(bank.shape[1])
    index.add(bank)
    cosines, places = index.search(query, NEIGHBOURS)
    return cosines, places


def _scikit_learn(query: np.ndarray, bank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distances, places = (
        NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(bank).kneighbors(query)
    )
    return 1 - distances**2 / 2, places


def _equal(name: str, search: Search, query: np.ndarray, bank: np.ndarray, labels: np.ndarray) -> str:
    """How many queries get the class that the peer's neighbours give them."""
    theirs = _classes(*search(query, bank), labels)
    shares = []
    for bf16 in (False, True):
        found = nearest(UnitRows(query), UnitRows(bank), NEIGHBOURS, bf16=bf16)
        cosines, places = found.cosines[:, :NEIGHBOURS].numpy(), found.places[:, :NEIGHBOURS].numpy()
        shares.append(f"{(_classes(cosines, places, labels) == theirs).sum():,}")
    return f"the class of {name}'s neighbours: {shares[0]} (float32), {shares[1]} (bf16) of {len(query):,}"


def _classes(cosines: np.ndarray, places: np.ndarray, labels: np.ndarray) -> np.ndarray:
    weights = np.exp((cosines.astype(float) - cosines.max()) / T)
    votes = np.zeros((len(cosines), CLASSES))
    np.add.at(votes, (np.arange(len(votes))[:, None], labels[places]), weights)
    return first_best(np.log(votes, where=votes > 0, out=np.full(votes.shape, -np.inf)))
