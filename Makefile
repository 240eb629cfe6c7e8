# One target per task. `make` alone lists them.
#
# Everything uses one profile (release) and, except for the demonstration, one feature set: RocksDB takes most of a first
# build, and a second profile or another set of dependency features would compile it again.
# The features of our own crates only add crash points, so the demonstration shares that compiled RocksDB too.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# cargo already uses every core; two targets at once would only wait for its lock and mix their output.
.NOTPARALLEL:

# rustup puts cargo here; a shell opened before the installation does not have it in PATH yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

EVERYTHING := --workspace --all-features

# RUSTDOCFLAGS replaces the flags of .cargo/config.toml instead of adding to them, so its --cfg is repeated here.
DOCUMENTATION_FLAGS := -D warnings --cfg curve25519_dalek_backend="avx512"

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-21s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: dependencies ## Build everything and show a purchase on this machine
	cargo build --release --workspace
	scripts/demo

.PHONY: load
load: dependencies ## Load a fresh server on this machine for about a minute, check everything, and report
	cargo build --release $(EVERYTHING)
	scripts/load

.PHONY: build
build: dependencies ## Build every program with its default features
	cargo build --release --workspace

# cargo-nextest does not run documentation tests, so these follow in both cases.
.PHONY: test
test: dependencies ## Run all tests, then say how many features of the catalogue they cite
	@if cargo nextest --version >/dev/null 2>&1; then \
		echo 'cargo nextest run --release $(EVERYTHING)'; \
		cargo nextest run --release $(EVERYTHING); \
	else \
		echo 'cargo test --release $(EVERYTHING) --lib --bins --tests  # cargo-nextest is not installed'; \
		cargo test --release $(EVERYTHING) --lib --bins --tests; \
	fi
	cargo test --doc --release $(EVERYTHING)
	@scripts/spec --self-test
	@scripts/spec --summary

.PHONY: check
check: dependencies ## Check format, lints and documentation; every warning is an error
	cargo fmt --all -- --check
	cargo clippy --release $(EVERYTHING) --all-targets -- -D warnings
	RUSTDOCFLAGS='$(DOCUMENTATION_FLAGS)' cargo doc --release $(EVERYTHING) --no-deps

.PHONY: format
format: ## Format the Rust code
	cargo fmt --all

.PHONY: spec
spec: ## Show which features of docs/features.md are cited by a test
	@scripts/spec

# `cargo bench` has a profile of its own by default; naming ours keeps RocksDB compiled once.
.PHONY: bench-smoke
bench-smoke: dependencies ## Run every bench once, without measuring, so that benches do not rot
	cargo bench --profile release $(EVERYTHING) --bench '*' -- --test

# Built in the same target directory as everything else, wherever that is.
PROGRAMS := $${CARGO_TARGET_DIR:-target}/release

.PHONY: instructions
instructions: dependencies ## Count instructions and fail where one rose by more than 3 %
	cargo build --release $(EVERYTHING) --bin instructions
	@scripts/instructions $(PROGRAMS)/instructions

.PHONY: instructions-baseline
instructions-baseline: dependencies ## Record the counts of instructions as they are now
	cargo build --release $(EVERYTHING) --bin instructions
	@scripts/instructions $(PROGRAMS)/instructions --record

.PHONY: kernels-ratio
kernels-ratio: dependencies ## Compare the vector kernels with the portable ones, in one run
	cargo build --release $(EVERYTHING) --bin kernels-ratio
	@$(PROGRAMS)/kernels-ratio

.PHONY: textbook
textbook: dependencies ## Compare our payments with the textbook's, in one run
	cargo build --release $(EVERYTHING) --bin textbook
	@$(PROGRAMS)/textbook

.PHONY: fuzz
fuzz: dependencies ## Let a fuzzer look for inputs that break rules, FUZZ_SECONDS (60) for each target
	scripts/fuzz

.PHONY: deny
deny: ## Check licences, advisories, banned crates and sources of the dependencies
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny check; \
	else \
		echo 'cargo-deny is not installed. To install it: cargo install --locked cargo-deny --version "^0.20"' >&2; \
		exit 1; \
	fi

.PHONY: dependencies
dependencies: ## Install what the build needs; does nothing if it is all there
	@scripts/install-dependencies
