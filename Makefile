# Two commands do everything on a fresh machine: `make quickstart` and `make test`. Both install into .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-tests
# What the tests need in addition, which `make install` and `make quickstart` do without.
TEST_REQUIREMENTS := requirements/tests.txt requirements/distributed.txt
TEST_NO_DEPS := requirements/text.txt
REQUIREMENTS := $(filter-out $(TEST_REQUIREMENTS) $(TEST_NO_DEPS),$(wildcard requirements/*.txt)) setup.py

.PHONY: help install quickstart test test-slow lint format clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /: /' | column -t -s ':'

install: $(STAMP) ## Make .venv and install the tested set of packages into it

$(STAMP): $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 13) or sys.exit( \
		"sapiens needs Python 3.10 to 3.13, and $(PYTHON) is %d.%d: run `make PYTHON=python3.11 install`" % v)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -r requirements/runtime.txt -r requirements/optional.txt -c requirements/constraints.txt
	$(PIP) install --quiet --no-deps -r requirements/mminstall.txt
	$(PIP) install --quiet --no-deps --editable .
	$(BIN)/python -c 'import sapiens; print("sapiens", sapiens.__version__, "is installed in $(VENV)")'
	@touch $@

$(TEST_STAMP): $(STAMP) $(TEST_REQUIREMENTS) $(TEST_NO_DEPS)
	$(PIP) install --quiet $(addprefix -r ,$(TEST_REQUIREMENTS)) -c requirements/constraints.txt
	$(PIP) install --quiet --no-deps $(addprefix -r ,$(TEST_NO_DEPS))
	@touch $@

quickstart: install ## Render people, pretrain the tiny model on them, draw people, minutes (DATA_ROOT=folder for your own images)
	$(BIN)/python tools/quickstart.py $(if $(DATA_ROOT),--images "$(DATA_ROOT)")

# Files side by side, a core each: most of a test's time is one core's.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test: $(TEST_STAMP) ## Run the tests (CPU, minutes)
	$(PYTEST)

test-slow: $(TEST_STAMP) ## Run the slow tests too
	$(PYTEST) -m 'not gpu'

lint: $(TEST_STAMP) ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(TEST_STAMP) ## Fix style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove .venv and caches; work_dirs stays
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
