# make demo, make test and the rest set up their own virtual environment in .venv when there is none.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SEEDS ?= 1

.PHONY: demo test lint format typecheck bench install clean

demo: $(READY)  ## cross-entropy against NCL on long-tailed digits; SEEDS="1 2 3" for more
	$(BIN)/python tools/demo.py --seeds $(SEEDS)

test: $(READY)  ## the whole test suite
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(READY)
	$(BIN)/mypy

bench: $(READY)  ## speed against a plain baseline, one table; ARGS="--rows epoch --json record.json"
	$(BIN)/python benchmarks/run.py $(ARGS)

install: $(READY)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "error: Python 3.10 or newer is needed; make PYTHON=python3.12 names another one"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) has no venv module; on Debian and Ubuntu: sudo apt install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
