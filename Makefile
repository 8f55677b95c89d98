# `make audit` and `make test` do all of their own set-up: they need Python >= 3.11 and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKDIR ?= runs/embedded
INSTALLED := $(VENV)/.installed

.PHONY: install audit test test-full lint clean
.DEFAULT_GOAL := audit

$(INSTALLED): setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(INSTALLED)

audit: install
	$(BIN)/python -m experiments.tables --config=experiments/configs/embedded.py --workdir=$(WORKDIR)

test: install lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal tests

test-full: install lint
	MINT_TEST_FULL=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) runs *.egg-info
