# make demo: the main job on embedded parts. make test: the tests. See README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The versions that the development environment has; LOCK= takes the newest of everything.
LOCK ?= requirements-dev.lock

# Tests in tiers, by markers (pyproject.toml). Files are shared out to this many processes, which
# wait more than they work.
WORKERS ?= 3
# RERUNS=1: a test that fails is run once more, and the summary names it; CI alone asks for it.
RERUNS ?=
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
	$(if $(RERUNS),--reruns $(RERUNS) --rerun-show-tracebacks)
REAL := flux or rainbow
ELSEWHERE := browser or minicluster or systemd or kubernetes
# COVERAGE=1: `make test` says which lines of both packages its own process ran. What only the
# installed program ran, as a process of its own, does not count. The floor is in percent.
COVERAGE ?=
COVERAGE_FLOOR ?= 82
SEED ?= 1
# What the unit tests need beside the program, for environments that are not the development one.
TESTING := hypothesis jsonschema packaging pytest pytest-timeout pytest-xdist ply 'tomli; python_version < "3.11"' trustme
MINUTES ?= 10
PARTS ?= embedded

.PHONY: help demo generated screenshots site-links site release test test-lowest test-full test-rest test-real test-chaos test-browser test-minicluster test-systemd \
	test-kubernetes coverage lint check dist-check bench bench-quick reliability wheel deb dist lock release-check clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   run the main job here, on embedded parts"
	@echo "make test   run the tests that a change needs: minutes, nothing but Python"
	@echo "make check  formatting, lint, types, import rules, tests"
	@echo "make test-full         all tests over embedded parts: also those that are long"
	@echo "make test-rest         the long tests, also over real parts that are on PATH"
	@echo "make test-real         the tests over a real Flux and a real rainbow, if on PATH"
	@echo "make test-browser      the page in Chromium"
	@echo "make test-minicluster  MiniClusters in namespaces: as root, with both real parts"
	@echo "make test-kubernetes   on a real Kubernetes, brought up here: as root, with its programs"
	@echo "make test-systemd      the unit under a real systemd, in a container: as root"
	@echo "make test-chaos        a storm: SEED=1 MINUTES=10 PARTS=embedded, or PARTS=real"
	@echo "make coverage          make test, and which lines it runs"
	@echo "make bench             measure speed and size; make bench-quick: in two minutes"
	@echo "make wheel  build the wheel, install it in a clean environment, start it"
	@echo "make deb    build a Debian package: the agent, its unit, and all that it needs"
	@echo "make dist   build the wheel, the sdist and their checksums; make dist-check: and check them"
	@echo "make site   build the docs site, with warnings as errors (takes Graphviz): build/site"
	@echo "make screenshots  the docs' pictures of the page; make site-links: links to other sites"
	@echo "make generated  write anew what is made from the code: tables, man page, the chart's schema"
	@echo "make release VERSION=1.2.3  try the release in a copy; DO=1: commit and tag it here"
	@echo "make test-lowest  the unit tests with the lowest versions that pyproject.toml allows"
	@echo "make lock   write requirements-dev.lock anew, with the newest versions"
	@echo "make clean  remove what the others made"

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		$(if $(LOCK),--constraint $(LOCK)) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/rainbow-agent demo

test: $(VENV)/.dev
	$(PYTEST) --hypothesis-profile quick -m 'not (full or $(REAL) or $(ELSEWHERE))' \
		$(if $(COVERAGE),--cov --cov-report term:skip-covered --cov-fail-under $(COVERAGE_FLOOR))

coverage:
	$(MAKE) test COVERAGE=1

# With the lowest versions that pyproject.toml allows, on the oldest Python: OLDEST_PYTHON=python3.10
OLDEST_PYTHON ?= python3.10
LOWEST := build/lowest-venv/bin
test-lowest: build/uv-venv/.installed
	rm -rf build/lowest-venv
	$(OLDEST_PYTHON) -m venv build/lowest-venv
	$(UV) pip compile --quiet --resolution lowest-direct --no-header --no-annotate \
		--python $(LOWEST)/python --output-file build/lowest.txt pyproject.toml
	$(UV) pip install --quiet --python $(LOWEST)/python --constraint build/lowest.txt \
		--editable . $(TESTING)
	$(LOWEST)/pytest --numprocesses $(WORKERS) --dist loadfile --hypothesis-profile quick \
		-m 'not (full or $(REAL) or $(ELSEWHERE))' tests/unit

UV := build/uv-venv/bin/uv
build/uv-venv/.installed:
	$(PYTHON) -m venv build/uv-venv
	build/uv-venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

test-full: $(VENV)/.dev
	$(PYTEST) -m 'not ($(REAL) or $(ELSEWHERE))'

# What `make test` and `make test-real` leave out: also over the real parts that are on PATH.
test-rest: $(VENV)/.dev
	$(PYTEST) -m 'full and not ($(ELSEWHERE))'

test-real: $(VENV)/.dev
	$(PYTEST) -m '($(REAL)) and not full and not ($(ELSEWHERE))'

test-browser: $(VENV)/.dev build/axe.min.js
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	$(BIN)/pytest -m browser tests/browser

test-minicluster: $(VENV)/.dev
	$(BIN)/pytest -m minicluster tests/minicluster

test-systemd: $(VENV)/.dev
	$(BIN)/pytest -m systemd tests/systemd

test-kubernetes: $(VENV)/.dev
	$(BIN)/pytest -m kubernetes tests/kubernetes

test-chaos: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m chaos --seed $(SEED) --minutes $(MINUTES) --parts $(PARTS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .

check: lint test

# Checks accessibility in the browser tests; a tool of the tests alone, never a part of the program.
build/axe.min.js:
	mkdir -p build/axe
	cd build/axe && npm pack --silent axe-core && tar -xzf axe-core-*.tgz package/axe.min.js
	mv build/axe/package/axe.min.js $@

bench: $(VENV)/.dev
	$(BIN)/python bench/run.py

bench-quick: $(VENV)/.dev
	$(BIN)/python bench/run.py --quick

reliability: $(VENV)/.dev
	mkdir -p build && rm -f build/reliability.jsonl
	RELIABILITY_JSON=$(CURDIR)/build/reliability.jsonl $(BIN)/pytest tests/acceptance/test_outages*.py
	$(BIN)/python bench/reliability.py build/reliability.jsonl

wheel: $(VENV)/.dev
	rm -rf dist build/wheel-venv
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	cd / && $(CURDIR)/build/wheel-venv/bin/rainbow-agent version
	cd / && $(CURDIR)/build/wheel-venv/bin/rainbow-compspec --help >/dev/null

# For the python3 of this machine, with all that the agent needs inside.
deb: $(VENV)/.installed
	rm -rf build/wheels
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --wheel-dir build/wheels .
	systemd/debian/build build/wheels dist

# Wheel, sdist, recipes and checksums; the same commit gives the same bytes.
dist: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python distribution/artefacts.py --no-check --no-sbom dist

# The same, checked as an index checks it, and with a list of all that an installation brings.
dist-check: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	$(BIN)/python distribution/artefacts.py dist

site: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[site]'
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going docs build/site

# Tests compare each with the code.
generated: $(VENV)/.dev
	$(BIN)/python docs/tables.py
	$(BIN)/python -m rainbow_agent.cli.manpage > docs/man/rainbow-agent.1
	$(BIN)/python -m rainbow_agent.cli.doctor.page > docs/troubleshooting.md
	$(BIN)/python -m rainbow_agent.cli.manifest.chart > charts/rainbow/values.schema.json

# The page as it is, in docs/pictures: as root, with Flux, Chromium and its driver on PATH.
screenshots: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	PYTHONPATH=tests $(BIN)/python docs/screenshots.py

# Links to other sites: before a release, as it asks each of them.
site-links: site
	$(BIN)/sphinx-build --quiet --builder linkcheck docs build/site-links

# Without DO=1 nothing here changes: the release is made in build/release, and shown.
release: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	$(BIN)/python distribution/release.py $(VERSION) $(if $(DO),--do)

# For every supported Python on Linux, in an environment of its own.
lock: build/uv-venv/.installed
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.10 \
		--extra dev --custom-compile-command 'make lock' --output-file requirements-dev.lock \
		pyproject.toml

# make release-check TAG=v1.2.3: whether the version, the citation and the changelog say the same.
release-check: $(VENV)/.dev
	test "$(TAG)" = "v$$($(BIN)/python -c 'import rainbow_agent; print(rainbow_agent.__version__)')"
	grep -qx 'version: $(TAG:v%=%)' CITATION.cff
	grep -q '^## \[\?$(TAG:v%=%)\b' CHANGELOG.md

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
