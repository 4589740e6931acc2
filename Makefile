# Two commands for a fresh Debian or Ubuntu:
#   make demo   builds Ringfence and shows yelb before and after its policies, in network namespaces of this machine
#   make test   runs every test
# What is missing is installed by `make setup`, which both ask first.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PATH := $(HOME)/.cargo/bin:$(PATH)
CARGO ?= cargo
# Network namespaces and BPF need root. The build does not.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test setup build lint bench fuzz help

help: ## what there is
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

demo: setup ## the yelb application before and after its policies, for real
	@$(CARGO) build --release --quiet -p ringfence
	@[ -z "$(AS_ROOT)" ] || echo "The lab makes network namespaces and loads a BPF program: that needs root, so sudo may ask for a password."
	@$(AS_ROOT) target/release/ringfence lab examples/yelb

test: setup ## every test (those that need root ask for sudo)
	@[ -z "$(AS_ROOT)" ] || echo "Some tests make network namespaces and load a BPF program: that needs root, so sudo may ask for a password."
	@$(CARGO) test --workspace --no-run --quiet
	@$(AS_ROOT) env "PATH=$(PATH)" "HOME=$(HOME)" $(CARGO) test --workspace --no-fail-fast | .ci/summary

build: setup ## the release binary
	@$(CARGO) build --release -p ringfence

lint: ## format and lints, as CI runs them
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings

bench: setup ## the figures that the design must reach, as one table
	@$(CARGO) build --release --quiet -p xtask
	@# First in the queue for a processor, whatever else runs.
	@$(AS_ROOT) env "PATH=$(PATH)" "HOME=$(HOME)" nice -n -20 target/release/xtask bench

setup: ## installs what is missing: Rust, clang, libelf, nftables
	@.ci/setup
