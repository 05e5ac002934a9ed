# The whole workflow. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
PYTHON_IN := .venv/bin/python
HEDDLE := .venv/bin/heddle

.PHONY: help setup extras demo check test test-extras sim soak bench mutants clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## make .venv with .venv/bin/heddle, and build the job runtimes
	@scripts/setup.sh

demo: setup ## three processes, three real jobs, every result and unit checked (KEEP=1 leaves the network up)
	@$(HEDDLE) demo $(if $(KEEP),--keep)

check: setup ## ruff (rules and format) and mypy --strict
	@$(PYTHON_IN) scripts/run_tests.py --only-checks

test: setup ## ruff, mypy and every test, with the minutes of each part (PARTS="unit sim" for some)
	@$(PYTHON_IN) scripts/run_tests.py $(PARTS)

extras: setup ## make .venv-extras with .venv-extras/bin/heddle: what .venv has, and Ray
	@scripts/setup_extras.sh

test-extras: extras ## runs on a Ray cluster of two machines on 127.0.0.1, and a node that has its jobs run there
	@.venv-extras/bin/python scripts/run_tests.py extras

sim: setup ## simulated networks, more seeds than make test runs (SEEDS=300, TIER=1, 2 or 3, FIRST=1000), or one again (SEED=7 TIER=2)
	@$(PYTHON_IN) -m tests.sim.run $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(TIER),--tier $(TIER)) $(if $(FIRST),--first $(FIRST))

soak: setup ## for as long as there is time, with new seeds (PART=sim or jobs, MINUTES=10); the counts add up
	@$(PYTHON_IN) scripts/soak.py $(if $(PART),--part $(PART)) $(if $(MINUTES),--minutes $(MINUTES))

bench: setup ## import, lives of jobs, matching and state tree, as ratios to raw hashing and verification in the same run
	@$(HEDDLE) benchmark import
	@$(HEDDLE) benchmark jobs
	@$(PYTHON_IN) -m benchmarks.matching
	@$(PYTHON_IN) -m benchmarks.state_tree

mutants: setup ## break rules one by one in a copy; each must make a test fail (NAMES="seal proof" for some)
	@$(PYTHON_IN) scripts/mutants.py $(NAMES)

clean: ## remove environments, builds and caches
	@rm -rf .venv .venv-clients .venv-extras build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
