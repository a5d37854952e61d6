# make demo: the main job on embedded parts. make test: the tests. See README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint check bench reliability wheel clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   run the main job here, on embedded parts"
	@echo "make test   run the tests"
	@echo "make check  formatting, lint, types, import rules, tests"
	@echo "make bench  measure speed and size"
	@echo "make wheel  build the wheel, install it in a clean environment, start it"
	@echo "make clean  remove what the others made"

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/rainbow-agent demo

test: $(VENV)/.dev
	$(BIN)/pytest

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# Checks accessibility in the browser tests; a tool of the tests alone, never a part of the program.
build/axe.min.js:
	mkdir -p build/axe
	cd build/axe && npm pack --silent axe-core && tar -xzf axe-core-*.tgz package/axe.min.js
	mv build/axe/package/axe.min.js $@

bench: $(VENV)/.dev
	$(BIN)/python bench/run.py

reliability: $(VENV)/.dev
	mkdir -p build && rm -f build/reliability.jsonl
	RELIABILITY_JSON=$(CURDIR)/build/reliability.jsonl $(BIN)/pytest tests/acceptance/test_outages*.py
	$(BIN)/python bench/reliability.py build/reliability.jsonl

wheel: $(VENV)/.dev
	rm -rf dist build/wheel-venv
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	cd / && $(CURDIR)/build/wheel-venv/bin/rainbow-agent version
	cd / && $(CURDIR)/build/wheel-venv/bin/rainbow-compspec --help >/dev/null

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
