# The version is that of the newest tag, or the commit where there is none.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Knobs of the targets below.
IMAGE ?= tallyman
CA_BUNDLE ?= /etc/ssl/certs/ca-certificates.crt
FUZZTIME ?= 20s
BENCH_LINES ?= 2000000
BENCH_ROUNDS ?= 5
BENCH_PACKAGES := ./collector/jsonfile ./collector/checkpoint ./adapters/syslog ./adapters/raw ./metrics/...

.PHONY: all build run check test bench soak fuzz image docs clean

all: build

# build makes the static binary.
build:
	$(GOBUILD) -o bin/tallyman ./cmd/tallyman

# run serves this host's containers on http://127.0.0.1:8000.
run: build
	bin/tallyman

# check is everything that can be said of the code without running it: its
# layout, what the compiler and staticcheck find, go.mod, the arrows between the
# packages, and whether the generated pages are fresh.
check:
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "gofmt these files:"; echo "$$unformatted"; exit 1; }
	go mod tidy -diff
	go vet ./...
	$(STATICCHECK) ./...
	go test ./cmd/tallyman -run '^Test(Imports|Docs)'

# test runs all tests with the race detector. Those that need an engine, rsyslog
# or promtool are skipped where it is missing, and fail when CI=true.
test:
	go test -race -timeout 9m ./...

# bench measures the agent beside rsyslog and beside a loop that does as little
# as can be, and then the parts of the hot path.
bench: build
	$(GOBUILD) -o bin/tallybench ./cmd/tallybench
	bin/tallybench drain -agent bin/tallyman -rsyslog both -lines $(BENCH_LINES) -rounds $(BENCH_ROUNDS)
	go test -run '^$$' -bench . $(BENCH_PACKAGES)

# soak runs the end-to-end tests at full length.
soak:
	TALLYMAN_SOAK=1 go test -race -count 1 -timeout 60m ./cmd/tallyman

# fuzz runs every fuzz target for FUZZTIME.
fuzz:
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$$file: $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
		done; \
	done

# image builds the container image from the binary and this host's CA bundle. No
# registry is needed.
image:
	@test -r $(CA_BUNDLE) || { echo "$(CA_BUNDLE) is missing: install ca-certificates or set CA_BUNDLE"; exit 1; }
	mkdir -p bin/image
	GOOS=linux $(GOBUILD) -o bin/image/tallyman ./cmd/tallyman
	cp $(CA_BUNDLE) bin/image/ca-certificates.crt
	docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) \
		-t $(IMAGE):$(VERSION) -t $(IMAGE):latest bin/image

# docs writes the pages that are generated from the code.
docs:
	go test ./cmd/tallyman -count 1 -run '^TestDocs' -update

clean:
	rm -rf bin
