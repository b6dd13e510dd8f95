# Two commands are enough: "make run" and "make test". The others are listed by
# "make help". Needed: Go, a C compiler for the race detector, Node.js for the
# real Socket.IO client. PostgreSQL is found on the machine or downloaded.

SHELL := bash
.DEFAULT_GOAL := help

BINARY := bin/chatopshub
# A PostgreSQL for the tests of all packages; they find it by TEST_DATABASE_URL.
TESTDB := go run ./persistence/persistencetest/cmd/testdb --
# How long make fuzz spends on each target.
FUZZTIME ?= 60s
# How long make fuzz sends hostile requests to every operation of the API; make
# test does so for three seconds.
HOSTILE_FOR ?= 5m
# Which benchmarks make bench runs, by regular expression.
BENCH ?= .
# How often make torture does each fault to a cluster, and by which tests; make
# test does each once.
CLUSTER_ROUNDS ?= 20
CLUSTER_TESTS := TestLosingANodeIsANonEvent|TestAgentsOnAllNodesRace|TestARollingRestart|TestAClusterOutlives
# What is tested with the real HAProxy, and a real Valkey or Redis, runs where they
# are. CI has them.
TAGS := $(shell PATH="$$PATH:/usr/sbin:/usr/local/sbin"; command -v haproxy >/dev/null && command -v valkey-server redis-server >/dev/null && echo haproxy)

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build and start the server on http://localhost:3001
	@exec $(BINARY) serve

.PHONY: simulate
simulate: build ## start a server with customers on simulated platforms, all in one
	@exec $(BINARY) simulate --serve

.PHONY: cluster
cluster: build ## start three nodes with PostgreSQL, Valkey and HAProxy on http://localhost:3001
	@exec $(BINARY) cluster

.PHONY: build
build: ## build bin/chatopshub
	go build -o $(BINARY) ./cmd/chatopshub

.PHONY: test
test: test-tools ## test everything: race detector, real PostgreSQL, real Socket.IO client, short fuzzing
	@echo "benchmarks run once, so that they can't rot"
	@out=$$($(TESTDB) go test -run='^$$' -bench=. -benchtime=1x ./... 2>&1) || { echo "$$out"; exit 1; }
	@$(MAKE) --no-print-directory fuzz FUZZTIME=3000x HOSTILE_FOR=
	@postgres18=$$(.ci/postgres18) && POSTGRES_18_BIN="$$postgres18" $(TESTDB) go test -race -tags='$(TAGS)' -timeout=30m ./...

.PHONY: lint
lint: ## check formatting, imports and habits by golangci-lint
	go tool -modfile=.ci/lint/go.mod golangci-lint run

# A fuzz target has to be named alone, so each takes its turn. New inputs that
# fail are written to testdata/fuzz of the package: commit them with the fix.
# When its time is up in an unlucky moment, go test calls that a failure (context
# deadline exceeded, without an input): no finding. A number of runs (3000x)
# has no such end.
.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME=60s, the API for HOSTILE_FOR=5m
	@[ -z "$(HOSTILE_FOR)" ] || HOSTILE_FOR=$(HOSTILE_FOR) go test -count=1 -timeout=1h -run='^TestHostileRequests$$' ./cmd/chatopshub
	@set -o pipefail; go test -list='^Fuzz' ./... \
	| awk '/^Fuzz/ { targets[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, targets[i]; n = 0 }' \
	| while read -r package target; do \
		echo "fuzz $$package $$target for $(FUZZTIME)"; \
		out=$$(go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=5s "$$package" 2>&1 </dev/null) \
		|| { [[ $$out == *"context deadline exceeded"* && $$out != *"Failing input"* ]] || { echo "$$out"; exit 1; }; }; \
	done

.PHONY: bench
bench: ## run the benchmarks, or those that match BENCH=regexp
	$(TESTDB) go test -run='^$$' -bench='$(BENCH)' -benchmem ./...

.PHONY: bench-report
bench-report: build ## measure a server under load (10 minutes), print, draw and write it into bench-results/
	@exec $(BINARY) bench

.PHONY: torture
torture: ## send at full size (ten crashes, a thousand customers), and break a cluster CLUSTER_ROUNDS=20 times in every way
	TORTURE=1 $(TESTDB) go test -v -count=1 -run='TestNoCustomerGetsATextTwiceOverCrashes|TestManyConversationsBothWays' ./cmd/chatopshub
	CLUSTER_ROUNDS=$(CLUSTER_ROUNDS) $(TESTDB) go test -v -count=1 -timeout=2h -run='$(CLUSTER_TESTS)' ./cmd/chatopshub

.PHONY: browser
browser: test-tools ## watch a page in headless Chromium whose network goes and whose laptop sleeps
	$(TESTDB) go test -tags=browser -v -count=1 -run='^TestBrowser' ./cmd/chatopshub

.PHONY: upgrade-test
upgrade-test: ## replace three nodes of FROM=commit by this build and back, one by one, under load
	@[ -n "$(FROM)" ] || { echo "make upgrade-test needs FROM=<commit>, the release that runs now" >&2; exit 2; }
	UPGRADE_FROM=$(FROM) $(TESTDB) go test -v -count=1 -timeout=15m -run='^TestTwoReleasesSideBySide$$' ./cmd/chatopshub

.PHONY: cover
cover: test-tools ## write coverage.out and print the total
	$(TESTDB) go test -coverpkg=./... -coverprofile=coverage.out ./...
	@go tool cover -func=coverage.out | tail -n 1

.PHONY: psql
psql: ## open a shell on the running server's database
	@if [ -n "$${DATABASE_URL:-}" ]; then exec psql "$$DATABASE_URL"; fi; \
	folder="$${DATA_DIR:-./data}/postgres"; \
	state="$$folder/cluster/data/postmaster.pid"; \
	[ -r "$$state" ] || { echo "no database is running in $$folder: start the server by 'make run'" >&2; exit 1; }; \
	PGPASSWORD="$$(cat "$$folder/password")" \
	exec psql --host=127.0.0.1 --port="$$(sed -n 4p "$$state")" --username=chatopshub chatopshub

.PHONY: clean
clean: ## remove what was built; the data in ./data stays
	rm -rf bin coverage.out
	find . -name node_modules -type d -prune -exec rm -rf {} +

# What the tests need beside Go. Nothing is skipped for the lack of a tool: a
# test that did not run shows nothing.
.PHONY: test-tools
test-tools:
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null || { echo \
	"make test needs Node.js 20 or newer with npm, for the real Socket.IO client (Debian: apt-get install nodejs npm; macOS: brew install node)" >&2; exit 1; }
	@command -v "$$(go env CC)" >/dev/null || { echo \
	"make test needs a C compiler for the race detector (Debian: apt-get install gcc libc6-dev; macOS: xcode-select --install)" >&2; exit 1; }
	@[ -n "$(TAGS)" ] || echo "no haproxy here, or neither valkey-server nor redis-server: what is tested with them is left to CI (Debian: apt-get install haproxy valkey; macOS: brew install haproxy valkey)"
	@find . -name node_modules -prune -o -name package-lock.json -print | while read -r lock; do \
		folder=$$(dirname "$$lock"); \
		[ "$$folder/node_modules/.package-lock.json" -nt "$$lock" ] \
		|| npm ci --prefix "$$folder" --no-audit --no-fund --loglevel=error </dev/null; \
	done
