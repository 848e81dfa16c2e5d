# `make` alone explains everything. Nothing but python3, make and (as root) apt is needed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# One step after the other, also under `make -j`: targets share the stack.
.NOTPARALLEL:
# What a recipe reads, as it was typed: make would expand a $ in it.
WORDS := NAME SCOPES EMAIL OFFER REQUEST MIGRATION_NAME STREAM REDRIVE DISCARD CONFIRM COUNT RATE SEED DAYS KEY
GIVEN_URL := $(if $(filter command,$(origin DB_URL)),$(value DB_URL))
# Nor does an inherited KEY: what it names is gone.
override KEY := $(if $(filter command,$(origin KEY)),$(value KEY))
$(foreach word,$(WORDS) DB_URL,$(eval override $(word) := $$(value $(word))))
# An inherited DB_URL does not count.
unexport DB_URL
# Nor does an inherited SENTRY_DSN on the native stack; compose is given its own as it is.
GIVEN_TRACES := $(if $(filter command,$(origin TRACES)),$(value TRACES))
GIVEN_SENTRY_DSN := $(if $(filter command,$(origin SENTRY_DSN)),$(value SENTRY_DSN))
export GIVEN_URL GIVEN_TRACES GIVEN_SENTRY_DSN $(WORDS)
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp-$(shell sha256sum requirements-dev.lock | cut -c1-16)
DEV := docker compose -f docker-compose.dev.yml
PROD := docker compose -f docker-compose.prod.yml
ENGINE = docker info >/dev/null 2>&1 || { \
	echo 'No Docker engine answers here. Without one: make run (the native stack, all of it).' >&2; exit 2; };
# Where a command about data works: on DB_URL= (the owner's), else on the native stack, else on compose's.
WITH_STACK = run=$(BIN)/python; api=; \
	answers() { local url; [ -f .stack/url ] && url=$$(< .stack/url) && url=$${url\#*://} \
		&& (: < "/dev/tcp/$${url%:*}/$${url\#\#*:}") 2>/dev/null; }; \
	if answers; then set -a; . ./.stack/env; set +a; \
	elif [ -n "$$GIVEN_URL" ]; then [ ! -f .env ] || { set -a; . ./.env; set +a; }; \
	elif [ -n "$$($(DEV) ps --quiet --status running api 2>/dev/null)" ]; then mkdir -p .stack; \
		run="$(DEV) run --rm tools python"; api=http://api:8000; export ECS_USER="$$(id -u):$$(id -g)"; \
	elif [ -f .stack/url ]; then \
		echo "The stack was started, and does not answer any more: start it again (make up)." >&2; exit 2; \
	else echo "The stack is not running: start it (make up), or give DB_URL=<the owner's URL>." >&2; exit 2; fi; \
	if [ -n "$$GIVEN_URL" ]; then export DB_OWNER_URL="$$GIVEN_URL" DB_URL="$$GIVEN_URL"; fi; $$run
ALEMBIC = @$(WITH_STACK) -m alembic
# Containers read these files as another user, whatever umask the checkout was made under.
READABLE = find deploy nginx ecs workers scripts \( ! -perm -a=r -o -type d ! -perm -a=x \) \
	-exec chmod a+rX {} +
PYTEST = $(BIN)/python -m pytest

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-26s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run (no Docker)
.PHONY: run up down status monitoring restart trace logs new-encryption-key drop-encryption-key
run: $(STAMP) ## Start everything, print how to try it, stay until Ctrl-C; TRACES=1 SENTRY_DSN=... tell what happens
	@exec $(BIN)/python -m scripts.stack run
up: $(STAMP) ## The same in the background
	@$(BIN)/python -m scripts.stack up
down: $(STAMP) ## Stop what runs in the background
	@$(BIN)/python -m scripts.stack down
status: $(STAMP) ## Show every program and what /ready says; fails unless all is ready
	@$(BIN)/python -m scripts.stack status
monitoring: $(STAMP) ## Start Prometheus on it, with rules and alerts; prints where to look
	@$(BIN)/python -m scripts.stack monitoring
restart: $(STAMP) ## Restart the APIs one after the other, without a gap; PROGRAM=cron for another
	@$(BIN)/python -m scripts.stack restart $(PROGRAM)
trace: $(STAMP) ## Draw the newest trace (of make up TRACES=1), or that of REQUEST=<X-Request-ID>
	@$(BIN)/python -m scripts.show_trace $${REQUEST:+--request "$$REQUEST"}
logs: $(STAMP) ## Follow the logs; PROGRAM=api-1 for one of them
	@exec $(BIN)/python -m scripts.stack logs $(PROGRAM)

new-encryption-key: $(STAMP) ## Make a new key for PANs, then the active one, without a gap; next: make rotate-encryption
	@$(BIN)/python -m scripts.stack new-encryption-key
drop-encryption-key: $(STAMP) ## Forget a key for PANs that nothing is left on: KEY=1
	@[ -n "$$KEY" ] || { echo "Give KEY=<the id of a key that nothing is left on>" >&2; exit 2; }
	@$(BIN)/python -m scripts.stack drop-encryption-key "$$KEY"

##@ Run with Docker
.PHONY: run-dev down-dev run-prod down-prod db-up db-down
run-dev: ## Build and start development: one API with reload on APP_PORT, workers, Mailpit
	@$(ENGINE) $(READABLE); $(DEV) up --build --detach
	@echo "Started: http://$$($(DEV) port api 8000)/docs, mail at http://127.0.0.1:8025. Next: make seed-dev"
down-dev: ## Stop it; the data stay
	@$(ENGINE) $(DEV) down
run-prod: ## Build and start production: Nginx on port 80, three APIs, all workers; needs .env
	@$(ENGINE) [ -f .env ] || { echo 'There is no .env: cp .env.example .env, then give every change-me in it a value of its own.' >&2; exit 2; }
	@! grep -qE '^[^#]*(change-me|Y2hhbmdlLW1l)' .env || { echo '.env still holds values that everybody knows: give every change-me in it a value of its own.' >&2; exit 2; }
	@$(READABLE); $(PROD) up --build --detach
	@echo 'Started: http://127.0.0.1/ready'
down-prod: ## Stop it; the data stay
	@$(ENGINE) $(PROD) down
db-up: ## Start development's PostgreSQL alone; then make migrate-upgrade DB_URL=...
	@$(ENGINE) $(DEV) up --detach --wait postgres
db-down: ## Stop it; the data stay
	@$(ENGINE) $(DEV) stop postgres

##@ Check
.PHONY: test test-unit test-integration test-e2e coverage mutation check lint format hooks
test: $(STAMP) ## Run every test on throw-away stacks: parallel, in random order
	@$(PYTEST) -n 2 --dist worksteal $(ARGS)
test-unit: $(STAMP) ## Run the tests that need no service
	@$(PYTEST) tests/unit $(ARGS)
test-integration: $(STAMP) ## Run the tests on PostgreSQL and Redis
	@$(PYTEST) -n 2 --dist worksteal tests/integration tests/api tests/contracts $(ARGS)
test-e2e: $(STAMP) ## Run the journeys through Nginx and real workers
	@$(PYTEST) tests/e2e $(ARGS)
coverage: $(STAMP) ## Run every test and show what they cover, package by package
	@$(PYTEST) -n 2 --dist worksteal --cov --cov-report= $(ARGS)
	@$(BIN)/python -m scripts.coverage_report
mutation: $(STAMP) ## Change the domain's code line by line and show which changes no test notices
	@rm -rf mutants
	@$(BIN)/mutmut run $(ARGS)
	@$(BIN)/python -m scripts.mutation_report
check: $(STAMP) lint ## Check lint, formatting, types and import contracts
	@$(BIN)/python -m mypy ecs workers scripts migrations tests
	@$(BIN)/lint-imports
lint: $(STAMP) ## Check lint and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
format: $(STAMP) ## Repair formatting, and the lint that repairs itself
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .
hooks: $(STAMP) ## Check each commit before it is made (git hooks; downloads nothing)
	@$(BIN)/pre-commit install

##@ Measure
.PHONY: benchmark-ingest benchmark-prequalification benchmark-metrics
benchmark-ingest: $(STAMP) ## Measure how fast emotional events are taken in, as ratios to COPY
	@$(BIN)/python -m scripts.benchmark_ingest
benchmark-prequalification: $(STAMP) ## Measure applications a second and how soon each is decided; ARGS="--rate 150"
	@$(BIN)/python -m scripts.benchmark_prequalification $(ARGS)
benchmark-metrics: $(STAMP) ## Measure what metrics cost an application for credit, as a ratio; ARGS="--rounds 30"
	@$(BIN)/python -m scripts.benchmark_metrics $(ARGS)

##@ Data of the running stack, native or with Docker (or DB_URL=<the owner's URL>)
.PHONY: demo create-client seed-dev clean-dev explain forget-user produce-emotions dead-letters audit-verify \
	rotate-encryption
demo: $(STAMP) ## Let ten personas walk the journey; a table shows what each got and why
	@$(WITH_STACK) -m scripts.demo $${api:+--url "$$api"}
create-client: $(STAMP) ## Make an API client: NAME=... SCOPES="a:write b:write"; prints one JSON line
	@[ -n "$$NAME" ] && [ -n "$$SCOPES" ] || { echo 'Give NAME=... SCOPES="transactions:write"' >&2; exit 2; }
	@$(WITH_STACK) -m scripts.create_client --name "$$NAME" --scopes "$$SCOPES"
seed-dev: $(STAMP) ## Add the demo people
	@$(WITH_STACK) -m scripts.seed_dev
clean-dev: $(STAMP) ## Remove all development data; CONFIRM=<database> if DB_URL is elsewhere
	@$(WITH_STACK) -m scripts.clean_dev $${CONFIRM:+--confirm "$$CONFIRM"}
produce-emotions: $(STAMP) ## Stream moods of the demo people over RabbitMQ: COUNT=600 RATE=100 SEED=1 DAYS=3
	@$(WITH_STACK) -m scripts.produce_emotions $${COUNT:+--count "$$COUNT"} \
		$${RATE:+--rate "$$RATE"} $${SEED:+--seed "$$SEED"} $${DAYS:+--days "$$DAYS"}
audit-verify: $(STAMP) ## Check that the audit of access to PANs is as it was written; names what is not
	@$(WITH_STACK) -m scripts.audit_verify
explain: $(STAMP) ## Show a decision whole, decide it again and compare: OFFER=<id>
	@[ -n "$$OFFER" ] || { echo "Give OFFER=<the id of an offer or of an assessment>" >&2; exit 2; }
	@$(WITH_STACK) -m scripts.explain_decision --offer "$$OFFER"
forget-user: $(STAMP) ## Delete a person, keep the record of decisions pseudonymised: EMAIL=...
	@[ -n "$$EMAIL" ] || { echo "Give EMAIL=..." >&2; exit 2; }
	@$(WITH_STACK) -m scripts.forget_user --email "$$EMAIL"

dead-letters: $(STAMP) ## Show what could not be used; STREAM=<name> REDRIVE|DISCARD=all|<code>|<id>|user:<id>
	@$(WITH_STACK) -m scripts.dead_letters $${STREAM:+--stream "$$STREAM"} \
		$${REDRIVE:+--redrive "$$REDRIVE"} $${DISCARD:+--discard "$$DISCARD"}
rotate-encryption: $(STAMP) ## Re-encrypt every PAN with the active key, while everything goes on
	@$(WITH_STACK) -m scripts.rotate_encryption

##@ Migrations (DB_URL=<the owner's URL>, or the running stack's)
.PHONY: migrate-generate migrate-upgrade migrate-downgrade migrate-current migrate-history
migrate-generate: $(STAMP) ## Write a migration from changed tables: MIGRATION_NAME='description'
	@[ -n "$$MIGRATION_NAME" ] || { echo "Give MIGRATION_NAME='what changes'" >&2; exit 2; }
	$(ALEMBIC) revision --autogenerate -m "$$MIGRATION_NAME"
migrate-upgrade: $(STAMP) ## Apply all pending migrations
	$(ALEMBIC) upgrade head
	$(ALEMBIC) current
migrate-downgrade: $(STAMP) ## Roll back one migration, with the data it brought
	$(ALEMBIC) downgrade -1
	$(ALEMBIC) current
migrate-current: $(STAMP) ## Show the current revision
	$(ALEMBIC) current
migrate-history: $(STAMP) ## Show all revisions
	$(ALEMBIC) history

# Hash-locked; made anew when the lock changes. The stamp is written last.
$(STAMP): requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed (PYTHON=... names another one)." >&2; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing python3-venv (apt)" >&2; \
			{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv; } >/dev/null; \
		else echo "Install with: sudo apt-get install -y python3-venv" >&2; exit 1; fi; fi
	@echo "Making .venv from requirements-dev.lock" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $< >&2
	@rm -f .venv/.stamp-* && touch $@
