# Everything runs from .venv, which `make install` makes; each target installs first if it has to.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)

.DEFAULT_GOAL := help
.PHONY: help install demo test drills check format pins ui clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMP) ## make .venv with the pinned dependencies (again only when pyproject.toml or constraints.txt change)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "basereward needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip setuptools wheel
	$(PIP) torch
	$(PIP) numpy ninja packaging psutil py-cpuinfo pydantic
	DS_BUILD_OPS=0 $(PIP) --no-build-isolation deepspeed
	$(PIP) --no-build-isolation -e '.[dev]'
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: install ## the whole way on synthetic data, below runs/demo
	$(BIN)/basereward demo

test: install ## the test suite: quick tests on two processes, then real Ray jobs one by one
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder tests/terraform tests/distributed tests/unit tests/properties
	$(BIN)/pytest tests/end_to_end

drills: install ## the long failure drills: killed workers, resumed runs (MINUTES=25 TURN=7: only so long, from another file on)
	$(BIN)/pytest -m drill --timeout 900 $(if $(MINUTES),--drill-minutes $(MINUTES) --drill-turn $(or $(TURN),0))

check: install ## lint, format, types, import contracts, documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/architecture

format: install ## put the code into its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pins: ## resolve the versions in the container images again, and list their parts (SBOM)
	test -x .venv-image/bin/cyclonedx-py || { $(PYTHON) -m venv .venv-image && \
	  .venv-image/bin/pip install --quiet --disable-pip-version-check uv==0.13.9 cyclonedx-bom==7.5.0; }
	.venv-image/bin/python cluster/image/resolve.py

ui: install ## the MLflow UI on what the demo wrote (RECIPE=mine.yaml for another recipe)
	$(BIN)/basereward ui $(or $(RECIPE),demo)

clean: ## remove .venv and caches; runs/ stays
	rm -rf $(VENV) .venv-terraform .venv-image .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
