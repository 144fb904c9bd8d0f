# Two commands are all a newcomer needs: `make search DATASET=small-transfer` and `make test`.
# Every variable below is a flag of `python -m search`: NUM_SAMPLES=12 becomes --num-samples 12.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
RUN_PYTHON := $(VENV)/bin/python
# uv takes a fraction of pip's time and installs the same; `make setup UV=` goes without. pip always works.
UV ?= $(shell command -v uv 2>/dev/null)
# Processes that the tests are dealt out to; 0 runs them in one, as a debugger needs it. One more than the two
# cores of a small machine, for some tests wait for servers.
TEST_PROCESSES ?= 3
by_pip = $(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable $(1)
by_uv = $(UV) pip install --quiet --compile-bytecode --python $(RUN_PYTHON) --constraint constraints.txt --editable $(1)
install = $(if $(UV),$(call by_uv,$(1)) || \
  { echo "uv could not; pip has settings of its own and tries now." >&2; $(call by_pip,$(1)); },$(call by_pip,$(1)))
# Sizes of what the package index had in November 2026; on Linux its torch is the one with CUDA, GPU or not.
ifeq ($(shell uname -s),Linux)
DOWNLOAD := about 3.5 GB (torch with CUDA is 3 GB of it, also without a GPU), 7 GB on disk
else
DOWNLOAD := about 0.5 GB (torch without CUDA), 2 GB on disk
endif

VARIABLES := DATASET DATA_DIR COLUMNS GROUP_BY MODEL PRETRAINED REFERENCE BEST NUM_SAMPLES EPOCHS BATCH_SIZE LR \
  OPTIMIZER METRIC NUM_TRAIN IMAGE_SIZE MAX_IMAGE_PIXELS SEED CPUS_PER_TRIAL GPUS_PER_TRIAL \
  PATIENCE TIME_BUDGET_S HANG_TIMEOUT_S AMP_DTYPE RAY_ADDRESS STORAGE TRACKING_URI RUN_DIR RUN_NAME \
  SET FIX MIN_BLOCKS MAX_BLOCKS CONFIRM_SEEDS REFINE LEARNING_CURVE \
  RERUN_TOP GRACE_PERIOD REDUCTION_FACTOR KEEP NO_EXAMPLE RUN CONFIG OUT HOST PORT JSON \
  SEEDS OPTIMIZERS LR_TRIALS COMMAND DIRECTION MARGIN GROUP REQUIRE FOLDS \
  CPUS_PER_RUN GPUS_PER_RUN TIME_LIMIT_S RUN_TIMEOUT_S MAX_RUNS DRY_RUN

# Only what is typed after `make` counts: a MODEL in somebody's environment is none of our business.
TYPED := $(foreach variable,$(VARIABLES),$(if $(filter command line,$(origin $(variable))),$(variable)))
# A value goes through the environment and reaches the program as it was typed: in a line of a recipe make would
# expand its `$` and the shell read its quotes.
$(foreach variable,$(TYPED),$(eval override $(variable) := $$(value $(variable))))
$(if $(TYPED),$(eval export $(TYPED)))
lower = $(shell echo '$(1)' | tr 'A-Z_' 'a-z-')
FLAGS = $(strip $(foreach variable,$(TYPED),--$(call lower,$(variable))="$$$(variable)"))
COMMANDS := plan diagnose resume compare ablate train export diff schedule ui

.PHONY: help setup search $(COMMANDS) test check lint types newest clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Variables, each explained by: .venv/bin/python -m search <command> --help"
	@echo "  $(VARIABLES)" | fold -s -w 96

setup: $(VENV)/.ready  ## Make .venv as constraints.txt has it; every other target does it by itself

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer must be there, but $(PYTHON) is older; set PYTHON=python3.12." >&2; exit 2; }
	@echo "Setting up $(VENV) with $(if $(UV),uv,pip): downloads $(if $(wildcard $@),what is new in $<,$(DOWNLOAD))."
	@$(if $(UV)$(wildcard $@),,echo "That takes some minutes; with uv installed it would take fewer.")
	@$(PYTHON) -m venv $(VENV)
	@$(call install,.)
	@touch $@

# Who only searches needs no browser, no linters and no stubs of types.
$(VENV)/.developer: $(VENV)/.ready
	@$(call install,'.[dev]')
	@touch $@

search: setup  ## Which strengths to turn, to what, and how sure: DATASET=small-transfer or a folder
	@SEARCH_BY_MAKE=1 $(RUN_PYTHON) -m search run $(FLAGS)

plan: setup  ## What a search would do and how long it would take: DATASET=...
diagnose: setup  ## Reference against the size-scaled default, without a search: DATASET=... REFERENCE=...
resume: setup  ## Go on with an interrupted run, or top up a finished one: RUN=... MAX_BLOCKS=8
compare: setup  ## Any training script: which of the differences of two configurations matter: REFERENCE=... BEST=... COMMAND=... METRIC=...
ablate: setup  ## What each ingredient of the recipe is worth: DATASET=... or OPTIMIZERS=adamw,lion
train: setup  ## Train a recipe once, in full: CONFIG=best.yaml
export: setup  ## Write the best recipe for other trainers, optionally rescaled: RUN=... NUM_TRAIN=...
diff: setup  ## What a recipe lacks against a published one: CONFIG=mine.yaml REFERENCE=...
schedule: setup  ## Draw the learning rate of a recipe: CONFIG=...
ui: setup  ## Look at all searches in MLflow

$(COMMANDS):
	@SEARCH_BY_MAKE=1 $(RUN_PYTHON) -m search $@ $(FLAGS)

test: $(VENV)/.developer  ## The tests, one small search on real data among them
	@$(RUN_PYTHON) -m pytest -m 'not stress' -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.developer
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types: $(VENV)/.developer
	@$(VENV)/bin/mypy

check: lint types test  ## Lint, types and tests: what CI runs

newest:  ## The tests with the newest of everything, in .venv-newest; it writes constraints.txt if they pass
	@$(PYTHON) -m venv .venv-newest
	@.venv-newest/bin/pip install --quiet --disable-pip-version-check --upgrade --editable '.[dev]'
	@.venv-newest/bin/python -m pytest -m 'not stress'
	@{ grep '^#' constraints.txt; .venv-newest/bin/pip freeze --exclude-editable; } > constraints.new
	@mv constraints.new constraints.txt

clean:  ## Remove caches; runs, data and the tracking store stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build
