# Everything that a developer or a user types. `make help` lists it; what takes more than a few lines is in scripts/.

# What is built for Envoy: the filters, and the modules that only tests and benches load.
FILTERS := $(patsubst %/Cargo.toml,%,$(wildcard filters/*/Cargo.toml))
MODULES := $(FILTERS) $(patsubst %/Cargo.toml,%,$(wildcard tests/modules/*/Cargo.toml))

# The crates that know nothing of Envoy: their unit tests run a second time on wasm32, in Node.
PURE := meshgate-policy meshgate-json meshgate-coding meshgate-detect meshgate-jwt meshgate-quota meshgate-transform \
	meshgate-errors meshgate-dlp meshgate-gateway

# `make run` shows this one, or another with DEMO=...; it needs these ports of 127.0.0.1: for the listener, the demo upstream
# and Envoy's admin page.
DEMO       := envoy-configs/meshgate.yaml
DEMO_PORTS := 10000 10001 9901

# The Envoy to test with: set it to use your own build instead of the pinned release.
ENVOY ?= .tools/bin/envoy
override ENVOY := $(abspath $(ENVOY))
export ENVOY

# Where Cargo builds, and where scripts and tests look for modules; a `target-dir` in Cargo's configuration is overruled.
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

# Older releases that the filters must work on as well.
OLDER_ENVOYS := 1.36.4 1.39.3

.DEFAULT_GOAL := help
.PHONY: help setup setup-test setup-bench setup-fuzz build cli run test test-all test-older test-istio test-compose test-newcomer test-dist test-keys lint docs dist bench fuzz clean distclean

help: ## what you can make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 - \2/p' Makefile | awk -F ' - ' '{ printf "%-22s%s\n", $$1, $$2 }'

setup: ## get what building and running needs: the Rust toolchain, the crates, Envoy
	@scripts/setup.sh tools toolchain crates envoy

setup-test: setup ## get what the tests need as well: Node (if there is none), the wasm test runner, schemas of Istio
	@scripts/setup.sh node test-runner crds

setup-bench: setup ## get what the bench needs as well: the load generator
	@scripts/setup.sh load-generator

setup-fuzz: ## get what fuzzing needs: cargo-fuzz
	@scripts/setup.sh tools toolchain fuzzer

build: ## build the filters: target/wasm32-wasip1/release/*.wasm
	@scripts/setup.sh tools toolchain crates
	@scripts/build.sh $(MODULES)

cli: ## build the command line: target/release/meshgate
	@scripts/setup.sh tools toolchain crates
	@cargo build -q --release -p meshgate-cli
	@echo 'built $(CARGO_TARGET_DIR)/release/meshgate' >&2

# The bootstrap names the module where it is without a target directory of one's own.
run: export CARGO_TARGET_DIR = target
run: ## start Envoy on 127.0.0.1:10000 with all filters and a demo service: DEMO=envoy-configs/dlp.yaml; Ctrl-C ends it
	@scripts/setup.sh tools
	@scripts/check-ports $(DEMO_PORTS)
	@scripts/setup.sh toolchain crates envoy
	@scripts/build.sh $(FILTERS)
	@exec scripts/run.sh $(DEMO)

test: ## run the tests: unit tests natively and on wasm32 in Node, end to end on a real Envoy
	@$(MAKE) -s setup-test build
	@scripts/test.sh $(PURE)

test-all: ## run every test, the slow ones too: test and all the test-... here
	@$(MAKE) -s test
	@$(MAKE) -s test-older
	@$(MAKE) -s test-istio
	@$(MAKE) -s test-compose
	@$(MAKE) -s test-newcomer
	@$(MAKE) -s test-dist
	@$(MAKE) -s test-keys

test-newcomer: ## clone into an empty directory, do what README.md says, and compare the answers
	@scripts/newcomer.sh

test-dist: ## build a release twice in different directories, compare every byte, and use it
	@$(MAKE) -s setup
	@scripts/test-dist.sh

test-keys: ## load a million keys from a file into a real Envoy, replace some, and look at its memory
	@$(MAKE) -s setup build
	@cargo test -q -p meshgate-e2e --test api_key_quota -- --ignored a_million_keys

test-older: ## run the end-to-end tests of the filters on older Envoys: OLDER_ENVOYS="1.36.4 1.39.3" SUITES="host gateway docs"
	@$(MAKE) -s build
	@scripts/test-envoy-versions.sh $(OLDER_ENVOYS)

test-istio: ## run the filters in Istio, a real istiod with a real Envoy, and let its code pull the images; five minutes the first time
	@$(MAKE) -s setup build
	@scripts/setup.sh istiod
	@scripts/test-istio.sh

test-compose: ## run envoy-configs/docker-compose.yml on a real Docker engine, and try it
	@scripts/setup.sh tools toolchain crates envoy
	@scripts/test-compose.sh

lint: ## check format, clippy (native and wasm), panics, unsafe, docs
	@scripts/setup.sh tools toolchain crates
	@scripts/lint.sh $(MODULES)

docs: ## build the documentation as a site, with every link checked: target/site/index.html
	@scripts/docs.sh

dist: ## build a release into dist/: modules, command line, schemas, configurations, bills of materials, and a tarball
	@scripts/setup.sh tools toolchain crates static-target
	@scripts/dist.sh $(FILTERS)

bench: ## measure what the filters cost, next to a no-op module, Lua and Envoy's own: BENCH="transform --quick"
	@$(MAKE) -s setup-bench build
	@exec cargo run -q -p meshgate-e2e --bin bench -- $(BENCH)

fuzz: ## look for input that breaks a property: FUZZ="json --runs 1000000"
	@$(MAKE) -s setup-fuzz
	@scripts/fuzz.sh $(FUZZ)

clean: ## remove what was built
	@cargo clean
	@rm -rf dist
	@echo 'kept .tools (Envoy and the test tools): `make distclean` removes it as well'

distclean: clean ## remove what was built and what was downloaded into .tools
	@rm -rf .tools
