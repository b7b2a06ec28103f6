# The commands the README names. PYTHON may be any of 3.10 to 3.13.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Every install, build environments included, takes its versions from here: a plain `torch` could pull a CUDA build.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-long lint format bench sanitize wheel-test clean

demo: $(VENV)/installed  ## train a conditional GAN on real digits for a minute
	$(BIN)/ganzoo train cgan --dataset digits --minutes 1

test: $(VENV)/installed  ## the quick suite
	$(BIN)/pytest

test-long: $(VENV)/installed  ## the long checks too
	$(BIN)/pytest -m "slow or not slow"

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed  ## every benchmark, interleaved with its baseline
	$(BIN)/pytest --benchmark-only

sanitize:  ## the C++ kernels under AddressSanitizer and UndefinedBehaviorSanitizer
	mkdir -p build
	$(CXX) -std=c++17 -O1 -g -Wall -Wno-psabi -fsanitize=address,undefined -fno-sanitize-recover=all -pthread \
		tests/csrc/sanitize.cpp csrc/cpu/*.cpp -o build/sanitize
	build/sanitize

# Built as a stranger's pip would, in isolation and without torch, and used from an empty directory.
wheel-test:  ## build the wheel, install it in an empty environment, list and train from there
	rm -rf build && mkdir -p build/wheel-test/elsewhere
	$(PYTHON) -m venv build/wheel-test/env
	build/wheel-test/env/bin/pip wheel --quiet --no-deps --wheel-dir build/wheel-test .
	build/wheel-test/env/bin/pip install --quiet build/wheel-test/*.whl
	cd build/wheel-test/elsewhere && ../env/bin/ganzoo list
	cd build/wheel-test/elsewhere && ../env/bin/ganzoo train cgan --dataset digits --steps 20
	cd build/wheel-test/elsewhere && ../env/bin/ganzoo sample runs/cgan-digits-001 --seed 0
	cd build/wheel-test/elsewhere && ../env/bin/ganzoo new mine && ../env/bin/pip install --quiet ./ganzoo-mine
	cd build/wheel-test/elsewhere && ../env/bin/ganzoo check mine

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# torch first, so that the extension hook in setup.py finds it: the package itself is built without isolation.
$(VENV)/installed: pyproject.toml setup.py constraints.txt $(wildcard csrc/*.cpp csrc/cpu/*)
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch setuptools ninja
	$(BIN)/pip install --quiet --no-build-isolation --editable ".[dev,tensorboard]"
	touch $@
