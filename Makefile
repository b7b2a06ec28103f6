# The commands named in the README. PYTHON may be any of 3.10 to 3.13.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Pins the versions of every installation, build environments included: a plain `torch` could install a CUDA build.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-long fuzz fuzz-asan kills lint format bench sanitize portable cuda-check cuda-emulate cuda-emulate-kernels cuda-emulate-operators cuda-kernels cuda-bench cuda-few-channels cuda-sanitize gpu wheel-test clean

demo: $(VENV)/installed  ## train a conditional GAN on real digits for a minute
	$(BIN)/ganzoo train cgan --dataset digits --minutes 1

# Three workers for two cores: a third of the tests' time is spent waiting for processes and timers.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) \* 3 / 2)
test: $(VENV)/installed  ## run the quick tests, on every core
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile

test-long: $(VENV)/installed  ## run all tests, slow ones included
	$(BIN)/pytest -m "slow or not slow"

CPU_SOURCES := $(wildcard csrc/cpu/*.cpp csrc/cpu/*/*.cpp)
TORCH_SOURCES := $(wildcard csrc/torch/cpu/*.cpp)
SANITIZED := -g1 -fsanitize=address,undefined -fno-sanitize-recover=all

CASES ?= 10000
fuzz: $(VENV)/installed  ## run every command on CASES mutated runs; load CASES wild folders; read CASES wild config files
	GANZOO_FUZZ=$(CASES) $(BIN)/pytest -q -m slow tests/cli/test_untrusted_runs.py
	GANZOO_FUZZ=$(CASES) $(BIN)/pytest -q tests/data/test_wild_folders.py tests/cli/test_fuzz.py -k "wild or config_files"

# Mutated runs again, with the kernels of the CPU under AddressSanitizer and UndefinedBehaviorSanitizer.
fuzz-asan: $(VENV)/installed build/sanitized/_C.so  ## run every command on CASES mutated runs, with sanitized kernels
	GANZOO_FUZZ=$(CASES) GANZOO_SANITIZED_CPU=$(CURDIR)/build/sanitized/_C.so ASAN_OPTIONS=detect_leaks=0 \
		LD_PRELOAD=$$($(CXX) -print-file-name=libasan.so) $(BIN)/pytest -q -m slow tests/cli/test_untrusted_runs.py

build/sanitized/_C.so: TORCH = $(shell $(BIN)/python -c "import torch; print(torch.__path__[0])")
build/sanitized/_C.so: $(CPU_SOURCES) $(TORCH_SOURCES) $(wildcard csrc/cpu/*.h csrc/cpu/*/*.h csrc/torch/cpu/*.h)
	mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 $(SANITIZED) -fPIC -ffp-contract=fast -fvisibility=hidden -Wno-psabi -shared \
		-DTORCH_TARGET_VERSION=0x020a000000000000 -DGANZOO_SOURCES='"sanitized"' -I$(TORCH)/include \
		$(CPU_SOURCES) $(TORCH_SOURCES) -o $@ -L$(TORCH)/lib -ltorch_cpu -ltorch -lc10

KILLS ?= 30
kills: $(VENV)/installed  ## kill trainings KILLS times, in a directory and on object storage, and compare the bits
	GANZOO_KILLS=$(KILLS) $(BIN)/pytest -q -m slow tests/training/test_remote.py -k thirty_kills

lint: $(VENV)/installed  ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed  ## format the Python code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed  ## run every benchmark, interleaved with its baseline
	$(BIN)/pytest --benchmark-only

# Not optimised: that compiles in a sixth of the time, and these images are small.
sanitize:  ## run the C++ kernels under AddressSanitizer and UndefinedBehaviorSanitizer
	mkdir -p build
	$(CXX) -std=c++17 -O0 $(SANITIZED) -Wall -Wno-psabi -pthread \
		tests/csrc/sanitize.cpp $(CPU_SOURCES) -o build/sanitize
	build/sanitize

# With Clang and its sanitizers, then with the flags of a release for other processors, under QEMU.
portable: portable-clang portable-x86_64 portable-aarch64  ## run the C++ kernels with Clang and on other processors

CPUS_x86_64 := qemu64 max
CPUS_aarch64 := cortex-a53
needs = command -v $(1) > /dev/null || { echo "$@: skipped, there is no $(1)"; exit 0; }

portable-clang:
	@$(call needs,clang++); $(MAKE) --no-print-directory sanitize CXX=clang++

portable-%:
	@$(call needs,$*-linux-gnu-g++); $(call needs,qemu-$*); mkdir -p build; set -ex; \
	$*-linux-gnu-g++ -std=c++17 -O3 -ffp-contract=fast -Wall -Wno-psabi -static -pthread \
		tests/csrc/sanitize.cpp $(CPU_SOURCES) -o build/$@; \
	for cpu in $(CPUS_$*); do qemu-$* -cpu $$cpu build/$@; done

# ---- CUDA -----------------------------------------------------------------------------------------------------------

CUDA_HEADERS := $(wildcard csrc/cuda/*.h csrc/cuda/*.cuh csrc/torch/cuda/*.h tests/csrc/*.h)
EMULATED := $(patsubst csrc/%,build/emulated/%.o,$(wildcard csrc/cuda/*.cu csrc/torch/cuda/*.cpp))
EMULATE := -x c++ -std=c++17 -w -DGANZOO_EMULATE -Itests/csrc

cuda-check: $(VENV)/installed  ## compile every CUDA kernel for sm_80, sm_90 and PTX; registers and spills: build/cuda
	TORCH_CUDA_ARCH_LIST="8.0 9.0+PTX" $(BIN)/python -m benchmarks.cuda_check csrc build/cuda

cuda-emulate: cuda-emulate-kernels cuda-emulate-operators  ## run the CUDA kernels without a GPU

# The kernels alone, under the sanitizers. What the emulator forbids must end it.
cuda-emulate-kernels:
	mkdir -p build/emulated
	$(CXX) $(EMULATE) -O1 $(SANITIZED) tests/csrc/forbidden.cpp -o build/emulated/forbidden
	build/emulated/forbidden 0
	for kind in 1 2 3 4 5 6 7 8 9 10 11 12; do ! build/emulated/forbidden $$kind 2>/dev/null || exit 1; done
	$(CXX) $(EMULATE) -O1 $(SANITIZED) tests/csrc/cuda.cpp csrc/cuda/*.cu -o build/emulated/kernels
	build/emulated/kernels bfloat16
	build/emulated/kernels float32

# As operators of torch, with the tests that also run on a GPU.
cuda-emulate-operators: $(VENV)/installed build/emulated/ganzoo.so
	GANZOO_EMULATED_CUDA=$(CURDIR)/build/emulated/ganzoo.so $(BIN)/pytest -q tests/ops/test_cuda.py tests/ops/test_cuda_blocks.py \
		tests/ops/test_cuda_few_channels.py

build/emulated/%.o: csrc/% $(CUDA_HEADERS)
	mkdir -p $(@D)
	$(CXX) $(EMULATE) -O2 -fPIC -fvisibility=hidden -DTORCH_TARGET_VERSION=0x020a000000000000 \
		-I$(TORCH)/include -c $< -o $@

build/emulated/ganzoo.so: TORCH = $(shell $(BIN)/python -c "import torch; print(torch.__path__[0])")
build/emulated/ganzoo.so: $(EMULATED)
	$(CXX) -shared $(EMULATED) -o $@ -L$(TORCH)/lib -ltorch_cpu -ltorch -lc10

cuda-kernels: build/cuda/kernels  ## on a GPU: test the kernels without torch
	build/cuda/kernels

cuda-bench: build/cuda/kernels  ## on a GPU: measure the convolutions' products, by mma.sync and by wgmma
	build/cuda/kernels bench

KERNELS := $(patsubst %,build/kernels/%.o,$(notdir $(wildcard csrc/cuda/*.cu) tests/csrc/cuda.cpp))
NVCC ?= nvcc
ARCH ?= native
COMPILE_CUDA = $(NVCC) -std=c++17 -lineinfo -arch=$(ARCH)
build/kernels/hopper.cu.o: COMPILE_CUDA = $(NVCC) -std=c++17 -lineinfo -DGANZOO_SM90A -gencode=arch=compute_90a,code=sm_90a

build/cuda/kernels: $(KERNELS)
	mkdir -p build/cuda
	$(COMPILE_CUDA) $(KERNELS) -o $@

build/kernels/%.o: csrc/cuda/% $(CUDA_HEADERS)
	mkdir -p build/kernels
	$(COMPILE_CUDA) -O3 -c $< -o $@

build/kernels/%.o: tests/csrc/% $(CUDA_HEADERS)
	mkdir -p build/kernels
	$(COMPILE_CUDA) -O1 -x cu -c $< -o $@

cuda-few-channels: build/cuda/few_channels  ## on a GPU: time the kernels for images of few channels, without torch
	build/cuda/few_channels

build/cuda/few_channels: build/kernels/few_channels.cu.o benchmarks/few_channels.cu
	mkdir -p build/cuda
	$(COMPILE_CUDA) -O3 $^ -o $@

cuda-sanitize: cuda-memcheck cuda-racecheck  ## on a GPU: run the kernels under compute-sanitizer

cuda-%check: build/cuda/kernels
	compute-sanitizer --tool $*check --error-exitcode 1 build/cuda/kernels bfloat16

# PYTHON must have torch. Needs no network and installs nothing: everything is built in place.
RESULTS ?= benchmarks/results
gpu:  ## on a machine with a GPU: build, test, measure, and write a dated file to benchmarks/results
	PYTHONPATH=$(CURDIR):$(CURDIR)/plugins:$(CURDIR)/benchmarks:$(CURDIR)/build/site:$(PYTHONPATH) $(PYTHON) -m benchmarks.gpu --results $(RESULTS)

# Builds our wheel in isolation, without torch, as pip does, and the wheels of its dependencies; see
# tests/template/conftest.py.
wheel-test: $(VENV)/installed  ## build the wheel; in an empty environment: a new plugin package's CI, a model's package
	rm -rf build/wheels build/lib build/bdist.*
	$(BIN)/pip wheel --quiet --wheel-dir build/wheels . "pytest>=8" "setuptools>=77"
	GANZOO_WHEELS=$(CURDIR)/build/wheels $(BIN)/pytest tests/template/test_wheel.py tests/template/test_model_wheel.py -m "slow or not slow"

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# torch comes first, so that setup.py finds it: the package is built without isolation. Meanwhile Python compiles the
# modules of torch that training imports, which pip leaves to the first import if PIP_NO_COMPILE is set. Nothing depends
# on it, so its messages, such as those about a package that pip is just unpacking, are dropped.
$(VENV)/installed: pyproject.toml setup.py constraints.txt $(wildcard csrc/*/* csrc/*/*/*)
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch setuptools ninja
	$(BIN)/python -W ignore -c "import torch._dynamo" 2>/dev/null & \
	$(BIN)/pip install --quiet --no-build-isolation --editable ".[audio,dev,onnx,s3,slurm,tensorboard,video,explore]" && wait
	touch $@
