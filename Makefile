# One way to do each thing; `make help` lists them. Every target sets up what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.NOTPARALLEL:

VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/.ready
# The first Python of at least 3.11.
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,\
	$(shell $(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(python))))
STATE ?= .state
ARGS ?=
# Folder of real files for the demo's bodies: make demo FILES=DIR
FILES ?=

PROTOS := $(sort $(wildcard proto/document_exchange/v1/*.proto))
SOURCES := $(wildcard document_exchange exchange_runtime exchange_server clients certs demo bench proto tests)

.PHONY: help setup demo run test pytest acceptance bench lint imports types proto proto-check \
	requirements clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with all dependencies, checked by their hashes

# A package index other than the default one comes from pip's own environment or configuration.
$(READY): requirements/dev.txt pyproject.toml
	@$(if $(PYTHON),,echo "Python 3.11 or later is needed; name it with PYTHON=…" >&2; exit 2)
	@command -v "$(PYTHON)" >/dev/null || { echo "PYTHON=$(PYTHON): there is no such program" >&2; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) can't make a virtual environment; on Debian: apt install python3-venv" >&2; \
		exit 2; }
	@echo "Installing into $(VENV) ..." >&2
	@if command -v uv >/dev/null && VIRTUAL_ENV=$(VENV) uv pip install --quiet --require-hashes \
		-r requirements/dev.txt; then :; \
	else $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/dev.txt; fi
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## A city's workday, end to end, with its books balanced; FILES=DIR uses real files
	$(PY) -m demo $(if $(FILES),--files "$(FILES)") $(ARGS)

run: $(READY) ## Start the whole stack with the demo's units and stay; STATE=DIR keeps it elsewhere
	exec $(BIN)/exchange-server dev --state "$(STATE)" --registry demo/city.toml $(ARGS)

test: lint types imports proto-check pytest ## Everything: lint, types, import contract, wire contract, tests

pytest: $(READY) ## Tests only; ARGS="-k word tests/unit" narrows them
ifeq ($(ARGS),)
	@# Integration tests wait more than they work, so two halves of about equal length run at once.
	@mkdir -p .cache
	@$(PY) -m pytest -q tests/unit tests/property tests/contract tests/fault \
		tests/integration/deadlines tests/integration/test_[a-d]*.py \
		> .cache/pytest.log 2>&1 & others=$$!; trap "kill $$others 2> /dev/null || true" EXIT; \
	failed=0; \
	$(PY) -m pytest tests/integration/test_[!a-d]*.py || failed=1; \
	wait $$others || failed=1; \
	echo; echo "unit, property, contract, fault, and the first of integration:"; \
	cat .cache/pytest.log; exit $$failed
else
	$(PY) -m pytest $(ARGS)
endif

acceptance: $(READY) ## Heavy checks: memory and renewals under load, 10,000 steps, thousands of forgeries
	LIFE_STEPS=10000 RENEWALS=9 EVIDENCE_MUTATIONS=300 EVIDENCE_SHELL_MUTATIONS=300 \
	$(PY) -m pytest -s --timeout=3600 tests/acceptance tests/integration/test_renewal.py \
		tests/integration/test_life_model.py tests/contract/test_evidence_mutations.py $(ARGS)

bench: $(READY) ## Full exchanges per second, beside the floor
	$(PY) -m bench $(ARGS)

lint: $(READY) ## ruff and buf
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/buf lint

imports: $(READY) ## The import contract (import-linter)
	$(BIN)/lint-imports --no-logo

types: $(READY) ## mypy --strict
	$(BIN)/mypy

# $(call generate,DIR): stubs and JSON Schemas under DIR.
define generate
PATH="$(CURDIR)/$(BIN):$$PATH" $(PY) -m grpc_tools.protoc -I proto --python_out=$(1) \
	--grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(PROTOS)
$(PY) proto/write_schemas.py $(2)
endef

proto: $(READY) ## Generate stubs and JSON Schemas
	$(call generate,.,proto/document_exchange/v1)

proto-check: $(READY) ## Fail if generated files are not current
	@rm -rf .cache/proto-check && mkdir -p .cache/proto-check/schemas
	@$(call generate,.cache/proto-check,.cache/proto-check/schemas)
	@diff -r --exclude=__pycache__ --exclude=__init__.py \
		.cache/proto-check/document_exchange/v1 document_exchange/v1 \
		|| { echo "Generated code is not current: run make proto" >&2; exit 1; }
	@for schema in .cache/proto-check/schemas/*.json; do \
		diff "$$schema" "proto/document_exchange/v1/$${schema##*/}"; done \
		|| { echo "JSON Schemas are not current: run make proto" >&2; exit 1; }
	@echo "Generated code is current."

requirements: $(READY) ## Compile requirements/*.txt again from pyproject.toml
	requirements/compile

clean: ## Remove everything that was made here, the virtual environment and state included
	rm -rf $(VENV) .cache .state demo/out build dist .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
