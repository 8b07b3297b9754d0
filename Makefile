# `make demo` and `make test` set up all that they need in .venv, from nothing.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench torture audit-deps check format clean

demo: .venv/.installed
	@$(BIN)/bulk-delete demo

test: .venv/.developed
	$(BIN)/pytest

# BENCH has more words for it: make bench BENCH='--rows 1000000 --only csv sdk --json out.json'
bench: .venv/.benched
	$(BIN)/python -m tests.benchmarks.bench $(BENCH)

# TORTURE has more words for it: make torture TORTURE='--rounds 2 --only "SIGINT twice"'
torture: .venv/.developed
	$(BIN)/python -m tests.torture.torture $(TORTURE)

# Looks the dependencies up in a list of known weaknesses, over the network.
audit-deps: .venv/.installed
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

check: .venv/.developed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.developed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.developed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/.installed

.venv/.benched: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@ .venv/.installed
