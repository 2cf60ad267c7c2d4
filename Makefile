# You need GNU make and Python 3.11 to 3.14. Each target sets up its environments from the lock files: .venv has
# Airflow 3.3, .venv-2.11, .venv-3.0, ... have the other releases, and .venv-cluster is for `make cluster`.

SHELL := /bin/sh
PY := .venv/bin/python
PACKAGE := airflow_provider_codeocean
PYTEST := $(PY) -m pytest -q -p tests.progress
SOURCES := $(PACKAGE) scripts dags_examples tests
# The variable switches off an advertisement of MkDocs' theme.
MKDOCS := NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs

# Airflow 2.11 needs Python 3.11 or 3.12. Without one, commands after ON_2_11 are skipped with a message.
ON_2_11 = if scripts/find_python 2.11 >/dev/null; then \
	  $(MAKE) --no-print-directory .venv-2.11/.ready && .venv-2.11/bin/python
ELSE_SKIP = else echo "SKIPPED: nothing was tested on Airflow 2.11"; fi

export PYTHON
# Without bytecode files, each process of Airflow compiles every import: tests take twice as long.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check lint audit docs docs-serve format unit e2e e2e-2.11 crash cluster ui soak bench mutants matrix compat locks dist release clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: .venv/.ready ## Capture a result in a real Airflow against the emulator; UI=1 keeps Airflow's UI running
	@$(PY) -m scripts.demo $(if $(UI),--ui)

test: .venv/.ready ## Run the checks and the tests that find most mistakes (under 5 minutes)
	@$(PYTEST) --quick -n 4 --dist worksteal -m "checks or quick or not (e2e or ui or long)"

check: test unit e2e e2e-2.11 ui crash matrix ## Run all tests, on all Airflows (two hours)
	@echo "make check: all passed"

lint: .venv/.ready ## Check style, types, imports, dependencies, docstrings, and prose
	@echo "== lint"
	@.venv/bin/ruff check $(SOURCES)
	@.venv/bin/ruff format --check $(SOURCES)
	@.venv/bin/mypy
	@.venv/bin/mypy -p scripts
	@.venv/bin/lint-imports --no-logo
	@.venv/bin/pydoclint --quiet $(PACKAGE)
	@.venv/bin/deptry $(PACKAGE) scripts dags_examples
	@$(PY) -m scripts.prose --limit 1.0

audit: .venv/.ready ## Check the lock files for known vulnerabilities; needs network access
	@$(PY) -m scripts.audit $(AUDIT)

docs: .venv/.ready ## Build the documentation into build/site; fails on broken links
	@echo "== documentation"
	@$(MKDOCS) build --quiet --strict
	@echo "build/site/index.html"

docs-serve: .venv/.ready ## Serve the documentation at http://127.0.0.1:8001 and reload it on changes
	@$(MKDOCS) serve --dev-addr 127.0.0.1:8001

format: .venv/.ready ## Format the code and apply ruff's fixes
	@.venv/bin/ruff check --fix $(SOURCES)
	@.venv/bin/ruff format $(SOURCES)

unit: .venv/.ready ## Run the unit and contract tests, with coverage
	@echo "== unit tests, Airflow 3.3"
	@.venv/bin/coverage erase
	@.venv/bin/coverage run -m pytest -q -p tests.progress -m "not (e2e or ui or checks)" -n 4 --dist worksteal
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report

e2e: .venv/.ready ## Run the end-to-end tests on a real Airflow 3.3
	@echo "== end-to-end tests, Airflow 3.3"
	@$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests/e2e

e2e-2.11: ## Run the end-to-end tests on a real Airflow 2.11 (without those of the demo)
	@echo "== end-to-end tests, Airflow 2.11"
	@$(ON_2_11) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder tests/e2e \
	  --ignore tests/e2e/test_demo.py --ignore tests/e2e/test_real_airflow.py; $(ELSE_SKIP)

crash: .venv/.ready ## Kill tasks at every step, on real Airflows 3.3, 3.1, and 2.11; CRASH="3.3" selects
	@releases="$(or $(CRASH),3.3 3.1 2.11)"; for release in $$releases; do \
	  if ! scripts/find_python $$release >/dev/null; then \
	    echo "SKIPPED: nothing was tested on Airflow $$release"; \
	    releases=$$(echo " $$releases " | sed "s/ $$release / /"); \
	  elif [ $$release != 3.3 ]; then $(MAKE) --no-print-directory .venv-$$release/.ready || exit 1; fi; \
	done; $(PY) -m tests.crash $$releases

cluster: .venv-cluster/.ready ## Kill parts of an Airflow cluster during 500 captures; CAPTURES=40 CLUSTER_MINUTES=60
	@.venv-cluster/bin/python -m tests.cluster $(if $(CAPTURES),--captures $(CAPTURES)) \
	  $(if $(CLUSTER_MINUTES),--minutes $(CLUSTER_MINUTES))

ui: .venv/.ready ## Test the connection form and the links in headless Chromium, on Airflow 3.3 and 2.11
	@echo "== Airflow's UI in a browser, Airflow 3.3"
	@$(PY) -m pytest -q tests/ui/test_airflow_3_ui.py
	@echo "== Airflow's UI in a browser, Airflow 2.11"
	@$(ON_2_11) -m pytest -q tests/ui/test_airflow_2_ui.py; $(ELSE_SKIP)

soak: .venv/.ready ## Check for 30 minutes that a busy triggerer does not grow; SOAK_MINUTES=5
	@$(PY) -m tests.soak --minutes $(or $(SOAK_MINUTES),30)

bench: .venv/.ready ## Run the benchmarks (an hour); BENCH="waits search_page" selects
	@set -e; for name in $(or $(BENCH),import_cost capture_cpu search_page waits triggerer worker_free short_deferrals events crash_matrix); do \
	  echo "== $$name"; \
	  $(PY) -m tests.benchmarks.$$name; \
	done

mutants: .venv/.ready ## Check that tests find small mistakes (an hour); MUTANTS=60 SEED=2 FULL=1
	@$(PY) -m scripts.mutants $(if $(MUTANTS),--count $(MUTANTS)) $(if $(SEED),--seed $(SEED)) $(if $(FULL),--full)

matrix: .venv/.ready ## Run unit, contract, and DAG-run tests on every Airflow and Python; MATRIX="3.0 3.3/3.12"
	@$(PY) -m scripts.matrix $(MATRIX) --steps $(or $(MATRIX_STEPS),unit)

compat: .venv/.ready ## Run the contract and DAG-run tests on the other Airflows; COMPAT="3.2" selects
	@echo "== contract and DAG-run tests, other Airflows"
	@$(PY) -m scripts.matrix $(or $(COMPAT),2.11-lowest 2.11 3.0 3.1 3.2 3.4) --steps compat --where-possible

locks: .venv/.ready ## Update the lock files after a change of pyproject.toml; UPGRADE=1 upgrades all packages
	@scripts/lock $(if $(UPGRADE),--upgrade)

dist: .venv/.ready ## Build and check the packages, and install them on Airflow 2.11 and 3.3; DIST="3.3" selects
	@$(PY) -m scripts.dist $(DIST) $(if $(VERSION),--version $(VERSION))

release: .venv/.ready ## Commit and tag a version without uploading it; VERSION=0.1.0 TESTS=run|passed DRY_RUN=1
	@$(PY) -m scripts.release $(VERSION) $(if $(TESTS),--tests $(TESTS)) $(if $(DRY_RUN),--dry-run)

clean: ## Remove all generated files and environments
	@rm -rf .venv .venv-* .airflow build dist .coverage .coverage.* htmlcov
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: locks/airflow-3.3.txt pyproject.toml
	@scripts/setup_env .venv $<

.venv-cluster/.ready: locks/cluster-3.3.txt pyproject.toml
	@scripts/setup_env .venv-cluster $<

.venv-%/.ready: locks/airflow-%.txt pyproject.toml
	@scripts/setup_env .venv-$* $<
