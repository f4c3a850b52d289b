# Every target makes .venv when it is missing; git, make and Python 3.11 or newer are all it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test test-slow check fix bench tables results clean

demo: .venv/ready
	$(BIN)/sslaudit demo

# Two processes of one thread each: two of two threads would wait for each other.
test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-slow: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The peers are set up beside sslaudit, without what they need for other purposes.
PEERS := lightly==1.6.0 clip-benchmark==1.6.2 pytorch-lightning==2.6.6 lightning-utilities==0.15.3 \
	torchmetrics==1.9.0 faiss-cpu==1.15.1

bench: .venv/ready
	$(BIN)/pip install --quiet --upgrade --target .cache/peers --no-deps $(PEERS)
	PYTHONPATH=.cache/peers $(BIN)/python -m benchmarks

# Three suites at their CPU scale: about half an hour on two cores. The same command goes on where it stopped.
tables: .venv/ready
	for suite in slides-table-1 slides-table-2 slides-figure-3; do \
		$(BIN)/sslaudit sweep registry/suites/$$suite.toml --scale cpu --output reports/$$suite || exit 1; \
	done

# The cards of registry/results once more: about ten minutes on two cores. Weights and images are fetched once.
results: .venv/ready
	$(BIN)/python -m registry.make_results --again

# torch and torchvision are resolved in one go, so that they fit each other.
.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .cache dist
