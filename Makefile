# Everything starts here: `make help` lists it. Only Python 3.11, make and a package index are needed.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
STUDY  ?= headline
PRESET ?= quick
BIN    := .venv/bin
OUT    := _build/papermill

# DATA=<folder or archive of CIFAR-10> is the same as the environment variable, for every command below.
ifdef DATA
# Made absolute, as notebooks run in a folder of their own; make's abspath would take a path with spaces apart.
export ATTN_TUTORIAL_CIFAR10 := $(if $(filter /% ~%,$(DATA)),$(DATA),$(CURDIR)/$(DATA))
endif

.DEFAULT_GOAL := help
.PHONY: help setup book html html-strict study data test lint soak bench gpu clean

help:  ## List the targets
	@echo "Attention in Clutter. make book: set up, run a quick ablation, build the book. make test: test everything."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  DATA=<folder or archive>   CIFAR-10, if it is not in data/raw (else the built-in shapes are used)"
	@echo "  STUDY=$(STUDY) PRESET=$(PRESET)   for make study and make book; \`$(BIN)/attn-tutorial study list\` names them"

setup: .venv/installed  ## Make .venv and install everything into it

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and "Python %d.%d was found; 3.11 or newer is needed: make setup PYTHON=<path to it>" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

book: study  ## Set up, run the ablation at PRESET, build the book, print where it is
	$(BIN)/python book/build.py
	@$(BIN)/attn-tutorial data hint

html: setup  ## Build the book only (what changed)
	$(BIN)/python book/build.py

html-strict: setup  ## Build the book afresh; any warning is an error
	$(BIN)/python book/build.py --fresh --strict

study: setup  ## Run the ablation STUDY at PRESET by papermill; trains what is missing
	@mkdir -p $(OUT)
	$(BIN)/papermill notebooks/ablation.ipynb $(OUT)/$(STUDY)-$(PRESET).ipynb \
		-p study "$(STUDY)" -p preset "$(PRESET)" --log-output --no-progress-bar

data: setup  ## Download CIFAR-10 into data/raw (170 MB)
	$(BIN)/attn-tutorial data fetch

test: lint html  ## Check the style, build the book, run all tests but the long ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not soak"

lint: setup  ## ruff, mypy and the import rule
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: setup  ## The long tests: many kills
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m soak --timeout=3600

bench: setup  ## Measure speeds, as ratios in one run
	$(BIN)/python benchmarks/blocks.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/clutter.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/engine.py

# Without setup: a machine with a GPU often has no network, but has a torch of its own.
gpu:  ## On a machine with a GPU: checks, times of a step, then STUDY at PRESET; PYTHON=<python with torch>
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) benchmarks/gpu.py --study "$(STUDY)" --preset "$(PRESET)"

clean:  ## Remove .venv and everything built; records in data/runs and downloads in data/raw stay
	rm -rf .venv _build .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis *.egg-info
