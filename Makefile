# Everything starts from Python 3.11+ and make: each target makes the virtual environment that it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: help install dev demo test test-long check format bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(VENV)/.installed ## install conwp-bot into .venv

dev: $(VENV)/.dev ## install what tests and checks need too

demo: $(VENV)/.installed ## the daemon, a local ConWP and the example flows; Ctrl-C ends it
	$(BIN)/python -m conwp_bot demo

test: $(VENV)/.dev ## all tests but the long ones
	$(BIN)/python -m pytest -m "not long" -n $(JOBS)

test-long: $(VENV)/.dev ## thousands of kills and other runs of minutes
	$(BIN)/python -m pytest -m long

check: $(VENV)/.dev ## lint, types, the layers, the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/states.py --check

format: $(VENV)/.dev ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## the figures of benchmarks/README.md
	$(BIN)/python -m benchmarks

clean: ## remove what the targets made
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
