# setup: install into .venv    test: run the tests    lint: style and types    demo: a first search, on the CPU
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup test lint demo

setup: .venv/.installed

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -e '.[dev,onnx,report,timm]'
	touch $@

test: setup
	# One thread per process: threads that spin on a busy core make a step many times slower. A file goes to one
	# process, so that what its tests share is made once.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy evospace tests $(wildcard benchmarks/*.py)

demo: setup
	OMP_NUM_THREADS=1 $(BIN)/evospace search --config configs/demo.yaml --out runs/demo-$$(date +%Y%m%d-%H%M%S)
