# lfi-mflow: every target builds what it needs, and is safe to run twice.
#
#   make demo    install, then simulate, train, infer, test closure and write a report
#   make test    the test suite
#   make lint    style, types and the layering of the package
#   make bench   the benchmarks, with JSON results in benchmarks/results/
#   make performance   what docs/performance.md shows, in a quarter of an hour
#   make clean   remove what these targets made

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
FILES := pyproject.toml constraints.txt

# Idle threads must not spin while others work: it costs a factor of ten on a busy machine.
export OMP_WAIT_POLICY ?= PASSIVE
export MPLBACKEND ?= Agg

.PHONY: demo test test-slow lint bench performance install clean
.DELETE_ON_ERROR:

install: .venv/.installed

.venv/.created:
	@test -n "$(PYTHON)" || { echo "expected Python >= 3.11, found none; install it or set PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.created $(FILES)
	$(PIP) --editable .
	@touch $@

.venv/.installed-test: .venv/.installed
	$(PIP) --editable '.[test,lint,workflows]'
	@touch $@

DEMO := demo
LFI := $(BIN)/lfi-mflow

demo: .venv/.installed
	@mkdir -p $(DEMO)
	$(LFI) simulate polynomial-surface -n 100000 --seed 1 -o $(DEMO)/events.h5 --force
	$(LFI) train $(DEMO)/events.h5 --config workflows/polynomial_surface/graph.toml --seed 1 -o $(DEMO)/model.mflow --force
	$(LFI) simulate polynomial-surface -n 20 --theta 0 --seed 2 -o $(DEMO)/observed.h5 --force
	$(LFI) infer $(DEMO)/model.mflow --observed $(DEMO)/observed.h5 --seed 3 -o $(DEMO)/posterior.nc --force
	$(LFI) closure $(DEMO)/model.mflow --seed 4 -o $(DEMO)/closure.json --force
	$(LFI) report $(DEMO)/model.mflow $(DEMO)/posterior.nc $(DEMO)/closure.json -o $(DEMO)/report.html --force
	@echo "open $(DEMO)/report.html"

# One process per core, each with one thread: more would only get in each other's way.
WORKERS ?= auto

test: .venv/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist loadfile \
		-m "not slow and not gpu" $(ARGS)

test-slow: .venv/.installed-test
	$(BIN)/python -m pytest -m "slow" $(ARGS)

lint: .venv/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

RESULTS ?= cpu

bench: .venv/.installed-test
	$(BIN)/python -m pytest benchmarks --override-ini addopts= --import-mode=importlib \
		--benchmark-only --benchmark-json=benchmarks/results/$(RESULTS).json $(ARGS)

performance: .venv/.installed-test
	$(BIN)/python benchmarks/performance.py $(ARGS)

clean:
	rm -rf .venv $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
