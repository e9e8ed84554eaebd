# Two commands to know: `make run` and `make test`. All they install goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# What tests/outside needs from Debian.
OUTSIDE := caddy chromium curl jekyll newsboat nginx prometheus rss2email ruby-jekyll-feed sfeed systemd
# Where /dev/shm has more than 4 GB free, the files of the tests are there, in memory, so no disk delays them. Not if
# TMPDIR names another folder, or if no program can start from a file there (noexec).
MEMORY := $(if $(TMPDIR),,$(shell \
	awk '$$2 == "/dev/shm" { works = $$4 !~ /noexec/ } END { exit !works }' /proc/mounts 2>/dev/null && \
	[ "$$(df --output=avail -m /dev/shm 2>/dev/null | tail -1)" -gt 4000 ] 2>/dev/null && echo TMPDIR=/dev/shm))
# Many tests wait, so three run for each of two cores.
PYTEST = $(MEMORY) $(BIN)/python -m pytest -n 6 --dist worksteal --durations=15
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help run test test-all debian wheel-test check bench reference screenshots clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## start the service on the example records
	@mkdir -p build/examples/output && cp -R examples/images build/examples/output/
	$(BIN)/aggregator run --config examples/aggregator.toml

test: $(VENV)/test.stamp $(if $(ALL),$(VENV)/outside.stamp debian) ## run the tests
	$(PYTEST) $(if $(ALL),--override-ini "norecursedirs=.*")

test-all: ## the same, and the tests that need Debian packages, which it installs
	$(MAKE) test ALL=1

debian:
	dpkg --status $(OUTSIDE) >/dev/null 2>&1 || \
		{ $(SUDO) apt-get -qq update && $(SUDO) apt-get -qq install --no-install-recommends $(OUTSIDE); }

wheel-test: ## build the wheel, and run commands from it in an empty environment
	PYTHON=$(PYTHON) .ci/wheel-test

check: $(VENV)/check.stamp ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# SIZES="1000 10000": these records alone; BENCH_MILLION=1: a million too; BENCH_DIR: where records are kept
bench: $(VENV)/bench.stamp ## measure beside Hugo in the same run, and write docs/performance.md
	$(BIN)/python benchmarks/bench_feed.py
	$(BIN)/python -m benchmarks $(if $(SIZES),--sizes $(SIZES)) $(if $(BENCH_MILLION),--million) \
		$(if $(BENCH_DIR),--folder $(BENCH_DIR))

reference: $(VENV)/run.stamp ## write docs/reference.md from the code
	$(BIN)/python docs/reference.py

screenshots: $(VENV)/outside.stamp $(VENV)/test.stamp ## make the pictures of the docs
	$(BIN)/python tests/outside/screenshots.py

clean: ## remove what was made
	rm -rf $(VENV) build dist *.egg-info

# --clear, because an installation that was interrupted may leave a pip that does not start
$(VENV)/pip.stamp:
	@echo "Making $(VENV), once: with what is installed into it, this takes a minute or two"
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --upgrade "pip>=25.1"
	@touch $@

$(VENV)/run.stamp: $(VENV)/pip.stamp pyproject.toml constraints.txt
	@echo "Installing into $(VENV) what pyproject.toml names"
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/%.stamp: $(VENV)/run.stamp
	$(PIP) install --constraint constraints.txt --group $*
	@touch $@
