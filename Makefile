# make run: set up and serve. make test: set up and pass every test. Needs Python 3.11-3.13 and make only.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
UV_COMPILE := $(BIN)/uv pip compile --python $(BIN)/python --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --quiet pyproject.toml
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
export PIP_NO_WARN_SCRIPT_LOCATION = 1
# Bytecode is what makes the second start fast.
unexport PYTHONDONTWRITEBYTECODE

BENCHES := $(addprefix bench-,start load index messy kill-index damage disk-full switch rights claims injection guard \
	providers followups decline ablation kill-chat kill-work admin route clarify cache spelling)

.PHONY: run test check install install-test lock gate browser format $(BENCHES) bench-json

run: install
	@exec $(BIN)/assistant serve $(ARGS)

test: install-test browser
	$(BIN)/python -m pytest $(ARGS)

check: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/environment.py

install: .venv/.installed
install-test: .venv/.installed-test

.venv/.python:
	@test -n "$(PYTHON)" || { echo "assistant needs Python 3.11, 3.12 or 3.13, and none was found. Install one, or name it: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up .venv (about two minutes, once)" >&2
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.python requirements.lock pyproject.toml
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-build-isolation --editable .
	@touch $@

.venv/.installed-test: .venv/.installed requirements-test.lock
	@$(PIP) --require-hashes -r requirements-test.lock
	@touch $@

# A browser for the browser tests: the machine's own, else Debian's package, else Playwright's.
browser: install-test
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	|| { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
	|| $(BIN)/playwright install chromium \
	|| { echo "The browser tests need Chromium: install your system's chromium package and run make test again." >&2; exit 1; }

lock: install-test
	$(UV_COMPILE) --output-file requirements.lock $(ARGS)
	$(UV_COMPILE) --extra test --constraint requirements.lock --output-file requirements-test.lock $(ARGS)

format: install-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

gate: install
	$(BIN)/assistant eval gate $(ARGS)

# Figures: each prints one JSON object as its last line; see bench/README.md.
# `make bench-kill-index` runs bench/kill_index.py.
$(BENCHES): bench-%: install-test
	@$(BIN)/python -m bench.$(subst -,_,$*)

bench-json: install-test
	@$(BIN)/python -m bench.structured
