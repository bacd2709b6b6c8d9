# `make` prints what there is. Everything happens in .venv; nothing outside the checkout is touched.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo minilm test check lint fmt type arch infra pytest up down status layers localstack localstack-down deploy \
	bench bench-setup docs constraints clean

BASE := $(shell tools/find_python.sh 11)
BASE_313 := $(shell tools/find_python.sh 13)
PY := .venv/bin/python
BENCH := .venv-bench/bin/python
ROWS ?= 200000 1000000
MODELS := .cache/models
SOURCES := src functions builder layers infra tests benchmarks docs examples training
TYPED := src/shardlake functions builder layers infra
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:  ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use it
demo: .venv-demo  ## sets up what is needed, starts the local cloud, builds an index and searches it
	@.venv/bin/shardlake demo

up: .venv-demo  ## starts the local cloud and deploys infra/template.yaml in it
	@.venv/bin/shardlake up

minilm: $(MODELS)/minilm  ## prepares MiniLM for texts; then: .venv/bin/shardlake up --models-dir .cache/models

down: .venv-demo  ## stops the local cloud; its data stays in .shardlake
	@.venv/bin/shardlake down

status: .venv-demo  ## says where the local cloud is
	@.venv/bin/shardlake status

##@ Check it
test: setup .venv-localstack $(MODELS)/minilm lint type arch infra pytest  ## sets everything up and runs every test

check: lint type arch infra  ## what needs no test run: ruff, mypy, import rules, template

lint: setup  ## ruff: rules and format
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)

fmt: setup  ## writes the format
	$(PY) -m ruff check --fix $(SOURCES)
	$(PY) -m ruff format $(SOURCES)

type: setup  ## mypy, strict
	$(PY) -m mypy $(TYPED)

arch: setup  ## which room may import which
	PYTHONPATH=src:. .venv/bin/lint-imports

infra: setup  ## cfn-lint
	.venv/bin/cfn-lint infra/template.yaml infra/batch.yaml

pytest: setup  ## all tests, slowest named
	$(PY) -m pytest --durations=20 $(ARGS)

bench-setup: .venv-bench  ## .venv-bench with the peers that benchmarks compare with

bench: bench-setup  ## the benchmarks, one after the other, some hours; none asserts on time (ROWS="200000 1000000")
	$(BENCH) -m benchmarks.filtered --rows 20000
	for rows in $(ROWS); do \
		for name in leaf filtered curves cold memory build squash; do $(BENCH) -m benchmarks.$$name --rows $$rows || exit 1; done; \
	done
	for name in growth bm25 ingest local_cloud changes deltas demo report; do $(BENCH) -m benchmarks.$$name || exit 1; done

docs: setup  ## writes the generated pages and the README's figures again
	$(PY) -m docs.generate

##@ Ship it
layers: setup  ## builds the Lambda layers into build/layers (ARGS="--architecture x86_64")
	$(PY) -m layers.build $(ARGS)

deploy: setup  ## layers, code and stack to the AWS account of your environment (ARGS="--name shardlake")
	$(PY) -m infra.deploy $(ARGS)

localstack:  ## starts LocalStack 4 in Docker and deploys the same template there
	@command -v docker >/dev/null || { echo "make localstack needs Docker; the local cloud of 'make up' does not"; exit 1; }
	docker compose up --detach --wait
	@$(MAKE) setup
	AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 \
		$(PY) -m infra.deploy --localstack $(ARGS)

localstack-down:  ## stops it
	docker compose down --volumes

##@ Set it up
setup: .venv-dev  ## .venv with everything for development, torch included

.PHONY: .venv-demo .venv-dev .venv-localstack .venv-bench
.venv-demo: python
	@tools/setup.sh .venv demo $(BASE) -- -e '.[local]'

.venv-dev: python
	@tools/setup.sh .venv dev $(BASE) -- -e '.[local,torch,minilm,dev]'

.venv-localstack:
	@if [ -n "$(BASE_313)" ]; then tools/setup.sh .venv-localstack localstack $(BASE_313) -- 'localstack-core[runtime]==4.14.0'; \
	else echo "No Python 3.13 or later here: the contract tests against real LocalStack will be skipped"; fi

.venv-bench: python
	@tools/setup.sh .venv-bench bench $(BASE) -- -e '.[local,bench]'

.PHONY: python
python:
	@[ -n "$(BASE)" ] || { echo "Shardlake needs Python 3.11 or later (set PYTHON=/path/to/python3)"; exit 1; }

$(MODELS)/minilm: .venv-dev
	@$(PY) -c "from pathlib import Path; from shardlake.encoders.minilm import prepare_minilm; prepare_minilm(Path('$@'))"

constraints: setup  ## writes constraints.txt from .venv (no addresses, only names and versions)
	@{ echo "# Exact versions of everything that \`make setup\` installs, direct or not. Made by \`make constraints\`."; \
		$(PY) -m pip freeze --exclude-editable | sed 's/^torch==\([0-9.]*\).*/torch==\1/'; } > constraints.draft
	@mv constraints.draft constraints.txt

clean:  ## removes environments, caches and builds; keeps .shardlake
	rm -rf .venv .venv-localstack .venv-bench .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
