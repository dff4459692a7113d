PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAGES := train export runtime benchmarks
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

# For tests alone, each in a folder of its own: in the environment it would write over ONNX Runtime's build for CPUs, or
# give `auto` a GPU. Where there is no wheel of it, its tests are skipped.
BESIDE = $(INSTALL) --upgrade --no-deps --target $(VENV)/beside

.PHONY: demo test test-windows lint docs clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

test: lint
	$(BIN)/python -m pytest -n auto --dist worksteal

# On Windows' Python under Wine, made in .venv-windows; TORCH=1 brings PyTorch, and with it export and train.
test-windows: $(VENV)/.dev
	$(BIN)/python -m tests.windows $(if $(TORCH),--torch)

# mypy cannot follow pyproject's folder mapping, so it reads links that are laid out as an installed package is.
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/typed
	mkdir -p build/typed/nafnet
	cd build/typed/nafnet && ln -s ../../../nafnet/* $(STAGES:%=../../../%) .
	MYPYPATH=build/typed $(BIN)/mypy -p nafnet

# The tests build the documents strictly as well, into a folder of their own.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[cpu,demo]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[dev]'
	-$(BESIDE)/onnxruntime-webgpu onnxruntime-webgpu
	-$(BESIDE)/onnxruntime-ep-webgpu onnxruntime-ep-webgpu
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) .venv-windows build dist demo site *.egg-info .mypy_cache .pytest_cache .ruff_cache
