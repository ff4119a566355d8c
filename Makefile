# Stillhouse. `make` lists the targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Empty by default: torch comes from PyPI. Set it to a wheel index to choose another build, for
# example the CPU-only one of the PyTorch project.
TORCH_INDEX_URL ?=
TORCH_INDEX := $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL))
INSTALL := $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt $(TORCH_INDEX)
# One thread a test process: two processes with two threads each are many times slower.
TEST_ENV := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
PYTEST := $(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long coverage check fix gpu bench peers docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch==2.13.0 -e '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(INSTALL) torch==2.13.0 -e '.[train,dev]'
	@touch $@

# llama.cpp is compiled here, once: four to thirteen minutes on two processors. Its server comes
# with it, to be asked by our own client. lm-eval brings public tasks, atheris fuzzes.
$(VENV)/.gguf: $(VENV)/.dev
	$(INSTALL) torch==2.13.0 -e '.[train,dev,gguf,lm-eval,fuzz]' \
		'llama-cpp-python[server]'
	@touch $@

setup: $(VENV)/.dev ## make the environment with everything for development

demo: $(VENV)/.demo ## install what is needed and run the quickstart recipe
	$(BIN)/stillhouse run quickstart

test: $(VENV)/.dev ## install what is needed and run the tests
	$(PYTEST) -m "not long and not gpu"

test-long: $(VENV)/.gguf ## the slow proofs: kills, many seeds, real data, llama.cpp, public tasks
	$(PYTEST) -m long -rP --durations=25

coverage: $(VENV)/.dev ## the tests of `make test`, and which lines and branches they run
	$(PYTEST) -m "not long and not gpu" --cov --cov-report=term:skip-covered

check: $(VENV)/.dev ## lint, types, layers and the tests that need no torch
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/mypy --config-file benchmarks/mypy.ini benchmarks
	$(BIN)/pydoclint -q src
	$(BIN)/lint-imports
	$(PYTEST) -m "not long and not gpu" tests/core tests/recipes tests/store tests/tokens tests/targets tests/data tests/evals tests/report tests/house

fix: $(VENV)/.dev ## format and mend what can be mended
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

gpu: $(VENV)/.dev ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

# With the peers where `make peers` was run, else without them.
PEERS := benchmarks/.peers
BENCH_PYTHON = $(firstword $(wildcard $(PEERS)/bin/python) $(BIN)/python)
BENCHMARKS := loss_speed loss_memory kd_tax end_to_end store_size store_speed quality_per_byte \
	human_votes class_level streamed_rows rows_at_scale planner gpt2_compression near_duplicates \
	outliers export_sizes stage_processes gpu/qwen3_8b

bench: $(VENV)/.dev ## run every benchmark in its quick form, one line of JSON each
	@for name in $(BENCHMARKS); do $(BENCH_PYTHON) benchmarks/$$name.py --quick || exit 1; done

peers: ## an environment with TRL and Liger for the benchmarks
	PYTHON=$(PYTHON) TORCH_INDEX_URL=$(TORCH_INDEX_URL) benchmarks/peers.sh $(PEERS)

docs: $(VENV)/.dev ## write the generated pages of docs/reference anew
	$(BIN)/python docs/generate.py

clean: ## remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build
