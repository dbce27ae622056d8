# The two commands that do everything: `make demo` and `make test`. See README.md.
PRESET ?= release
BUILD := build/$(PRESET)
JOBS ?= $(shell nproc)
PACKAGES := g++ make cmake ninja-build libgtest-dev libbenchmark-dev libdnnl-dev libcli11-dev libfmt-dev \
            nlohmann-json3-dev libtomlplusplus-dev libstb-dev zlib1g-dev libpng-dev \
            libjpeg62-turbo-dev libarchive-dev libopenblas-serial-dev
# For training by several processes; a build without is whole.
OPTIONAL_PACKAGES := libopenmpi-dev openmpi-bin

.PHONY: all demo test bench kernels-report kernels-profile gpu-bundle gpu-suite format format-check tidy packages configure build clean

all: build

# Installs what is missing where that is allowed (root, or sudo without a password); else prints the command and stops.
packages:
	@command -v dpkg >/dev/null || { echo "Not a Debian system: taking for granted the equivalents of $(PACKAGES)"; exit 0; }; \
	missing=""; for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	optional=""; for p in $(OPTIONAL_PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || optional="$$optional $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then as=""; elif sudo -n true 2>/dev/null; then as="sudo -n"; \
	  else echo "Missing packages. Please run:  sudo apt-get install --yes$$missing$$optional"; exit 3; fi; \
	  echo "Installing:$$missing$$optional"; \
	  $$as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as apt-get install --yes --no-install-recommends -qq $$missing$$optional >/dev/null; \
	elif [ -n "$$optional" ]; then echo "Not installed, for training by several processes:$$optional"; \
	fi

# Everything is built, CUDA kernels included if nvcc is there; after `make demo` that takes one more configuration.
configure: packages
	@if test ! -f $(BUILD)/build.ninja; then cmake --preset $(PRESET); \
	elif grep -q '^POISE_CUDA:.*=GPU$$' $(BUILD)/CMakeCache.txt; then cmake --preset $(PRESET) -DPOISE_CUDA=ON; fi

build: configure
	@cmake --build $(BUILD) -j $(JOBS)

# Trains a small sparse GAN on the bundled CIFAR-10 images in a minute or two; leaves pictures and a report. Without a
# GPU it does not wait for nvcc, unless the folder is configured to build CUDA kernels already.
demo: packages
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET) -DPOISE_CUDA=GPU
	@cmake --build $(BUILD) -j $(JOBS) --target train_gan sample_gan
	@$(BUILD)/bin/train_gan --preset demo

# One more at a time than there are cores: many wait for the disk, which checkpoints are synced to.
test: build
	@ctest --test-dir $(BUILD) --output-on-failure -j $$(($(JOBS) + 1))

bench: build
	@$(BUILD)/bin/op_bench
	@$(BUILD)/bin/train_step_bench

# Registers, shared memory, spills and tensor-core instructions of every CUDA kernel, from the compiler.
kernels-report: configure
	@cmake --build $(BUILD) -j $(JOBS) --target kernels-report

# Instructions, bank conflicts, sectors, divergence and predicted times of the kernels of a training iteration, counted
# without a GPU by interpreting the compiler's PTX.
kernels-profile: configure
	@cmake --build $(BUILD) -j $(JOBS) --target kernels-profile

# One archive that runs the suite below on a machine with a driver and CUDA's libraries: see bench/gpu_bundle.sh.
gpu-bundle: configure
	@cmake --build $(BUILD) -j $(JOBS) --target gpu_suite_programs
	@bench/gpu_bundle.sh $(BUILD) $(BUILD)/poise-gpu.tar.xz

# On a machine with a GPU: build, prove and measure. OUT is the folder of its results.
gpu-suite:
	@bench/gpu_suite.sh all $(OUT)

# Style. Both checks are part of the tests, and say in a line if their tool is not installed.
format:
	@command -v clang-format >/dev/null || { echo "Please run:  sudo apt-get install --yes clang-format"; exit 3; }
	@tests/style_check.sh format --write

format-check:
	@tests/style_check.sh format || test $$? = 77

# The whole tree takes many minutes; `make tidy FOLDERS="models data"` looks at less.
tidy:
	@tests/style_check.sh tidy $(FOLDERS) || test $$? = 77

clean:
	rm -rf build
