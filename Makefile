# Every target sets itself up: a machine with make and Python 3.11 to 3.13 is enough.
#   make demo PYTHON=python3.12 VENV=.venv-3.12     another interpreter, beside the first

PYTHON ?= python3
VENV   ?= .venv
OUT    ?= demo-out

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint requirements/constraints.txt
PINS := setup.cfg pyproject.toml requirements/constraints.txt

.PHONY: help demo test check bench wheel torch
.DELETE_ON_ERROR:

help:
	@echo "make demo    image a radar scan, unmix a cube, estimate a channel into $(OUT)/"
	@echo "make test    run the tests (pytest -q)"
	@echo "make check   lint, format, types, lines of the core"
	@echo "make bench   run the benchmarks"
	@echo "make wheel   build the wheel and prove it outside the checkout"
	@echo "make torch   add the CPU build of torch, so that its tests run too"

demo: $(VENV)/.core
	$(BIN)/sparsesolve demo radar --out $(OUT)
	$(BIN)/sparsesolve demo unmixing --out $(OUT)/unmixing
	$(BIN)/sparsesolve demo channel --out $(OUT)/channel

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/count_lines.py

bench: $(VENV)/.dev
	set -e; for file in benchmarks/bench_*.py; do $(BIN)/python $$file; done

wheel: $(VENV)/.dev
	PYTHON=$(abspath $(BIN)/python) bash .ci/prove_wheel

torch: $(VENV)/.dev
	@$(PIP) torch || { echo "torch: this machine's package indexes offer no CPU build" \
	  "of the pinned version; on Linux try" \
	  "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make torch"; exit 1; }

# Newer than the files that say what to install, or done again.
$(VENV)/.core: $(PINS)
	@$(PYTHON) -c '' 2>/dev/null || { echo "$(PYTHON) does not run here; install" \
	  "Python 3.11 to 3.13, or name one: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), but sparsesolve needs 3.11" \
	  "to 3.13; name such a one: make PYTHON=python3.12"; exit 1; }
	@echo "installing into $(VENV), a minute or two the first time"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@$(PIP) --editable '.[dev]'
	@touch $@
