# Everything needs Python 3.11 or newer and make; the rest is installed into .venv and, for what
# takes long to build, into a cache outside the checkout.
PYTHON ?= python3
PYTHONS := 3.11 3.12 3.13 3.14
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := $(VENV)/.ready-$(shell cat requirements.lock pyproject.toml | cksum | tr -d ' ')
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
IMAGE ?= leaseholder:$(VERSION)
PLATFORMS ?= linux/amd64,linux/arm64
BUILDKIT := moby/buildkit:v0.33.0@sha256:6c2fa84a6b61ccd72899dde4239f8d5717f05f9a8ca6f3cad185fb1a95a94de3
SCANNER := docker/buildkit-syft-scanner:1.12.0@sha256:ae4f3b554449e7e25548e7d8ccc029d17357348e30c6e3df01b92bc93654d6a9
CLUSTER ?= leaseholder
IN_KIND = kubectl --context kind-$(CLUSTER)
MOMENTS ?= 50
PROVIDER ?= infisical
MINUTES ?= 10
# More processes than two cores: cluster tests wait for a third of their time. conftest.py says in
# which order modules are dealt out, and that one of the four only computes as long as it can.
SIDE_BY_SIDE ?= --numprocesses=4 --dist=loadfile --no-loadscope-reorder
# Where Python may not keep what it compiled, each of some hundred operators that the tests start
# compiles all of its code anew, and pytest every test module: a minute of processor time and more.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help setup world-built test conformance lint simulate fuzz hostile mutants crds chart demo demo-all kills storm \
  soak world run bench bench-full bench-plots dashboard docs version image image-pushed dist kind cluster-kind \
  kind-checked test-kind clean lock

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 16

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	@echo "setup: virtual environment and pinned dependencies (usually 30 s) …"
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-index --no-deps --no-build-isolation -e .
	@$(PIP) check > $(VENV)/check.txt || { cat $(VENV)/check.txt; exit 1; }
	@touch $@
	@echo "setup: done"

setup: $(READY) ## Virtual environment with pinned dependencies

world-built: $(READY)
	@$(BIN)/python -m tests.world.build

test: world-built ## All tests, on a real control plane, PostgreSQL and emulated providers
	@rm -rf build/coverage && mkdir -p build/coverage
	@COVERAGE_FILE=build/coverage/data PYTHONHASHSEED=0 $(BIN)/python -m pytest $(SIDE_BY_SIDE) \
	  --cov --cov-report=term --cov-fail-under=90
	@COVERAGE_FILE=build/coverage/data $(BIN)/python -m coverage report \
	  --include='*/leaseholder/core/*' --fail-under=100 > build/coverage/core.txt \
	  || { cat build/coverage/core.txt; echo "core/ isn't covered whole"; exit 1; }

conformance: $(READY) ## What every provider is held to; writes docs/providers/conformance.md
	@$(BIN)/python -m pytest -q tests/provider/conformance \
	  --conformance-table=docs/providers/conformance.md

simulate: $(READY) ## 10,000 histories with faults against the promises; SEED=n plays a batch again
	@PYTHONHASHSEED=0 $(BIN)/python -W error -m tests.simulation $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz: $(READY) ## 20,000 odd answers and manifests, 11,000 requests to emulators; SEED=n, which a run prints
	@seed=$${SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; echo "fuzz: SEED=$$seed"; \
	  FUZZ_CASES=20000 $(BIN)/python -m pytest tests/fuzz -q -s --numprocesses=2 \
	  --hypothesis-seed=$$seed $(ARGS)

hostile: $(READY) ## Servers that abuse HTTP, TLS and JSON: what they cost; WAYS=, SECONDS=
	@$(BIN)/python -m tests.fuzz.sockets $(WAYS) --seconds $(or $(SECONDS),4)

mutants: $(READY) ## Each rule switched off once: does the simulation find it? Writes docs/design/proof.md
	@PYTHONHASHSEED=0 $(BIN)/python -W error -m tests.simulation.mutants $(ARGS)

lint: $(READY) ## ruff, mypy --strict, import-linter, CRDs and reference in step with the models
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/python -m tools.pages --check
	@$(BIN)/python -m tools.chart --check

crds: $(READY) ## Write crds/ and the generated pages of docs/ from the code
	@$(BIN)/python -m tools.pages
	@$(BIN)/python -m tools.chart

chart: $(READY) ## Bring the chart's copies, its table of values and deploy/install.yaml in step
	@$(BIN)/python -m tools.chart

demo: world-built ## A lease's life at each provider: what you type, what you see, facts from outside
	@$(BIN)/python -m tests.demo

demo-all: world-built ## The same at all providers side by side, in half a minute
	@$(BIN)/python -m tests.demo --at-once

kills: world-built ## kill -9 at 50 random moments (5 minutes); PROVIDER=, MOMENTS=, SEED=
	@$(BIN)/python -m tests.cluster.kills --moments $(MOMENTS) --provider $(PROVIDER) \
	  $(if $(SEED),--seed $(SEED))

storm: world-built ## Faults, kills and edits for 10 minutes, with a monitor; MINUTES=, SEED=
	@$(BIN)/python -m tests.cluster.storm --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

soak: world-built ## 20,000 DynamicLeases come and go in 10 minutes; does memory come back? MINUTES=, SEED=
	@$(BIN)/python -m tests.cluster.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

world: world-built ## Start the test world and stay up, for you to play with; PROVIDERS=all or some
	@$(BIN)/python -m tests.world $(if $(PROVIDERS),--providers $(PROVIDERS))

run: $(READY) ## Run the operator against the current KUBECONFIG
	@LEASEHOLDER_METRICS_ADDRESS=$${LEASEHOLDER_METRICS_ADDRESS:-127.0.0.1:8080} $(BIN)/leaseholder run

bench: world-built ## The operator beside the bare calls, 200 leases; under 10 minutes
	@$(BIN)/python -m bench $(ARGS)

bench-full: world-built ## All sizes (up to 10,000 leases) and latencies; as long as it takes
	@$(BIN)/python -m bench --full $(ARGS)

bench-plots: $(READY) ## Draw docs/images/bench-*.svg from bench/results
	@$(BIN)/python -m bench.plots

dashboard: world-built ## Draw docs/images/dashboard.svg from a run of six minutes
	@$(BIN)/python -m bench.dashboard

docs: $(READY) ## The documentation as a site, in build/site; warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

version: ## Print the version
	@echo $(VERSION)

image: ## The image, for this machine's Docker; IMAGE=
	docker build -t $(IMAGE) -f deploy/Dockerfile .

image-pushed: ## The image for two architectures, into a registry, with SBOM and provenance; IMAGE=
	mkdir -p build
	docker buildx inspect leaseholder >/dev/null 2>&1 \
	  || docker buildx create --name leaseholder --driver-opt image=$(BUILDKIT)
	docker buildx build --builder leaseholder --platform $(PLATFORMS) --provenance=mode=max \
	  --sbom=generator=$(SCANNER) --metadata-file build/image.json --push -t $(IMAGE) -f deploy/Dockerfile .

dist: $(READY) ## Wheel and chart, in dist/; the chart has the image of `make image-pushed`, if there is one
	@rm -rf dist
	@$(PIP) wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir dist .
	@$(BIN)/python -m tools.package dist

kind: ## A kind cluster (needs a Docker engine, kind and kubectl); CLUSTER=, NODE=
	@docker info >/dev/null 2>&1 || { echo "kind needs a running Docker engine"; exit 1; }
	@command -v kind >/dev/null || { echo "kind isn't there: https://kind.sigs.k8s.io"; exit 1; }
	kind get clusters | grep -qx $(CLUSTER) \
	  || kind create cluster --name $(CLUSTER) --wait 3m $(if $(NODE),--image $(NODE))

cluster-kind: $(READY) kind image ## A kind cluster with the operator in it, by image and chart
	kind load docker-image $(IMAGE) --name $(CLUSTER)
	$(IN_KIND) apply -f deploy/namespace.yaml
	$$($(BIN)/python -m tests.world.build helm) upgrade --install leaseholder deploy/chart \
	  --kube-context kind-$(CLUSTER) --namespace leaseholder --set 'providerHosts={*}'
	$(IN_KIND) -n leaseholder rollout status deployment/leaseholder --timeout=3m

kind-checked: cluster-kind ## The operator in the kind cluster answers a DynamicLease without a provider
	$(IN_KIND) create namespace shop --dry-run=client -o yaml | $(IN_KIND) apply -f -
	$(IN_KIND) apply -f deploy/examples/infisical-lease.yaml
	$(IN_KIND) -n shop wait dynamicleases --all --timeout=1m \
	  --for=jsonpath='{.status.conditions[?(@.type=="Ready")].reason}'=ProviderMissing

test-kind: $(READY) kind ## The main tests against the API server of a kind cluster without the operator
	@mkdir -p build && kind get kubeconfig --name $(CLUSTER) > build/kind.kubeconfig
	KUBECONFIG_FOR_TESTS=build/kind.kubeconfig $(BIN)/python -m pytest tests/cluster/test_life.py

COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-annotate --no-header --no-emit-index-url
lock: ## Pin dependencies anew (needs uv)
	$(COMPILE) --group dev pyproject.toml -o requirements.lock
	$(COMPILE) -c requirements.lock pyproject.toml -o requirements-runtime.lock
	$(COMPILE) -c requirements.lock --group build -o requirements-build.lock
	@for python in $(PYTHONS); do for machine in x86_64 aarch64; do \
	  echo "lock: wheels for Python $$python on $$machine"; \
	  uv pip install -q --dry-run --target build/none --no-deps --only-binary :all: --require-hashes \
	    --python-version $$python --python-platform $$machine-manylinux_2_28 -r requirements.lock \
	    || exit 1; done; done

clean: ## Remove what make made in the checkout (the cache outside stays)
	rm -rf $(VENV) build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
