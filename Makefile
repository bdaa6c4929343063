# Everything runs in the project's own .venv; only Python 3.11 to 3.13 and make are needed.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
STAMP := $(VENV)/.installed
PYTEST_ARGS ?= -n 2 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help install demo error-rates test test-long faults check lint format types layers lock clean

help:  ## What can be made
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

$(STAMP): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "error: lamella needs Python 3.11, 3.12 or 3.13 with venv; name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "installing into $(VENV) with $(PYTHON) (TensorFlow is large: some minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check -c requirements.lock -e ".[train,onnx,s3,dev]"
	@touch $@

install: $(STAMP)  ## Make .venv with everything

demo: install  ## A newsroom of real headlines, from training to verdict (DEMO_ARGS="--out DIR")
	@$(BIN)/lamella demo $(DEMO_ARGS)

test: install  ## All tests, with their own PostgreSQL and Valkey
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-long: install  ## The long forms of tests: 100,000 units against flagd's evaluator
	@$(BIN)/python -m pytest -n 2 -m long

error-rates: install  ## Measure docs/error-rates.md anew (about 15 minutes on one core)
	@$(BIN)/python benchmarks/error_rates.py --out docs/error-rates.md

faults: install  ## Processes killed, disks full, clocks wrong: the long form, with its figures
	@$(BIN)/python -m pytest -m slow -q -s tests/e2e/test_faults_kills.py tests/e2e/test_faults_record.py

lint: install  ## Style and unused dependencies
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/deptry .

types: install  ## mypy, strict
	@$(BIN)/mypy

layers: install  ## The rule that imports point down
	@$(BIN)/lint-imports

check: lint types layers test  ## What CI runs

format: install  ## Put the code in shape
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock:  ## Renew requirements.lock for all three Pythons
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv
	@build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header \
		--upgrade pyproject.toml -o build/lock/requirements.txt
	@{ echo "# One resolution for Python 3.11 to 3.13, used as constraints: pip install -c requirements.lock"; \
	   echo "# Renew: make lock"; cat build/lock/requirements.txt; } > requirements.lock

clean:  ## Forget .venv and every cache
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
