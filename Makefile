# Two commands do all the set-up: `make demo` and `make test`.
PY := .venv/bin/python
# Compiled once, not by each of five workers and each process they start: it is a tenth of a run of the tests.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: install dev check test test-fast demo bench fuzz example screenshots deb lock clean

install: ## the agent and its slicer, into .venv
	@scripts/install.sh

dev: ## as install, with what checks and tests need
	@scripts/install.sh --dev

demo: install ## one order from offer to delivered, on a virtual printer
	@.venv/bin/intagly-agent demo

check: dev ## layout, types, style
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

test: dev ## all tests, the ones against real OctoPrint included
	.venv/bin/pytest -n 5 --dist loadgroup --no-loadscope-reorder --durations 40

test-fast: dev ## the tests that take seconds
	.venv/bin/pytest -n 2 --dist loadgroup --no-loadscope-reorder -m "not slow"

bench: dev ## the benchmarks, with what they compare with, into docs/performance.md; some of them: make bench BENCHES="idle life"
	$(PY) -m bench.performance $(BENCHES)

FUZZ_RUNS ?= 1000000
fuzz: install ## coverage-guided fuzzing of the readers of models; what reached something new stays in .fuzz
	scripts/fuzz-venv.sh
	.venvs/fuzz/bin/python -m tests.fuzz.fuzz_stl -runs=$(FUZZ_RUNS) .fuzz/stl
	.venvs/fuzz/bin/python -m tests.fuzz.fuzz_models -runs=$(FUZZ_RUNS) .fuzz/models

example: dev ## write config.example.toml anew from the code
	$(PY) -m agent.config.example

screenshots: dev ## take the pictures of the page and of the terminal in docs/pictures anew
	$(PY) -m scripts.screenshots
	$(PY) -m scripts.terminal_picture

deb: ## a Debian package for this machine, in dist/, tried out in a folder
	scripts/deb.sh
	scripts/try-deb.sh

lock: ## pin newer versions of everything (needs pip-tools)
	scripts/lock.sh --upgrade

clean:
	rm -rf .venv .venvs .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-data
