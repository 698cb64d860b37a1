# Builds, tests and runs espd. Everything works from a path with spaces: all paths are relative to this folder.

.DEFAULT_GOAL := build
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Compiler processes at once.
JOBS ?= $(shell nproc)
# Passed on: make test ARGS='--filter TidyTests', make run ARGS='--log-level debug'
ARGS ?=

.PHONY: help install build run test fuzz sanitize lint generate clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

install: ## install what is missing to build, run and test (packages, .build-python)
	@scripts/install test

build: ## build the server, release (the default)
	@scripts/install run
	swift build -c release -j $(JOBS)

run: build ## install what is missing, build, start espd with a simulated fleet; Ctrl-C stops both
	@scripts/run $(ARGS)

# Release, product and tests in one build: tests meet the code that ships. They see `package` names, so no flag that
# makes it testable is needed, and `make run` after `make test` builds nothing again.
test: install ## install what is missing, build once, run every test
	swift build -c release --build-tests -j $(JOBS)
	swift test -c release --skip-build --disable-xctest $(ARGS)
	@scripts/test-python

fuzz: install ## run each fuzz target for FUZZ_SECONDS, default 60; some: make fuzz ARGS='messages metadata'
	@scripts/fuzz $(ARGS)

sanitize: install ## run the Swift tests under the address, then the thread sanitizer
	@scripts/sanitize address $(ARGS)
	@scripts/sanitize thread $(ARGS)

lint: install ## check formatting rules, protos and scripts
	@scripts/lint

generate: install ## make the generated code from proto/ again
	proto/generate.sh

clean: ## remove all that was built and the Python environment; data/ stays
	rm -rf .build .build-asan .build-fuzz .build-python .build-tsan
