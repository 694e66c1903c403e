# The targets create a virtual environment in .venv if it does not exist.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SEEDS ?= 1
JOBS ?= auto
# Compiled files are kept: programs that tests start, and the next run of the tests, need not compile them again.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

.PHONY: demo test test-fast test-lowest acceptance check lint format typecheck bench docs docs-site install clean help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: $(READY)  ## cross-entropy against NCL on long-tailed digits; SEEDS="1 2 3" for more
	$(BIN)/python tools/demo.py --seeds $(SEEDS)

test: $(READY)  ## the whole test suite, one process per core; JOBS=1 for one process
	$(PYTEST)

test-fast: $(READY)  ## the tests that take less than a few seconds each
	$(PYTEST) -m 'not slow'

acceptance: $(READY)  ## train short configs again and compare with acceptance.yaml; under 15 minutes on two cores
	$(BIN)/python tools/acceptance.py

test-lowest:  ## the fast tests with the lowest supported versions, in a separate environment
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-lowest.txt
	OMP_NUM_THREADS=1 PYTHONPATH=lib .venv-lowest/bin/python -m pytest -n $(JOBS) -m 'not slow'

check: lint typecheck test  ## everything that must pass before a change lands

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## apply ruff's fixes and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(READY)  ## mypy, strict
	$(BIN)/mypy

bench: $(READY)  ## compare the speed with a plain baseline; ARGS="--rows epoch --json record.json"
	$(BIN)/python benchmarks/run.py $(ARGS)

docs: $(READY)  ## write the generated pages of docs/
	$(BIN)/python tools/write_docs.py

docs-site: $(READY) docs  ## build the documentation site in site/; warnings are errors
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict

install: $(READY)

$(READY): requirements.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "error: Python 3.10 or newer is needed; make PYTHON=python3.12 names another one"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) has no venv module; on Debian and Ubuntu: sudo apt install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:  ## remove the environment and caches
	rm -rf $(VENV) .venv-lowest .pytest_cache .mypy_cache .ruff_cache
