# What a developer and CI call. From a fresh clone they need only python3 (3.11+), its headers, a C compiler and make.
# Everything is made in .venv, build, dist and demo; `make clean distclean` takes it all away again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip -qq --disable-pip-version-check

# Stamps: bulkio is installed, its codec is up to date, the tools of the tests and checks are there too.
INSTALLED := $(VENV)/.installed
BUILT := $(VENV)/.built
TOOLS := $(VENV)/.tools
READY := $(BUILT) $(TOOLS)
# Whole runs use every core. A file's tests stay in one worker and in order: what a module's fixtures made is made once.
PARALLEL := --numprocesses auto --dist loadfile
LOWEST := .venv-lowest
LOWEST_TESTS := -q tests/files/test_source.py tests/files/test_sink.py tests/forms/test_sizes.py \
    tests/drivers/test_session.py tests/drivers/test_joined.py tests/transfer/test_load.py tests/cli/test_app.py -k 'not pg15'
# The environment of another Python, like .venv-python3.12; and the tests that depend on it: the codec, and the program's ways.
OTHER := .venv-$(notdir $(PYTHON))
PYTHON_TESTS := tests/pgcopy tests/types tests/forms tests/files tests/flow tests/cli/test_load.py tests/cli/test_export.py \
    tests/transfer/test_load.py tests/transfer/test_round_trips.py tests/test_public_api.py tests/test_imports.py
# The environment of a real Airflow, whose releases its constraints pin; it shares the codec of .venv.
AIRFLOW := .venv-airflow
AIRFLOW_TESTS := tests/integrations/airflow
AIRFLOW_PACKAGES := '.[airflow,embedded]' apache-airflow-providers-openlineage apache-airflow-providers-postgres pytest hypothesis
# rooms with compiled modules
ROOMS := pgcopy forms files/formats/csv
CODEC := $(wildcard $(foreach room,$(ROOMS),$(addprefix src/bulkio/$(room)/*,.pyx .pxd .h)))

BULKIO := $(BIN)/bulkio
# The demo's embedded server lives in demo/: it drops the table `orders`, and you may have one in yours.
ROWS := select o_orderkey, o_custkey, o_totalprice, o_orderdate, o_orderpriority from orders order by 1 limit 5
demo clean: export BULKIO_HOME := $(CURDIR)/demo

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PRECIOUS: .venv-%/.installed
.PHONY: help demo install test test-lowest test-lowest-all test-python test-airflow airflow-kills lint format types layers check wheel fuzz csv-fuzz random-tables races faults kill-points pipeline-kills reject-kills cancellations asan bench codec-bench clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(BUILT) ## Load a Parquet file into PostgreSQL, look at it, export it again
	@mkdir -p demo
	@$(BULKIO) server psql -- --quiet -c 'set client_min_messages = warning' -c 'drop table if exists orders'
	$(BULKIO) load sample_data/orders.parquet orders --dsn embedded --mode create
	$(BULKIO) server psql -- --pset=pager=off -c '$(ROWS)'
	$(BULKIO) export orders demo/orders.parquet --dsn embedded
	@$(BULKIO) server stop
	@echo
	@echo "The table is still there: BULKIO_HOME=demo $(BULKIO) server psql"

install: $(READY) ## Make .venv with bulkio in it, editable, its codec compiled

test: $(READY) ## Run all tests, on real PostgreSQL servers (ARGS='-k numeric' picks some)
	$(PY) -m pytest $(or $(ARGS),$(PARALLEL))

# The oldest releases that pyproject.toml admits, in an environment of their own: what people bring whom another package pins.
# CI runs a part of the tests there, `ARGS=tests` all.
test-lowest: $(LOWEST)/.built ## Run tests on the lowest versions of all dependencies (ARGS=tests runs all)
	$(LOWEST)/bin/python -m pytest -p no:cacheprovider $(or $(ARGS),$(LOWEST_TESTS))

test-lowest-all: ## Run all tests on the lowest versions
	@$(MAKE) test-lowest ARGS='$(PARALLEL) tests $(ARGS)'

test-python: $(OTHER)/.built ## Run the codec's and the program's tests on another Python (PYTHON=python3.13)
	$(OTHER)/bin/python -m pytest -q -p no:cacheprovider $(or $(ARGS),$(PARALLEL) $(PYTHON_TESTS))

test-airflow: $(AIRFLOW)/.installed $(BUILT) ## Run the Airflow integration's tests on a real Airflow
	$(AIRFLOW)/bin/python -m pytest -p no:cacheprovider -o filterwarnings= $(or $(ARGS),$(AIRFLOW_TESTS))

# KILL_SEED=… repeats a run, whose seed it has printed.
airflow-kills: $(AIRFLOW)/.installed $(BUILT) ## Kill the processes of a mapped Airflow run's tasks 50 times at random
	KILLS=$${KILLS:-50} $(AIRFLOW)/bin/python -m pytest -q -s -p no:cacheprovider -o filterwarnings= \
	    $(AIRFLOW_TESTS)/test_kills.py $(ARGS)

check: lint types layers test ## Everything CI looks at

lint: $(READY) ## ruff and cython-lint: the rules and the format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src

format: $(READY) ## Let ruff format the code and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY) ## mypy, strict
	$(BIN)/mypy

layers: $(READY) ## import-linter: imports point down only
	$(BIN)/lint-imports

wheel: $(READY) ## Build dist/*.tar.gz, and from that dist/*.whl
	$(PY) -m build --outdir dist

fuzz: $(READY) ## Feed the decoder a million hostile inputs
	$(PY) tests/fuzz/fuzz_decoder.py --count 1000000

csv-fuzz: $(READY) ## Compare 100,000 damaged CSVs with what the servers read
	$(PY) tests/fuzz/fuzz_csv.py --count 100000

random-tables: $(READY) ## Send 5,000 random tables there and back (about ten minutes)
	$(PY) -m pytest tests/matrix/test_random_tables.py --hypothesis-profile=random-tables $(ARGS)

races: $(READY) ## Let two loads of each mode run at once, 200 times each; settle loads during their commit, 200 times; 100 ticks
	RACES=100 $(PY) -m pytest -q -s tests/transfer/test_modes_model.py tests/faults/test_settle_races.py \
	    tests/pipeline/schedule/test_due.py -k 'two_runs or settle or race_for_a_tick' $(ARGS)

faults: $(READY) ## Break loads in every way, in every mode, on every driver and server
	FAULTS=all $(PY) -m pytest -q tests/faults/test_faults.py tests/faults/test_worker_faults.py $(ARGS)

# KILL_SEED=… repeats a run, whose seed it has printed.
kill-points: $(READY) ## Kill loads of each mode at 100 random moments, with two workers at 25; run them again until they are done
	KILLS=100 $(PY) -m pytest -q -s tests/faults/test_kill_points.py tests/faults/test_worker_kills.py \
	    tests/faults/test_once_kills.py $(ARGS)

# KILL_SEED=… repeats a run, whose seed it has printed.
pipeline-kills: $(READY) ## Kill runs of a pipeline, and schedules, at 50 random moments; run them again until they are done
	@seed=$${KILL_SEED:-$$(date +%s)}; echo "KILL_SEED=$$seed"; KILLS=50 KILL_SEED=$$seed \
	    $(PY) -m pytest -q -s tests/faults/test_pipeline_kills.py tests/faults/test_schedule_kills.py $(ARGS)

# KILLS=… kills more or fewer; KILL_SEED=… repeats a run, whose seed it has printed.
reject-kills: $(READY) ## Kill loads with rejects at 150 random moments and points; run them again until they are done
	@seed=$${KILL_SEED:-$$(date +%s)}; echo "KILL_SEED=$$seed"; KILLS=$${KILLS:-150} KILL_SEED=$$seed \
	    $(PY) -m pytest -q -s tests/faults/test_reject_kills.py -k random $(ARGS)

# CANCELLATIONS_SEED=… repeats a run, whose seed it has printed.
cancellations: $(READY) ## Cancel loads and pipelines at random moments; compare what each reports with the table
	@seed=$${CANCELLATIONS_SEED:-$$(date +%s)}; echo "CANCELLATIONS_SEED=$$seed"; CANCELLATIONS=300 CANCELLATIONS_SEED=$$seed \
	    $(PY) -m pytest -q -s tests/transfer/test_random_cancellation.py tests/pipeline/stages/test_random_cancellation.py $(ARGS)

asan: $(READY) ## Run the codec under AddressSanitizer
	PYTHON=$(CURDIR)/$(PY) sh tests/fuzz/asan.sh

bench: $(READY) ## Make every published figure (about three hours)
	$(PY) benchmarks/run.py

codec-bench: $(READY) ## Measure the codec alone, without a server
	$(PY) benchmarks/codec.py
	$(PY) benchmarks/codec_types.py

clean: ## Remove what was built, and the demo with its server; .venv stays
	@if [ -x $(BULKIO) ] && [ -d demo ]; then $(BULKIO) server stop; fi
	rm -rf build dist demo src/bulkio.egg-info $(foreach room,$(ROOMS),$(addprefix src/bulkio/$(room)/*,.c .so)) $(BUILT)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./$(VENV) -prune -o -path './.venv-*' -prune -o -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## ... and .venv too
	rm -rf $(VENV) .venv-*

define PREFLIGHT
import os, sys, sysconfig
if sys.version_info < (3, 11):
    sys.exit(f"bulkio needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=python3.12")
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    sys.exit("the codec is compiled, which needs Python's headers: apt-get install python3-dev, or your system's like")
endef
$(INSTALLED): export PREFLIGHT := $(PREFLIGHT)

# pip could read these itself, but not without compiling the codec once more.
define DEV
import tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["project"]["optional-dependencies"]["dev"], sep="\n")
endef
$(TOOLS): export DEV := $(DEV)

# What bulkio and its tests need, but for the tools that only look at the code: in `lowest` each at its lower bound.
define PINS
import re, sys, tomllib
with open("pyproject.toml", "rb") as file:
    facts = tomllib.load(file)
extras = facts["project"]["optional-dependencies"]
wanted = facts["project"]["dependencies"] + extras["embedded"] + extras["dev"]
tools = ("bulkio", "cython-lint", "import-linter", "mypy", "ruff")
relation = "==" if sys.argv[1] == "lowest" else ">="
print(*(pin.replace(">=", relation) for pin in wanted if re.split(r"[\[>]", pin)[0] not in tools), sep="\n")
endef
.venv-%/.installed: export PINS := $(PINS)

.venv-%/.installed: pyproject.toml
	@echo "Setting up .venv-$* and compiling the codec: about two minutes"
	@$(PYTHON) -m venv .venv-$*
	@$(PYTHON) -c "$$PINS" $* >.venv-$*/pins.txt
	@.venv-$*/bin/python -m pip -qq --disable-pip-version-check install --requirement .venv-$*/pins.txt
	@$(COPY_SOURCE)
	@BULKIO_CODEC=later .venv-$*/bin/python -m pip -qq --disable-pip-version-check install --no-build-isolation --no-deps \
	    --editable .venv-$*/source
	@touch $@

# A copy of the sources, so that two Cythons, or two Pythons, do not share what they make.
COPY_SOURCE = mkdir -p .venv-$*/source && tar --exclude='*.so' --exclude='*.c' --exclude=__pycache__ --exclude='*.egg-info' \
    -cf - pyproject.toml setup.py README.md LICENSE src | tar -xf - -C .venv-$*/source

.venv-%/.built: .venv-%/.installed setup.py $(shell find src -name '*.py' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
	@$(COPY_SOURCE)
	@cd .venv-$*/source && ../bin/python setup.py --quiet build_ext --inplace
	@touch $@

$(AIRFLOW)/.installed: pyproject.toml $(AIRFLOW_TESTS)/constraints.txt
	@echo "Setting up $(AIRFLOW), with Airflow in it: about a minute"
	@$(PYTHON) -m venv $(AIRFLOW)
	@$(AIRFLOW)/bin/python -m pip -qq --disable-pip-version-check install --upgrade 'setuptools>=77.0.1' 'Cython>=3.3'
	@BULKIO_CODEC=later $(AIRFLOW)/bin/python -m pip -qq --disable-pip-version-check install --no-build-isolation \
	    --constraint $(AIRFLOW_TESTS)/constraints.txt --editable $(AIRFLOW_PACKAGES)
	@touch $@

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c "$$PREFLIGHT"
	@command -v $${CC:-cc} >/dev/null || { echo "the codec is compiled, which needs a C compiler: apt-get install gcc"; exit 1; }
	@echo "1/3 making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "2/3 fetching Cython and setuptools"
	@$(PIP) install --upgrade 'setuptools>=77.0.1' 'Cython>=3.3'
	@echo "3/3 fetching what bulkio needs"
	@BULKIO_CODEC=later $(PIP) install --no-build-isolation --check-build-dependencies --editable '.[embedded]'
	@touch $@

# The editable install leaves the codec to this: what pip compiles it throws away, and all would be compiled twice.
$(BUILT): $(INSTALLED) setup.py $(CODEC)
	@echo "Compiling what has changed of the codec: the first time a minute or two"
	@$(PY) setup.py --quiet build_ext --inplace
	@touch $@

$(TOOLS): $(INSTALLED)
	@echo "Adding the tests' and checks' tools to $(VENV)"
	@$(PY) -c "$$DEV" >$(VENV)/dev.txt
	@$(PIP) install --requirement $(VENV)/dev.txt
	@touch $@
