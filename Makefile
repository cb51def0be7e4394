# make demo   set-up and the main job: from a teacher and a corpus to a verified, benchmarked and gated bundle
# make test   set-up and the tests (offline, CPU)
# make lint   style, types and the order of imports
# Each sets up what it needs, once, in .venv: with uv where it is there, with pip where not (requirements/install).
#   make PYTHON=/path/to/python3.13 demo    another Python, 3.11 to 3.14
#   make TORCH=cuda demo                    torch as the registry has it, with its CUDA libraries, not the CPU build
VENV ?= .venv
# The build of torch that is installed already, the CPU's where none is.
TORCH ?= $(or $(patsubst $(VENV)/.factory-%,%,$(firstword $(wildcard $(VENV)/.factory-*))),cpu)
RUN = $(VENV)/bin
FACTORY = $(VENV)/.factory-$(TORCH)
# A key for trying out signatures: made by the first demo, of no worth to anybody else.
DEMO_KEY = runs/demo-key.pem
# Images of containers often say 1; then every process would compile 3,500 modules anew: ten seconds each time.
PYTHONDONTWRITEBYTECODE =
export PYTHON TORCH_INDEX PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test openers test-openers optimum test-optimum reference lint format device native clean

setup: $(FACTORY)

$(FACTORY): requirements/torch-$(TORCH).lock requirements/factory.lock requirements/install pyproject.toml
	requirements/install $(VENV) torch-$(TORCH) factory editable
	@touch $@

$(VENV)/.test: $(FACTORY) requirements/test.lock
	requirements/install $(VENV) test
	@touch $@

$(VENV)/.lint: $(VENV)/.test requirements/lint.lock
	requirements/install $(VENV) lint
	@mkdir -p $(VENV)/source && ln -sfn $(CURDIR) $(VENV)/source/pocketrank  # `pocketrank`, for the checkers
	@touch $@

demo: $(FACTORY)
	$(RUN)/pocketrank run recipes/pydocs.toml
	$(RUN)/pocketrank sign runs/pydocs/bundle --key $(DEMO_KEY) $$(test -e $(DEMO_KEY) || echo --new-key)
	$(RUN)/pocketrank verify runs/pydocs/bundle --key $(DEMO_KEY:.pem=.pub)

test: $(VENV)/.test
	$(RUN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder --durations=10

# Environments of the openers whose dependencies clash with the factory's (several minutes), and their tests.
openers: $(VENV)/.test
	tests/openers/setup

test-openers: openers
	$(RUN)/python -m pytest -rs tests/end_to_end/test_openers.py tests/end_to_end/test_engines.py \
	  tests/end_to_end/test_provenance.py tests/export/test_ort_format.py

# The factory on the older set of dependencies, which optimum needs, and all tests there.
optimum:
	tests/openers/setup optimum

test-optimum: optimum
	.venv-optimum/bin/python -m pytest

# The pages of docs/reference, from the code.
reference: $(VENV)/.test
	$(RUN)/python -m experiments.reference

lint: $(VENV)/.lint
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/basedpyright --pythonpath $(RUN)/python
	PYTHONPATH=$(VENV)/source $(RUN)/lint-imports

format: $(VENV)/.lint
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

# What a device needs and nothing more, in an environment of its own.
device: .venv-device/.installed
.venv-device/.installed: requirements/device.lock requirements/install pyproject.toml
	requirements/install .venv-device device package
	@touch $@

# The reader of bundles in C (needs a C compiler): runtime/native/libpocketrank.so and a command line tool.
native:
	$(MAKE) -C runtime/native OUT=.

clean:
	rm -rf .venv .venv-device .venv-optimum .venv-openers tests/openers/node_modules build *.egg-info
