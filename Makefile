# Two commands matter on a fresh Debian machine: `make demo` and `make test`.
# Each sets up all that it needs.

SHELL := /bin/bash
export CGO_ENABLED = 0
TAGS := remote exclude_graphdriver_btrfs containers_image_openpgp
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X towline/daemon/command.Version=$(VERSION) -X main.version=$(VERSION)
GO := go
PROGRAMS := towlined towline-proxy towline-shell towline
TOOLS := bin/tools

.PHONY: all build deb test-appliance test-appliance-vm appliance-debs setup images demo test unit race compiled builds fuzz fuzz-proxy lint e2e soak bench-deploy bench-build bench-cli bench-hundred bench-proxy bench-backup clean

all: build

build: ## the four programs, into bin/
	@mkdir -p bin
	$(GO) build -trimpath -tags "$(TAGS)" -ldflags "$(LDFLAGS)" -o bin/ $(addprefix ./cmd/,$(PROGRAMS))

setup: ## install what is missing on this machine
	packaging/dev/setup.sh

images: setup ## images of the same interface as the public ones, from packages
	packaging/images/build.sh

demo: setup images build ## push the Rails example and serve it; CHECK=1 checks and cleans up
	$(GO) build -tags "$(TAGS)" -o bin/demo ./e2e/demo
	bin/demo

test: setup build ## everything that CI runs
	$(MAKE) -j3 images lint compiled
	$(MAKE) race
	$(MAKE) -j3 e2e fuzz-proxy builds

unit: ## without the race detector, without the stories
	$(GO) test -tags "$(TAGS)" $$($(GO) list -tags "$(TAGS)" ./... | grep -v /e2e)

# SQLite, which is Go made from C, would take five times as long under the race detector,
# and half of the whole run; it is not where we look for races. Nor is the hashing of passwords.
RACE := -race '-gcflags=modernc.org/...=-race=false -d=checkptr=0' '-gcflags=golang.org/x/crypto/blowfish=-race=false'
# The packages that take longest begin first, so that none of them runs alone at the end.
LONGEST := ./proxy ./daemon/podman ./plugins ./cmd/towline-shell ./daemon/build ./daemon/journeys
race: setup images
	TOWLINE_REQUIRE_PODMAN=1 CGO_ENABLED=1 $(GO) test $(RACE) -p 3 -timeout 35m -tags "$(TAGS)" $(LONGEST) $$($(GO) list -tags "$(TAGS)" ./... | grep -v /e2e)
	$(GO) test -tags "$(TAGS)" -run '^TestMemory' ./cmd/towline-proxy # which the race detector would hide

compiled: setup # all packages with the race detector, while the images wait for their downloads
	CGO_ENABLED=1 nice $(GO) build $(RACE) -tags "$(TAGS)" ./...

builds: setup images ## real builds, which unpack images, slowly under the race detector
	TOWLINE_REQUIRE_PODMAN=1 TOWLINE_RACED=1 $(GO) test -short -timeout 20m -tags "$(TAGS)" ./daemon/build

e2e: setup images build ## stories on real sshd, git, Podman, Neo4j and Redis
	TOWLINE_REQUIRE_PODMAN=1 $(GO) test -short -tags "$(TAGS)" -timeout 50m -parallel 3 ./e2e/...

soak: setup images build ## the stories with their longest loops, 300 random kills, a browser, gRPC's C-core, and HOSTILE=1h of hostile clients of the proxy
	packaging/dev/setup.sh --browser --grpc
	packaging/images/build.sh neo4j-4.4
	TOWLINE_EVERY_CALL=1 $(GO) test -tags "$(TAGS)" -timeout 30m ./daemon/journeys
	TOWLINE_REQUIRE_PODMAN=1 $(GO) test -tags "$(TAGS)" -timeout 120m ./e2e/...
	TOWLINE_REQUIRE_PODMAN=1 $(GO) test -tags "$(TAGS)" -timeout 40m -run '^(TestExamples|TestShapes|TestBuildpacksNode)$$' ./daemon/build
	for seed in $(KILLSEEDS); do \
		TOWLINE_REQUIRE_PODMAN=1 TOWLINE_KILLS=50 TOWLINE_SEED=$$seed $(GO) test -tags "$(TAGS)" -timeout 90m -run '^TestRandomKills$$' -v ./e2e || exit 1; done
	CGO_ENABLED=1 $(GO) test -race -tags "$(TAGS)" -run '^TestGRPC' -v ./proxy
	CGO_ENABLED=1 TOWLINE_HOSTILE=$(HOSTILE) $(GO) test -race -tags "$(TAGS)" -timeout 6h -run '^TestHostileLoad$$' -v ./proxy

HOSTILE ?= 1h
KILLSEEDS ?= 1 2 3 4 5 6

FUZZTIME ?= 60s
FUZZIN ?= .
fuzz: ## what parses bytes of strangers, each target for FUZZTIME
	@set -e; for target in $$(grep -rlE '^func Fuzz' --include='*_test.go' $(FUZZIN) | xargs grep -HoE '^func Fuzz[A-Za-z0-9_]*' | sed 's/func //'); do \
		file=$${target%%:*}; name=$${target##*:}; echo "$$name, $(FUZZTIME)"; \
		nice -n 19 $(GO) test -tags "$(TAGS)" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s $(FUZZFLAGS) ./$$(dirname $$file); \
	done

# It takes what the stories leave of the processors, and stops at counts, of a minute at
# most each: by the clock it would do less on a busy machine.
fuzz-proxy: ## the proxy's fuzzers, a minute each at most
	$(MAKE) fuzz FUZZIN=proxy/message FUZZTIME=50000x FUZZFLAGS="-parallel 1"
	$(MAKE) fuzz FUZZIN="$(wildcard proxy/*_test.go)" FUZZTIME=1000x FUZZFLAGS="-parallel 1"

lint: $(TOOLS)/staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(GO) vet -tags "$(TAGS)" ./...
	$(TOOLS)/staticcheck -tags "$(TAGS)" ./...
	$(TOOLS)/errcheck -tags "$(TAGS)" -exclude packaging/dev/errcheck.txt -ignoretests ./...
	GOFLAGS="-tags=$(shell echo $(TAGS) | tr ' ' ,)" $(TOOLS)/depguard ./...
	$(GO) mod tidy -diff

$(TOOLS)/staticcheck: packaging/dev/tools/go.mod
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) $(GO) -C packaging/dev/tools install tool
	@touch $@

bench-deploy: setup images build ## push and config:set until they serve
	$(GO) run -tags "$(TAGS)" ./e2e/bench deploy

bench-build: setup images build ## builds of the Node, Python and Rails examples beside podman build
	$(GO) run -tags "$(TAGS)" ./e2e/bench build

bench-cli: setup images build ## the command line over SSH; idle memory
	$(GO) run -tags "$(TAGS)" ./e2e/bench cli

bench-hundred: setup images build ## what 100 running apps cost: start of the daemon, its idle time, memory, listings
	$(GO) run -tags "$(TAGS)" ./e2e/bench hundred

bench-metrics: ## what measuring costs: disk, memory and processor's time of 20 apps
	$(GO) test -tags "$(TAGS)" -run '^$$' -bench '^BenchmarkBudget$$' -benchtime 1x ./daemon/metrics
	$(GO) test -tags "$(TAGS)" -run '^$$' -bench '^BenchmarkCounting$$' ./proxy

bench-proxy: build ## towline-proxy beside nginx, HAProxy and Caddy
	$(GO) run ./proxy/bench

bench-backup: setup images build ## backups of Neo4j stores of 100 MB and 1 GB under write load
	$(GO) run -tags "$(TAGS)" ./e2e/benchbackup

# A commit that is no release sorts before the release that it leads to, and after every
# commit before it.
RELEASE := 0.1.0
DEB_VERSION ?= $(RELEASE)~$(shell git rev-list --count HEAD 2>/dev/null || echo 0).$(shell git rev-parse --short=8 HEAD 2>/dev/null || echo dev)
ARCHES ?= amd64 arm64
# Who builds a package for others says who they are; nobody reads mail at a name below .invalid.
MAINTAINER ?= $(if $(DEBEMAIL),$(DEBFULLNAME) <$(DEBEMAIL)>,Towline <maintainers@towline.invalid>)
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1700000000)

deb: $(TOOLS)/nfpm ## the package, into dist/, for each of ARCHES
	@for arch in $(ARCHES); do \
		GO="$(GO)" TAGS="$(TAGS)" NFPM="$(CURDIR)/$(TOOLS)/nfpm" DEB_VERSION="$(DEB_VERSION)" MAINTAINER="$(MAINTAINER)" packaging/deb/build.sh $$arch || exit 1; \
	done

APPLIANCE ?= bookworm trixie
APPLIANCE_VM ?= bookworm
APPLIANCE_VM_ADDONS ?= redis
DEBS := $(CURDIR)/dist/appliance

test-appliance: setup images ## install, upgrade under load, reboot, purge: the package on booted Debian, in system containers
	packaging/dev/setup.sh --appliance
	$(MAKE) appliance-debs
	TOWLINE_APPLIANCE="$(APPLIANCE)" TOWLINE_DEBS=$(DEBS) $(GO) test -tags "$(TAGS)" -count=1 -timeout 60m -v ./e2e/appliance

test-appliance-vm: setup images ## the same in virtual machines, with limits and power cuts that are real; slow, as the processor is emulated
	packaging/dev/setup.sh --appliance-vm
	$(MAKE) appliance-debs
	TOWLINE_APPLIANCE="$(APPLIANCE_VM)" TOWLINE_APPLIANCE_GUEST=vm TOWLINE_APPLIANCE_ADDONS="$(APPLIANCE_VM_ADDONS)" TOWLINE_DEBS=$(DEBS) $(GO) test -tags "$(TAGS)" -count=1 -timeout 180m -v ./e2e/appliance

appliance-debs: # two versions of the package, and the images that there is no registry for
	@mkdir -p $(DEBS)
	$(MAKE) -s deb ARCHES=$(shell dpkg --print-architecture) DEB_VERSION=0.1.0~1 && mv dist/towline_0.1.0~1_*.deb $(DEBS)/old.deb
	$(MAKE) -s deb ARCHES=$(shell dpkg --print-architecture) DEB_VERSION=0.1.0~2 && mv dist/towline_0.1.0~2_*.deb $(DEBS)/new.deb
	lintian --fail-on error,warning --allow-root $(DEBS)/new.deb
	rm -f $(DEBS)/*.tar
	podman save -q -m -o $(DEBS)/images.tar $(addprefix localhost/towline/,testapp:1 redis:7 buildah:12)
	podman save -q -o $(DEBS)/neo4j.tar localhost/towline/neo4j:5.26-community

$(TOOLS)/nfpm: packaging/deb/go.mod
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) $(GO) -C packaging/deb install tool
	@touch $@

clean:
	rm -rf bin dist
