# `make audit`, `make test` and `make demo` do all of their own set-up: they need Python >= 3.11 and
# nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKDIR ?= runs/embedded
INSTALLED := $(VENV)/.installed
PORT ?= 8000
# The auditor of `make audit` where it ran, else the shipped one, which is such an auditor.
AUDITOR ?= $(firstword $(wildcard $(WORKDIR)/auditors/matched/chosen) experiments/demo/chosen)

# Debian's packages of a Slurm; only root can install those that are missing.
SLURM := munge slurm-client slurmctld slurmd

.PHONY: install audit demo test test-full test-slurm benchmark lint clean
.DEFAULT_GOAL := audit

$(INSTALLED): setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(INSTALLED)

audit: install
	$(BIN)/python -m experiments.tables --config=experiments/configs/embedded.py --workdir=$(WORKDIR)

demo: install
	$(BIN)/python -m experiments.serve --audited=embedded --auditors=$(AUDITOR) --port=$(PORT)

test: install lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal tests

test-full: install lint
	MINT_TEST_FULL=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal tests

test-slurm: install
	@missing=$$(for package in $(SLURM); do dpkg -s $$package > /dev/null 2>&1 || echo $$package; done); \
	if [ "$$missing" ] && [ $$(id -u) -ne 0 ]; then \
	  echo "Debian packages are missing, and only root can install them:" $$missing >&2; exit 1; \
	elif [ "$$missing" ]; then \
	  apt-get update -qq && apt-get install -qq --no-install-recommends $$missing; \
	fi
	MINT_TEST_SLURM=1 $(BIN)/python -m pytest -q tests/slurm

benchmark: install
	$(BIN)/python -m experiments.benchmark --workdir=runs/benchmark

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) runs *.egg-info
