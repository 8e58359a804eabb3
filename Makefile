# Every command a person needs. `make help` lists them.
PYTHON ?= python3
PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## the main job on this machine, from pictures to answers (DATA=folder of your own; PIPELINE=full for everything)
	@$(PY) -m tools.demo demo $(if $(filter full,$(PIPELINE)),--full) $(if $(DATA),--data "$(DATA)")

.PHONY: up
up: setup ## the same, left running; writes .local/stack.json, prints a curl line and a page's address
	@$(PY) -m tools.demo up $(if $(DATA),--data "$(DATA)")

.PHONY: down
down: setup ## stop what `make up` left running
	@$(PY) -m tools.demo down

.PHONY: watch
watch: setup ## the dashboard live in the terminal, of what `make up` left running (STACK=name of one on AWS)
	@$(PY) -m tools.watch $(if $(STACK),--stack "$(STACK)")

.PHONY: test
test: setup .venv-clients/ready .venv-check/ready ## every test
	@$(PY) -m pytest --numprocesses 3

.PHONY: check
check: setup .venv-check/ready ## formatting, lint, types, state machines, and what others' tools find in template, policies, code and pins
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv-sam/bin/sam validate --lint
	@$(PY) -m tools.asl_check statemachine/*.asl.json
	@$(PY) -m tools.judges

.PHONY: format
format: setup ## put the code into the house format
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

.PHONY: invoke
invoke: setup ## run a function on an event without Docker (EVENT=events/carolina_dog.json)
	@said=$$(.venv-sam/bin/sam build 2>&1) || { echo "$$said"; exit 1; }
	@$(PY) -m tools.invoke "$(or $(EVENT),events/carolina_dog.json)"

.PHONY: deploy
deploy: setup ## sam build and sam deploy to the AWS account you are signed in to (ENV=default|prod|recommended|...)
	@if [ "$(ENV)" = local ] && [ -z "$$AWS_ENDPOINT_URL" ]; then \
		echo "error: ENV=local is for the AWS on this machine: 'make up' deploys there (or set AWS_ENDPOINT_URL: docs/local-aws.md)"; exit 1; fi
	.venv-sam/bin/sam build
	.venv-sam/bin/sam deploy --config-env $(or $(ENV),default)

.PHONY: destroy
destroy: setup ## take a stack away with all that its runs made (STACK=name, YES=1 not to be asked)
	@$(PY) -m tools.destroy "$(or $(STACK),kennel-dev)" $(if $(filter 1,$(YES)),--yes)

.PHONY: clean
clean: ## remove environments and everything built
	rm -rf .venv .venv-sam .venv-clients .venv-check .aws-sam .local .mypy_cache .ruff_cache .pytest_cache

# The two that everything needs: the SAM CLI and the AWS CLI are applications, and the pins of the one conflict with MiniStack's
# (docs/decisions/0002-dependencies.md).
.PHONY: setup
setup: .venv/ready .venv-sam/ready ## make both environments, once (the other commands do it by themselves)

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Kennel needs Python 3.11 to 3.13 and found %d.%d: say which with make PYTHON=python3.11" % sys.version_info[:2])'
	@echo "setting up .venv (once, about a minute)"
	@$(PYTHON) -m venv --clear .venv
	@$(PY) -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[train,serve,local,dev]'
	@touch $@

.venv-sam/ready: constraints-sam.txt
	@echo "setting up .venv-sam (once, about half a minute)"
	@$(PYTHON) -m venv --clear .venv-sam
	@.venv-sam/bin/python -m pip install -qq --disable-pip-version-check --constraint constraints-sam.txt aws-sam-cli awscli
	@touch $@

# Only the tests need it: clients of AWS that nobody here wrote (docs/decisions/0005-clients.md).
.venv-clients/ready: constraints-clients.txt
	@echo "setting up .venv-clients (once, about half a minute)"
	@$(PYTHON) -m venv --clear .venv-clients
	@.venv-clients/bin/python -m pip install -qq --disable-pip-version-check --no-deps --requirement constraints-clients.txt
	@touch $@

# Checkov pins much of what it imports, and parliament needs a setuptools that still has pkg_resources.
.venv-check/ready: constraints-check.txt
	@echo "setting up .venv-check (once, about a minute)"
	@$(PYTHON) -m venv --clear .venv-check
	@.venv-check/bin/python -m pip install -qq --disable-pip-version-check --no-deps --requirement constraints-check.txt
	@touch $@

.PHONY: bench
bench: setup ## measure what the docs claim (NAME=one of benchmarks/*.py for one of them)
	@for name in $(or $(NAME),$(filter-out __init__ claims,$(basename $(notdir $(wildcard benchmarks/*.py))))); do \
	  echo "== $$name"; $(PY) -m benchmarks.$$name || exit 1; done
	@$(PY) -m benchmarks.claims
