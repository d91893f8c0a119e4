# make run     try Kedge on this machine (ONCE=1: end after the first deploy; VIA=git: without a GitHub)
# make test    all tests, in parallel
# make hubot   the Hubot that some tests need; they are skipped without it
# make check   format, lint, types, imports
PYTHON ?= python3
# Half of the tests wait for something.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')
BIN := .venv/bin

.PHONY: run test hubot check format install clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \(make.*\)/  \1/p' Makefile

.venv/.runtime: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Kedge needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || { echo "creating .venv"; $(PYTHON) -m venv .venv; }
	@echo "installing what Kedge needs into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt
	@echo "installing what the checks and tests need into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .venv/fabric1 fab-classic==1.21.0
	@touch $@

install: .venv/.runtime

run: .venv/.runtime
	@$(BIN)/python -m ghapp demo $(if $(ONCE),--once) $(if $(VIA),--via $(VIA))

test: .venv/.dev
	@$(BIN)/pytest -n $(WORKERS) $(ARGS)

hubot: tests/hubot/node_modules/.package-lock.json

tests/hubot/node_modules/.package-lock.json: tests/hubot/package-lock.json
	@npm ci --prefix tests/hubot --ignore-scripts --no-audit --no-fund --silent
	@touch $@

check: .venv/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info build tests/hubot/node_modules
