# Every target makes its own environment when it is missing; only Python >= 3.11 with pip is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench
WORKERS := --numprocesses=2 --dist=loadfile
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-slow bench lint parity clean help

help:
	@echo "make demo       reconstruct real anatomy with every method; writes demo_output/report.html"
	@echo "make test       the fast tests with coverage"
	@echo "make test-slow  the slow tests, and the mathematics again on the JAX backend"
	@echo "make bench      side by side with sigpy and BART; writes benchmarks/results.json"
	@echo "make parity     regenerate the tensorflow-mri golden values and compare (needs Python 3.10)"
	@echo "make lint       ruff"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "tfrecon needs Python 3.11 or newer; this is %s. Set PYTHON=..." % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.py constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: setup.py constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev,mrd,dicom]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-jax: $(VENV)/.installed-dev
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[jax]"
	@touch $@

$(BENCH_VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install -q "sigpy>=0.1.26" PyWavelets
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/tfrecon demo --output=demo_output $(if $(INPUT),--input=$(INPUT))

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" $(WORKERS) --durations=10 --cov --cov-report=
	$(BIN)/python -m coverage report --skip-covered --sort=cover
	@echo "physics, metrics and records, which must stay at 90 % of lines or more:"
	$(BIN)/python -m coverage report --fail-under=90 --format=total \
		--include="tfrecon/physics/*,tfrecon/metrics/*,tfrecon/records.py,tfrecon/data/tfrecord.py"

test-slow: $(VENV)/.installed-jax
	$(BIN)/python -m pytest -m slow $(WORKERS)
	KERAS_BACKEND=jax $(BIN)/python -m pytest -m mathematics $(WORKERS)

bench: $(VENV)/.installed-dev $(BENCH_VENV)/.installed
	@command -v bart >/dev/null || echo "BART is not on the PATH (Debian: apt-get install bart): its lines are left out"
	TFRECON_BENCH_PYTHON=$(BENCH_VENV)/bin/python $(BIN)/python -m benchmarks

parity: $(VENV)/.installed-dev
	$(BIN)/python tools/reference/compare.py
	$(BIN)/python -m pytest tests/test_parity.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) $(BENCH_VENV) .venv-reference .pytest_cache .ruff_cache .coverage* demo_output
