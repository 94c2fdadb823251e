# Two commands: `make demo` and `make test`. Everything lives in .venv, and is installed again only when pyproject.toml changes.

VENV ?= .venv
PEERS ?=
RECENT := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do $$p $(RECENT) 2>/dev/null && echo $$p && break; done)
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
TESTS ?=
OPTIONS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# make ... PEERS=1 adds PyTorch as an oracle, PEERS="1 jax" adds JAX as well
PEER_STAMPS := $(if $(filter 1 torch,$(PEERS)),$(VENV)/.torch) $(if $(filter jax,$(PEERS)),$(VENV)/.jax)

.DEFAULT_GOAL := help
.PHONY: help demo test lint golden soak cuda-check bench peers docs gallery clean distclean

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/.examples  ## train a convolutional net on handwritten digits and draw it (pictures in ./pictures)
	@$(BIN)/python examples/00_digits.py
	@echo; echo "The pictures are in $(CURDIR)/pictures:"; cd pictures && ls

gallery: $(VENV)/.dev  ## run all examples, with a table of their times (OPTIONS="2 31": those; OPTIONS=--warm: with the cache of kernels)
	@$(BIN)/python -m tests.examples.gallery $(OPTIONS)

test: $(VENV)/.dev $(PEER_STAMPS) lint  ## ruff, mypy and the whole test suite (PEERS=1: also against PyTorch)
	@$(BIN)/python -m pytest -n $(JOBS) $(TESTS)

lint: $(VENV)/.dev  ## ruff and mypy --strict
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy

golden: $(VENV)/.dev  ## rewrite the expected texts below tests/golden; read the diff before you commit it
	@$(BIN)/python -m pytest tests/golden --update-golden

docs: $(VENV)/.dev  ## the site, with a page for every example that has changed, in build/site (begin at index.html)
	@$(BIN)/python docs/site/gallery.py
	@$(BIN)/python -m sphinx -q -c docs/site docs build/site
	@echo "The site is in $(CURDIR)/build/site/index.html"

soak: $(VENV)/.dev $(VENV)/.torch  ## random maps against isl, then programs against PyTorch, until interrupted (MINUTES=60: that long)
	@GRAPHC_TEST_MAPS=3000 $(BIN)/python -m pytest -q tests/peers/test_isl.py
	@$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES))

cuda-check: $(VENV)/.cuda  ## CUDA kernels to machine code for three generations of GPUs, without one (OPTIONS="layer --table")
	@$(BIN)/python -m pytest -m toolchain tests/emit tests/runtime
	@$(BIN)/python -m tests.cuda_check $(OPTIONS)

bench: $(VENV)/.examples  ## the numbers of docs/performance.md (those beside other frameworks: make peers)
	@$(BIN)/python benchmarks/compile_time.py
	@$(BIN)/python benchmarks/d1.py
	@$(BIN)/python benchmarks/random_numbers.py

peers: $(VENV)/.examples $(PEER_STAMPS)  ## graphc beside what is installed (PEERS="1 jax": PyTorch and JAX too; OPTIONS="--only W1 --write")
	@$(BIN)/python benchmarks/peers.py $(OPTIONS)

clean:  ## remove everything that was built, except the virtual environment
	@rm -rf pictures examples/pictures build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove the virtual environment as well
	@rm -rf $(VENV)

# A virtual environment whose interpreter does not start (moved, or half made) is made again from scratch.
$(VENV)/.made:
	@test -n "$(PYTHON)" && $(PYTHON) $(RECENT) || { echo "graphc needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.examples: pyproject.toml $(VENV)/.made
	@echo "Installing graphc and what the examples need into $(VENV) ..."
	@$(PIP) --editable '.[examples]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.made
	@echo "Installing graphc and what the tests need into $(VENV) ..."
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.examples

$(VENV)/.cuda: pyproject.toml $(VENV)/.dev
	@echo "Installing NVIDIA's compiler, assembler and disassembler ..."
	@$(PIP) --editable '.[cuda-dev]'
	@touch $@

$(VENV)/.torch: pyproject.toml $(VENV)/.dev
	@echo "Installing PyTorch as an oracle ..."
	@$(PIP) --editable '.[torch]'
	@touch $@

$(VENV)/.jax: pyproject.toml $(VENV)/.dev
	@echo "Installing JAX as an oracle ..."
	@$(PIP) --editable '.[jax]'
	@touch $@
