# make demo   set-up and the main job: from a teacher and a corpus to a verified, benchmarked and gated bundle
# make test   set-up and the tests (offline, CPU)
# make lint   style, types and the order of imports
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
RUN = $(VENV)/bin
# Asked only when the machine's own package sources do not have the CPU build of torch.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# A key for trying out signatures: made by the first demo, of no worth to anybody else.
DEMO_KEY = runs/demo-key.pem

.PHONY: setup demo test openers test-openers optimum test-optimum reference lint format device clean

setup: $(VENV)/.installed

$(VENV)/.installed: requirements/factory.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "pocketrank's lock file is for Python 3.11; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "venv is missing; run: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --require-hashes -r requirements/factory.lock || \
	  $(RUN)/pip install --quiet --require-hashes --extra-index-url $(TORCH_INDEX) -r requirements/factory.lock
	$(RUN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@mkdir -p $(VENV)/source && ln -sfn $(CURDIR) $(VENV)/source/pocketrank  # `pocketrank`, for the checkers of `make lint`
	@touch $@

demo: setup
	$(RUN)/pocketrank run recipes/pydocs.toml
	$(RUN)/pocketrank sign runs/pydocs/bundle --key $(DEMO_KEY) $$(test -e $(DEMO_KEY) || echo --new-key)
	$(RUN)/pocketrank verify runs/pydocs/bundle --key $(DEMO_KEY:.pem=.pub)

test: setup
	$(RUN)/python -m pytest

# Environments of the openers whose dependencies clash with the factory's (several minutes), and their tests.
openers: setup
	PYTHON=$(PYTHON) TORCH_INDEX=$(TORCH_INDEX) tests/openers/setup

test-openers: openers
	$(RUN)/python -m pytest -rs tests/end_to_end/test_openers.py tests/end_to_end/test_engines.py \
	  tests/end_to_end/test_provenance.py tests/export/test_ort_format.py

# The factory on the older set of dependencies, which optimum needs, and all tests there.
optimum:
	PYTHON=$(PYTHON) TORCH_INDEX=$(TORCH_INDEX) tests/openers/setup optimum

test-optimum: optimum
	.venv-optimum/bin/python -m pytest

# The pages of docs/reference, from the code.
reference: setup
	$(RUN)/python -m experiments.reference

lint: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/basedpyright --pythonpath $(RUN)/python
	PYTHONPATH=$(VENV)/source $(RUN)/lint-imports

format: setup
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

# What a device needs and nothing more, in an environment of its own.
device: .venv-device/.installed
.venv-device/.installed: requirements/device.lock pyproject.toml
	$(PYTHON) -m venv .venv-device
	.venv-device/bin/pip install --quiet --require-hashes -r requirements/device.lock
	.venv-device/bin/pip install --quiet --no-deps .
	@touch $@

clean:
	rm -rf .venv .venv-device .venv-optimum .venv-openers tests/openers/node_modules build *.egg-info
