# Two commands for a fresh machine: `make demo` and `make test`. Both make their own environment in .venv.
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin

.PHONY: demo test lint docs clean

demo: .venv/installed
	$(BIN)/fomaug expand examples/faces demo-out --driving builtin --copies 8 --seed 0 --resume

test: .venv/tested lint docs
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest

lint: .venv/tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Warnings are errors, and nothing is looked up on the network. The site is docs/_build/index.html.
docs: .venv/tested
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build

.venv/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# torchvision's compiled operators want a matching torch build; the tests need its Python part alone.
.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test,dev,docs,kornia,export,parquet]'
	$(BIN)/python -m pip install --quiet --no-deps torchvision==0.28.0
	touch $@

clean:
	rm -rf .venv demo-out build docs/_build *.egg-info
