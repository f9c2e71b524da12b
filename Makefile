# Every target works alone on a fresh clone; Debian needs python3, python3-venv and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The benchmark's harness and peers, where the developers have them.
SHARED ?= ../shared
WORK ?= /var/tmp/maa-bench
PEERS ?= maa dovecot
# So many processes share the unit tests, each file's in one of them.
JOBS ?= auto
# For each of the readers that `make fuzz` tries.
FUZZ_SECONDS ?= 600

.PHONY: help setup run test system-test lint format bench bench-mbox prelogin hostile threats fuzz soak coverage build clean

help:
	@echo "make setup        the virtual environment in $(VENV)"
	@echo "make run          the demo server, everything under ./var"
	@echo "make test         unit tests and transcripts"
	@echo "make system-test  real servers, MDAs and clients (root; installs Debian packages)"
	@echo "make lint         ruff, mypy, import-linter"
	@echo "make bench        $(PEERS) side by side, figures under $(WORK) (root)"
	@echo "make bench-mbox   the same over a 1 GiB mbox"
	@echo "make prelogin     what strangers cost: memory, and a client among hostile ones"
	@echo "make hostile      oversized and hostile input: time, memory, and how long others wait"
	@echo "make threats      guesses, names of users, keywords, kill -9: what each comes to"
	@echo "make fuzz         coverage-guided fuzzing, FUZZ_SECONDS for each of the readers"
	@echo "make soak         the tests that hold or repeat for long (root)"
	@echo "make coverage     what the tests reach"
	@echo "make build        sdist and wheel in dist/"

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "maa needs Python 3.11 or newer: make PYTHON=python3.12 setup" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "no ensurepip here: install Debian's python3-venv" >&2; exit 1; }
	@# compat: twistd finds twisted/plugins only on a real path, not behind an import hook.
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --config-settings editable_mode=compat --editable '.[dev]'
	touch $(READY)

run: setup
	$(BIN)/twistd --nodaemon --pidfile= maa

test: setup
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

system-test: setup
	sh tests/system/install.sh
	@# Built from source, with what install.sh installs: not in the extra `dev`, which needs nothing.
	$(BIN)/python -c 'import gssapi' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check 'gssapi>=1.8'
	$(BIN)/python -m pytest tests/system -o norecursedirs= $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: setup
	@test -d $(SHARED)/bench || { echo "no $(SHARED)/bench: make SHARED=FOLDER bench" >&2; exit 1; }
	mkdir -p $(WORK)
	cd $(SHARED) && test -d $(WORK)/data || $(PYTHON) -m bench.gen --data $(WORK)/data --owner 5000
	cd $(SHARED) && MAA_PROJECT=$(CURDIR) $(PYTHON) -m bench --work $(WORK) \
	  $(foreach peer,$(PEERS),--peer $(peer)) --workload all
	cd $(SHARED) && $(PYTHON) -m bench.table $(WORK)/figures/figures.jsonl

prelogin: setup
	$(BIN)/python bench/prelogin.py

hostile: setup
	$(BIN)/python bench/hostile.py

threats: setup
	$(BIN)/python bench/threats.py

bench-mbox: setup
	@test -d $(SHARED)/bench || { echo "no $(SHARED)/bench: make SHARED=FOLDER bench-mbox" >&2; exit 1; }
	mkdir -p $(WORK)
	cd $(SHARED) && MAA_PROJECT=$(CURDIR) $(PYTHON) $(CURDIR)/bench/mbox_1gib.py --work $(WORK) \
	  $(foreach peer,$(PEERS),--peer $(peer))
	cd $(SHARED) && $(PYTHON) -m bench.table $(WORK)/figures/figures.jsonl

# atheris has wheels for some Pythons only, so it is no part of `dev`.
fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[fuzz]'
	for target in $$($(BIN)/python -c 'from tests.fuzz.targets import TARGETS; print(*TARGETS)'); do \
	  nice $(BIN)/python -m tests.fuzz.guided $$target -max_total_time=$(FUZZ_SECONDS) || exit 1; done

soak: setup
	$(BIN)/python -m pytest -m soak $(PYTEST_ARGS)
	sh tests/system/install.sh
	$(BIN)/python -m pytest tests/system -o norecursedirs= -m soak $(PYTEST_ARGS)

coverage: setup
	$(BIN)/python -m coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/python -m coverage report --skip-covered

build: setup
	$(BIN)/python -m build --quiet

clean:
	rm -rf build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
