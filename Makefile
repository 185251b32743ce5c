# Everything runs from here. `make` alone prints the targets; only Python 3.11 or newer and make are needed.
# Everything that is made is below .venv/ and .cache/, and compiled modules in forwarder/; nothing else of the machine is
# touched.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CODE := forwarder tests tools
CLIENT8 := .cache/es8
COVERAGE := .cache/coverage.json
# More arguments for pytest, as in: make unit ARGS="--lf -x"
ARGS ?=
QUICK := "not real and not slow and not long"
# Seconds of the receiver's fuzzer and of the kill tests; .ci/run sets them higher.
export FORWARDER_FUZZ_SECONDS ?= 10
export FORWARDER_CHAOS_SECONDS ?= 20
# Keep compiled files even where the machine turns that off: without them the tests take twice as long to start. Those of
# the tests lie apart.
unexport PYTHONDONTWRITEBYTECODE
unit quick coverage clients fuzz chaos slow check bench: export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/pycache

help: ## print the targets
	@echo '  make unit     run the pure tests, in seconds: the one to run all the time'
	@awk -F ':.*## ' '/^[a-z]+:.*## / && $$1 != "unit" {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.complete ## make .venv from the locked dependencies, with the command .venv/bin/forwarder

dev: .venv/.complete-dev ## add what the checks and the tests need

# pip computes more than it waits, on one core: two of them install every second package of a lock each.
define install
mkdir -p .cache
awk '/^[^ ]/ {part = 1 - part} {print > (".cache/" FILENAME "." part)}' $(1)
$(PIP) --require-hashes --no-deps --no-compile -r .cache/$(1).0 & \
$(PIP) --require-hashes --no-deps --no-compile -r .cache/$(1).1 && wait $$!
endef

# Each stamp holds every step: a set-up that was interrupted starts again. The locks hold every dependency, so pip need not
# resolve them (--no-deps). Of all modules, only those that a start imports are compiled (--no-compile, then an import), so
# that the first start is as quick as the next, also where Python keeps no compiled files.
.venv/.complete: requirements.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "okta-forwarder needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv);"; \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1 || true). Name another one by: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
	  exit 1; } >&2
	rm -f $@
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(call install,requirements.lock)
	$(PIP) --require-hashes --no-deps --no-compile --upgrade --target .cache/build -r requirements-build.lock
	PYTHONPATH=.cache/build $(PIP) --no-deps --no-compile --no-build-isolation --editable .
	unset PYTHONPYCACHEPREFIX; \
	$(BIN)/python -c 'import okta.client' & \
	$(BIN)/python -c 'import pkgutil, forwarder; \
	  [__import__(m.name) for m in pkgutil.walk_packages(forwarder.__path__, "forwarder.") if "__main__" not in m.name]' && \
	wait $$!
	touch $@

.venv/.complete-dev: .venv/.complete requirements-dev.lock
	rm -f $@
	$(call install,requirements-dev.lock)
	touch $@

run: setup ## set up and run the demo: an emulated Okta org, the forwarder, and what happens to its events
	$(BIN)/forwarder demo

# Compiling the Collector takes two minutes, so the servers are fetched while everything else is set up and the checks and
# the tests without real servers run. Then come the older client and the fuzzer, side by side; last the tests with real
# servers and the kills. They stay alone: beside others, some exceed their time. A part that fails does not keep the others
# from showing what else does.
test: ## set up and run all checks and all tests, the real servers included
	@failed=0; \
	echo "setting up, fetching the real servers, and meanwhile running the checks and the tests without real servers:"; \
	$(MAKE) --no-print-directory --keep-going --jobs=3 --output-sync=target stack check coverage || failed=1; \
	echo "the tests with the older client and the fuzzer, side by side:"; \
	$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target clients fuzz || failed=1; \
	echo "the tests with real servers, and the kills:"; \
	$(MAKE) --no-print-directory slow || failed=1; \
	exit $$failed

unit: dev ## the pure tests
	$(BIN)/pytest -q tests/unit -m "not long" -p tests.forks --hypothesis-profile=inner $(ARGS)

# With more processes than cores: these tests wait about as long as they compute.
quick: dev ## run all short tests that need no real server, in about a minute
	$(BIN)/pytest -q -m $(QUICK) -p tests.forks --forks=6 --hypothesis-profile=inner $(ARGS)

coverage: dev ## run all tests that need no real server, with the coverage of the package held to its floor
	mkdir -p .cache
	$(BIN)/python -m slipcover --source forwarder --json --out $(COVERAGE) -m pytest -q -m "not real and not slow" -p tests.forks --forks=5 $(ARGS)
	$(BIN)/python -m slipcover --merge $(COVERAGE) --out $(COVERAGE) --skip-covered --fail-under 96

# The tests of the Elasticsearch sink once more, with the older major of its client.
clients: $(CLIENT8)/.complete
	PYTHONPATH=$(CLIENT8) FORWARDER_CLIENT_MAJOR=8 $(BIN)/pytest -q -m both_clients -p tests.forks --forks=2 --whole-groups

fuzz chaos: dev # `slow` runs the kills too
	$(BIN)/pytest -q tests/$@ -p tests.forks --forks=3 --whole-groups

# All processes share three Elasticsearch servers; more are only for tests that stop, limit or crash one. The kills and the
# alerts wait for minutes, so there are more processes than cores.
slow: dev
	$(BIN)/pytest -q -m "real or slow" --ignore=tests/fuzz --durations=15 -p tests.forks --forks=5 --whole-groups

check: dev ## format, lint, types, layers, lock files
	$(BIN)/ruff format --check --quiet $(CODE)
	$(BIN)/ruff check --quiet $(CODE)
	mkdir -p .cache
	$(BIN)/lint-imports --no-cache >.cache/lint-imports.log || { cat .cache/lint-imports.log; exit 1; }
	$(BIN)/mypy

stack: servers $(CLIENT8)/.complete ## fetch the real servers for the tests into .cache/

servers:
	@tests/stack/fetch.sh

# A PYTHONPATH of this folder selects the older major; its dependencies are those of the project.
$(CLIENT8)/.complete: tests/stack/elasticsearch8.lock | dev
	rm -rf $(@D)
	$(PIP) --require-hashes --no-deps --target $(@D) -r $<
	touch $@

bench: dev stack ## print the figures of the README: throughput, answers, memory, disk
	$(BIN)/python -m tests.bench

image: ## build the container image
	docker build --tag okta-forwarder .

lock: dev ## resolve the dependencies again and write the lock files
	tools/lock.sh

clean: ## remove everything that was made
	rm -rf .venv .cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
	find forwarder tests tools -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help setup dev run test unit quick coverage clients fuzz chaos slow check stack servers bench image lock clean
