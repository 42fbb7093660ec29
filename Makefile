# Two commands for newcomers: `make demo` and `make test`. Each builds the environment it needs.
#
#   PYTHON       interpreter to build with (3.11 or newer; found by itself)
#   VENV         folder of the environment
#   CONSTRAINTS  tested versions; constraints/pandas3.txt is the other set
#   TORCH_INDEX  address of an index that serves CPU builds of PyTorch. On Linux the build that pip
#                finds by itself brings gigabytes of GPU libraries; see "Get Started" on the
#                PyTorch site for the address.
#   DEMO_FLAGS   options of `synth-estimators demo`, for example "--data my.csv --target outcome"

SUPPORTED := import sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	command -v $$name >/dev/null 2>&1 && $$name -c "$(SUPPORTED)" 2>/dev/null && echo $$name && break; done)
VENV ?= .venv
CONSTRAINTS ?= constraints/tested.txt
TORCH_INDEX ?=
DEMO_FLAGS ?=
# anndata does not know pandas 3 on Python 3.11.
comma := ,
TEST_EXTRAS := test$(if $(findstring pandas3,$(CONSTRAINTS)),,$(comma)single-cell)
BIN := $(VENV)/bin

# The tables and networks of the tests are small: a second thread costs more than it brings.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint slow docs bench clean check-python

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

check-python:
	@test -n "$(PYTHON)" && $(PYTHON) -c "$(SUPPORTED)" 2>/dev/null || { \
		echo "Python 3.11 or newer (with its venv module) is needed, found:" \
			"$$($(or $(PYTHON),python3) --version 2>&1 | head -n 1). Pass it by 'make PYTHON=/path/to/python3.11 ...'." >&2; \
		exit 1; }

INSTALL = $(PYTHON) constraints/install.py --venv "$(VENV)" --constraints "$(CONSTRAINTS)" \
	--torch-index "$(TORCH_INDEX)"

demo: check-python ## Tune, sample and judge a generator on real data; writes results/demo/
	@$(INSTALL) --extras plot,report
	@$(BIN)/synth-estimators demo --force $(DEMO_FLAGS)

test: lint ## Lint, then unit, contract and docstring tests
	$(BIN)/python -m pytest -q -m "not slow and not gpu" --doctest-modules tests synth_estimators

lint: check-python ## Style, floors, types
	@$(INSTALL) --extras $(TEST_EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# pytest exits with 5 where it finds no test.
slow: check-python ## The tests that `make test` leaves out
	@$(INSTALL) --extras $(TEST_EXTRAS)
	$(BIN)/python -m pytest -q -m "slow and not gpu" tests || test $$? -eq 5

docs: check-python ## Build the site into docs/_build/html
	@$(INSTALL) --extras docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# The peers bring a build of xgboost that would overwrite ours, hence an environment of their own.
bench: check-python ## Time and score beside the peers; writes benchmarks/results/
	@$(PYTHON) constraints/install.py --venv .venv-bench --constraints "$(CONSTRAINTS)" \
		--torch-index "$(TORCH_INDEX)" --extras plot,parquet,peers
	set -e; for script in engine vae_vs_syng_bts quality_expression quality_tabular metrics learning_curve; do \
		.venv-bench/bin/python benchmarks/$$script.py; done

clean: ## Remove the environment and everything that was built
	rm -rf .venv* build dist *.egg-info results docs/_build docs/auto_examples docs/generated \
		docs/sg_execution_times.rst .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
