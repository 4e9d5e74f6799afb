# Every target sets up the locked environment in .venv first. No make? README.md has the plain commands.
# Another Python: make report PYTHON=python3.12

PYTHON = python3
BIN = .venv/bin
READY = .venv/.ready

.PHONY: report test test-slow lab lock bench clean

report: $(READY)
	$(BIN)/relocation report

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

lab: $(READY)
	$(BIN)/jupyter lab notebooks

bench: $(READY)
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.batch
	$(BIN)/python -m benchmarks.cells

# Keeps the versions that still fit; make lock UPGRADE=--upgrade takes the newest. Any uv here will do.
lock: $(if $(wildcard $(BIN)/uv),,$(READY))
	$(BIN)/uv pip compile pyproject.toml --extra test --extra cluster --universal --python-version 3.11 --fork-strategy fewest \
	    --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet $(UPGRADE) \
	    --output-file requirements.lock

clean:
	rm -rf .venv .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip installs the locked uv, uv all else: half the time, and the bytecode is compiled once for every kernel.
# The mark comes last, so a set-up that stopped halfway starts again from an empty environment.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed. Name one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $(READY)
