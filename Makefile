# make run | test | check | test-all | soak | bench | router | train | clean
PORT ?= 9300
PYTHON ?= python3
# make run CONFIG=my.yaml serves another fleet than ./adapters.yaml
CONFIG ?= adapters.yaml
BIN := .venv/bin
# two files of tests at a time: one alone leaves a core idle
PYTEST = $(BIN)/python -m pytest -q
TOGETHER = -n 2 --dist loadfile --ignore $(ALONE)
# pytest-xdist runs tests that have one id once, and schemathesis gives one to all operations
ALONE = tests/contract/test_schemathesis.py
SOURCES := gateway router worker wire fleet demo bench tests

.PHONY: run test check format test-all soak bench router train clean help

help:
	@echo "make run       start the gateway on 127.0.0.1:$(PORT) with the embedded fleet"
	@echo "make test      the tests (under 12 minutes on two cores)"
	@echo "make check     format, lint, types, import rules"
	@echo "make test-all  the slow proofs as well; installs torch, peft and lm-eval"
	@echo "make soak      load and fault runs"
	@echo "make bench     the figures of docs/benchmarks.md"
	@echo "make router    fit the router that ships, and measure it (a minute)"
	@echo "make train     train the embedded fleet again (hours)"

run: .venv/.runtime
	@exec $(BIN)/ailiance serve --config $(CONFIG) --port $(PORT)

test: .venv/.dev
	$(PYTEST) $(TOGETHER)
	$(PYTEST) $(ALONE)

check: .venv/.dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/pyright -p .
	$(BIN)/lint-imports

format: .venv/.dev
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

test-all: .venv/.dev .venv/.train .venv/.evals
	$(PYTEST) $(TOGETHER) -m "not soak"
	$(PYTEST) $(ALONE) -m "not soak"

soak: .venv/.dev
	$(PYTEST) -m soak

bench: .venv/.dev
	$(BIN)/python -m bench.engine

router: .venv/.dev
	OPENBLAS_NUM_THREADS=1 $(BIN)/ailiance router fit --out router/weights.npz
	OPENBLAS_NUM_THREADS=1 $(BIN)/ailiance router eval --weights router/weights.npz \
	  --record tests/router/data/record.json

train: .venv/.dev .venv/.train
	$(BIN)/python -m demo.train

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt pip

.venv/.runtime: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e .
	@touch $@

.venv/.dev: .venv/.runtime
	$(BIN)/pip install --quiet -c constraints.txt --group dev
	@touch $@

.venv/.train: .venv/.runtime
	$(BIN)/pip install --quiet -c constraints.txt -e '.[train]'
	@touch $@

# apart, and without our constraints: it can't live with our python-dateutil
.venv/.evals: .venv/.runtime
	$(BIN)/python -m venv --without-pip .venv/evals
	$(BIN)/pip --python .venv/evals/bin/python install --quiet --group evals
	@touch $@

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache
