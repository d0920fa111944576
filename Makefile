# make run    one run on this machine (the first call makes the environment)
# make test   the tests, in two processes; ARGS="-n 0 tests/codecs": in one, and only those
# make next   tests of what Hydra does, with the next Hydra; may fail
# make lint   ruff, mypy and the order of the rooms (import-linter)
#
# The environment of `make run` holds what a run needs; the others add the extra `dev` to it.
#
# PYTHON=python3.12 make ...       another interpreter for the environment
# TORCH_INDEX=URL make ...         where torch comes from, for example
#                                  https://download.pytorch.org/whl/cpu (without CUDA, much smaller)

PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/run
DEV := $(VENV)/dev
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
TORCH := torch$(shell sed -n 's/^torch\(==.*\)/\1/p' constraints.txt)
ARGS ?=

.PHONY: run test next lint format clean

run: $(RUN)
	$(BIN)/python -m freqexp.run $(ARGS)

# One thread each: two processes that both take every core are slower.
test: $(DEV)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(ARGS)

# Newest pre-releases in a folder before the environment's own; ARGS as for `test`.
next: $(DEV)
	rm -rf build/next
	$(BIN)/python -m pip install --quiet --pre --no-deps --target build/next hydra-core omegaconf
	PYTHONPATH=build/next OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests/composing $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# torch first and alone, so that TORCH_INDEX concerns nothing else.
$(RUN): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(PIP) --editable .
	touch $@

$(DEV): $(RUN)
	$(PIP) --editable .[dev]
	touch $@
