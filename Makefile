# Every target does all of its own set-up, in .venv (make parity: in .parity, make bench: in .bench), and is quick the
# second time. PYTHON=... picks the interpreter, ARGS=... goes on to pytest or byhand bench: make test ARGS="-k softmax"

.PHONY: help run test check parity bench web web-test docs clean
.NOTPARALLEL:

help:
	@echo "make run     set up, then the tour of the package"
	@echo "make test    set up, then the tests"
	@echo "make check   set up, then ruff format, ruff and pyright"
	@echo "make parity  set up with torch and transformers, then the tests against them (a large download)"
	@echo "make bench   set up with llama.cpp, torch and others, then byhand beside them (a large download, a compiler)"
	@echo "make web     set up with Node, then build the page of byhand explore from web/"
	@echo "make web-test  set up with Chromium and Node, then the tests of the page"
	@echo "make docs    write the generated pages of docs/ anew"
	@echo "make clean   remove everything that the other targets made"

run: .venv/.run
	@.venv/bin/byhand tour

# Tests run in several processes, a few hundred MB each; ARGS="-n 0" runs them in one.
together = -n auto --maxprocesses 4 --dist worksteal

test: .venv/.dev
	@.venv/bin/python -m pytest $(together) $(ARGS)

check: .venv/.dev
	@failed=; for tool in "ruff format --check --output-format concise" "ruff check" pyright; do \
		.venv/bin/python -m $$tool || failed=yes; \
	done; test -z "$$failed"

parity: .parity/.parity
	@.parity/bin/python -m pytest tests/parity $(ARGS)

bench: .bench/.bench
	@.bench/bin/byhand bench $(ARGS)

web: web/node_modules/.made
	@$(with_node) && cd web && npm --silent run check && npm --silent run build

web-test: .venv/.dev web/node_modules/.made
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && exit 0; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else \
		echo "make web-test needs Chromium; on Debian and Ubuntu: apt install chromium" >&2; exit 1; \
	fi
	@$(with_node) && .venv/bin/python -m pytest tests/web $(together) $(ARGS)

docs: .venv/.dev
	@.venv/bin/python -m byhand.operators.page > docs/operators.md.new
	@mv docs/operators.md.new docs/operators.md
	@.venv/bin/python -m tests.design.layout_page > docs/layout.md.new
	@mv docs/layout.md.new docs/layout.md
	@.venv/bin/python -m tests.wiring.zoo_page > docs/zoo.md.new
	@mv docs/zoo.md.new docs/zoo.md

clean:
	@rm -rf .venv .parity .bench web/node_modules .pytest_cache .ruff_cache .hypothesis build dist
	@find src tests examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

PYTHON ?= python3.13 python3.12 python3.11 python3

# $(call setup,FOLDER,EXTRA,WORDS): a virtual environment with the package and one extra. The first fitting interpreter
# is taken, one that cannot make an environment being no more than a reason to go on looking.
define setup
@set -e; \
if ! $(1)/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	fitting=; able=; \
	for python in $(PYTHON); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		fitting=$$python; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null && { able=$$python; break; }; \
	done; \
	if [ -z "$$fitting" ]; then \
		echo "byhand needs Python 3.11 or newer; none of these is: $(PYTHON). Name one with PYTHON=..." >&2; exit 1; \
	elif [ -z "$$able" ]; then \
		echo "$$fitting cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	fi; \
	"$$able" -m venv --clear $(1); \
fi; \
echo "Setting up $(1): $(3)"; \
$(1)/bin/python -m pip install -qq --disable-pip-version-check -e ".$(2)"; \
pwd -P > $(1)/.place; \
touch $@
endef

.venv/.run: pyproject.toml
	$(call setup,.venv,,byhand and what it needs)

.venv/.dev: pyproject.toml
	$(call setup,.venv,[dev],byhand and the tools for its tests)
	@touch .venv/.run

# Node comes with the tools for the tests, so that the page is built by one version everywhere.
with_node = export PATH="$$PWD/.venv/bin:$$PATH"

web/node_modules/.made: web/package-lock.json | .venv/.dev
	@$(with_node) && cd web && npm ci --silent --no-audit --no-fund && touch node_modules/.made

.parity/.parity: pyproject.toml
	$(call setup,.parity,[parity],byhand with torch and transformers)

.bench/.bench: pyproject.toml
	$(call setup,.bench,[bench],byhand with the programs it is measured beside)

# A copied or moved folder brings environments that still import the package from where it was: set them up again.
ifneq "$(shell cat .venv/.place 2>/dev/null)" "$(shell pwd -P)"
.PHONY: .venv/.run .venv/.dev
endif
ifneq "$(shell cat .parity/.place 2>/dev/null)" "$(shell pwd -P)"
.PHONY: .parity/.parity
endif
ifneq "$(shell cat .bench/.place 2>/dev/null)" "$(shell pwd -P)"
.PHONY: .bench/.bench
endif
