# Each target that needs an environment sets it up by itself; see .ci/make_env.
SHELL := /bin/bash
VENV ?= .venv
VENV_ONEDL ?= .venv-onedl
# More words for the command of a target: make test ARGS='-k deploy'
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo demo-detection test faults test-onedl doctor lint format docs \
	wheel-check env env-onedl clean-venv

help: ## List the targets
	@echo 'usage: make TARGET [ARGS="more options"] [PYTHON=python3.11]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | \
		while read -r name text; do printf '  %-14s %s\n' "$$name" "$$text"; \
		done

demo: env ## Train, score and draw a small model on rendered scenes
	$(VENV)/bin/mmanchor demo segmentation $(ARGS)

demo-detection: env ## The same for detectors: with AnchorFormer, and without
	$(VENV)/bin/mmanchor demo detection $(ARGS)

test: env ## Run the tests, one process a core
	$(VENV)/bin/python -m pytest -n auto $(ARGS)

faults: env ## Kill, fill, poison and misuse it, and count what survives
	$(VENV)/bin/python tests/faults/run_faults.py $(ARGS)

test-onedl: env-onedl ## Run the smoke tests on the maintained fork's stack
	$(VENV_ONEDL)/bin/python -m pytest -m smoke $(ARGS)

doctor: env ## Print the versions found and known-bad combinations
	$(VENV)/bin/mmanchor doctor $(ARGS)

lint: env ## Run the checks of .pre-commit-config.yaml, without network
	$(VENV)/bin/python .ci/lint

format: env ## Rewrite the files as `make lint` wants them
	$(VENV)/bin/python .ci/lint --fix

docs: env ## Build the documentation site into docs/_build/html, without network
	@$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'make docs needs Python 3.11 or newer, as Sphinx does: make docs PYTHON=python3.11' >&2; exit 1; }
	$(VENV)/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html $(ARGS)
	@echo 'open docs/_build/html/index.html'

wheel-check: env ## Build sdist and wheel, install the wheel, load its configs
	$(VENV)/bin/python .ci/check_wheel

env: ## Set up .venv, as the targets above do by themselves
	@.ci/make_env openmmlab '$(VENV)'

env-onedl: ## Set up .venv-onedl
	@.ci/make_env onedl '$(VENV_ONEDL)'

clean-venv: ## Remove both environments
	rm -rf '$(VENV)' '$(VENV_ONEDL)'
