# make run    one run on this machine (the first call makes the environment)
# make test   the tests
# make lint   ruff, mypy and the order of the rooms (import-linter)
#
# PYTHON=python3.12 make ...       another interpreter for the environment
# TORCH_INDEX=URL make ...         where torch comes from, for example
#                                  https://download.pytorch.org/whl/cpu (without CUDA, much smaller)

PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
TORCH := torch$(shell sed -n 's/^torch\(==.*\)/\1/p' constraints.txt)
ARGS ?=

.PHONY: run test lint format clean

run: $(READY)
	$(BIN)/python -m freqexp.run $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# torch first and alone, so that TORCH_INDEX concerns nothing else.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(PIP) --editable .[dev]
	touch $@
