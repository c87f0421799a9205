# Everything a person does here. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export KEDRO_DISABLE_TELEMETRY := true

.PHONY: help setup run test test-all test-least check format server viz viz-build ui serve retrain docs lock clean setup-%  bench-%

help:  ## list the targets
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "conviction-kedro needs Python >= 3.11, $(PYTHON) is $$($(PYTHON) --version 2>&1); say which with make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== making the environment in $(VENV)/ with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(STAMPS)/core: requirements/core.txt pyproject.toml | $(BIN)/python
	@echo "== installing the locked core (1.6 GB on disk, hashes checked; a few minutes the first time)"
	@$(PIP) install --require-hashes -r requirements/core.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import lightgbm' 2>/dev/null || { echo "LightGBM cannot load the OpenMP runtime libgomp. Install it: apt-get install libgomp1 (Debian, Ubuntu), dnf install libgomp (Fedora), brew install libomp (macOS)"; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: requirements/dev.txt $(STAMPS)/core
	@echo "== installing the locked development tools"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

setup: $(STAMPS)/core  ## make the environment from the hashed lock
	@echo "== environment ready: $(BIN)/kedro"

setup-dev: $(STAMPS)/dev  ## the environment with the development tools

$(STAMPS)/deep: $(STAMPS)/core
	@echo "== installing the extra deep (PyTorch, CPU or GPU as your index has it)"
	@$(PIP) install 'torch==2.13.0' && $(PIP) install 'pytorch-tabnet>=4.1'
	@touch $@

$(STAMPS)/%: requirements/%.txt $(STAMPS)/core
	@echo "== installing the extra $*"
	@$(PIP) install --require-hashes -r requirements/$*.txt
	@touch $@

setup-%: $(STAMPS)/%  ## an extra: viz, sagemaker, catboost, deep, dask, team
	@echo "== extra $* ready"

run: $(STAMPS)/core  ## the main job on real prices that ship inside a dependency
	@echo "== kedro run: real prices -> audit -> models -> honest report"
	@$(BIN)/kedro run

test: $(STAMPS)/dev  ## the fast tests
	@echo "== tests (those marked slow: make test-all)"
	@$(BIN)/python -m pytest -m "not slow" -q -n 2 --dist loadfile

test-all: $(STAMPS)/dev  ## every test, the slow ones too
	@$(BIN)/python -m pytest -q

test-least:  ## the fast tests with the lowest versions that pyproject.toml promises to work with
	@echo "== the lowest allowed versions, in .venv-least/"
	@test -x .venv-least/bin/python || $(PYTHON) -m venv .venv-least
	@.venv-least/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/least.txt
	@.venv-least/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation --editable .
	@.venv-least/bin/python -m pytest -m "not slow" -q -n 2 --dist loadfile

check: $(STAMPS)/dev  ## ruff, mypy strict, import contracts, what must never be committed
	@echo "== ruff" && $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "== mypy (strict)" && $(BIN)/mypy
	@echo "== import contracts" && $(BIN)/lint-imports
	@echo "== repository hygiene, secrets" && $(BIN)/python tests/hygiene.py && $(BIN)/python tests/secrets_scan.py

format: $(STAMPS)/dev  ## let ruff format and mend what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

ui: $(STAMPS)/core  ## open the tracking store: http://127.0.0.1:5000
	@$(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port $${PORT:-5000}

# Addresses come from the environment (MLFLOW_BACKEND_STORE_URI, MLFLOW_ARTIFACTS_DESTINATION), never from the command line, where others see passwords.
server: $(STAMPS)/team  ## a tracking server for a team: PostgreSQL and S3 (docs/how-to/team-server.md)
	@test -n "$$MLFLOW_BACKEND_STORE_URI" || { echo "say where runs are kept: export MLFLOW_BACKEND_STORE_URI=postgresql+psycopg://HOST/DATABASE (user and password: PGUSER, PGPASSWORD)"; exit 1; }
	@test -n "$$MLFLOW_ARTIFACTS_DESTINATION" || { echo "say where artifacts are kept: export MLFLOW_ARTIFACTS_DESTINATION=s3://BUCKET/PREFIX"; exit 1; }
	@$(BIN)/mlflow server --host $${HOST:-127.0.0.1} --port $${PORT:-5000}

serve: $(STAMPS)/core  ## serve the champion: http://127.0.0.1:5001 (ENV=synthetic, AS_OF=2024-03-05T22:00 to replay)
	@$(BIN)/kedro serve --port $${PORT:-5001} $(if $(ENV),--env=$(ENV)) $(if $(AS_OF),--as-of=$(AS_OF))

retrain: $(STAMPS)/core  ## fetch, audit, tune, evaluate, promote only through the gate (ENV=massive, PARAMS=key=value)
	@$(BIN)/kedro retrain $(if $(ENV),--env=$(ENV)) $(if $(PARAMS),--params="$(PARAMS)")

viz: $(STAMPS)/viz  ## explore the pipelines: http://127.0.0.1:4141
	@$(BIN)/kedro viz run --include-hooks --host 127.0.0.1 --port $${PORT:-4141} --no-browser

bench-%: $(STAMPS)/dev  ## a benchmark of benchmarks/; its figures are the JSON line at the end
	@$(BIN)/python benchmarks/$*.py

viz-build: $(STAMPS)/viz  ## the pipelines as a static site in site/viz, without a path of this machine
	@$(BIN)/python -m conviction_kedro.viz_site site/viz

docs: $(STAMPS)/core  ## build the documentation as a static site in site/
	@$(BIN)/python docs/build.py

lock:  ## resolve the locks again (needs uv); no addresses are written
	@for extra in core dev viz sagemaker catboost dask team least; do bash requirements/lock.sh $$extra || exit 1; done

clean:  ## remove what runs made, not the environment
	@rm -rf data/0* mlflow*.db mlartifacts .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
