# The version is semantic: that of the newest tag vX.Y.Z, with the number of
# commits since; without a tag a version before all others, with the commit.
VERSION ?= $(or $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null)),0.0.0-g$(shell git rev-parse --short HEAD 2>/dev/null))
COMMIT := $(shell git rev-parse HEAD 2>/dev/null)
# The time of everything in an image or an archive, so that equal sources give
# equal bytes.
CREATED := $(or $(shell git log -1 --format=%ct 2>/dev/null),0)
# Functions begin at multiples of 16 bytes and not, as is amd64's default, of 32:
# it saves 200 kB, and the bench sees no difference.
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -funcalign=16 -X main.version=$(VERSION)'
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
NFPM := go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4
TALLYPACK := go run ./cmd/tallypack
ARCHES := amd64 arm64
RELEASE := bin/release

# What the binary may weigh, in bytes. The image is the binary and 220 kB of
# certificates, and may weigh 20 MB.
BINARY_LIMIT := 19700000

# Knobs of the targets below.
IMAGE ?= tallyman
CA_BUNDLE ?= /etc/ssl/certs/ca-certificates.crt
FUZZTIME ?= 20s
CASES ?=
PEERS ?=
BEFORE ?=
BENCH_ROUNDS ?= 5
BENCH_RESULTS ?= bin/bench.json
BROWSER_TESTS := cmd/tallyman/page/browser
BENCH_PACKAGES := ./collector/jsonfile ./routes ./adapters/transport ./collector/checkpoint ./collector/record/level ./adapters/syslog ./adapters/raw \
	./adapters/template ./adapters/textenc ./adapters/file ./adapters/http ./adapters/loki ./adapters/otlp ./adapters/nats ./adapters/gelf ./metrics/...

.PHONY: all build run check size test test-page test-cgroup2 bench bench-destinations microbench soak fuzz image release release-folder docs clean FORCE

all: build

# build makes the static binary.
build:
	$(GOBUILD) -o bin/tallyman ./cmd/tallyman

# run serves this host's containers on http://127.0.0.1:8000.
run: build
	bin/tallyman

# check is everything that can be said of the code without running it: its
# layout, what the compiler and staticcheck find, go.mod, the arrows between the
# packages, whether the generated pages are fresh, and how large the binary is.
check: size
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "gofmt these files:"; echo "$$unformatted"; exit 1; }
	go mod tidy -diff
	go vet ./...
	go vet -tags soak ./metrics
	$(STATICCHECK) ./...
	cd $(BROWSER_TESTS) && go mod tidy -diff && go vet ./... && $(STATICCHECK) ./...
	go test ./cmd/... -run '^Test(Imports|Docs)'
	go test ./deploy -run '^TestDocs(Links|Marks)$$'

# size says whether the binary has grown too large. What costs is seen with
# go build -ldflags=-dumpdep and go tool nm -size -sort size: mostly methods of
# libraries' types that an interface may come to hold, of which the linker keeps
# all, since templates look up methods by name.
size: bin/linux/amd64/tallyman
	@size=$$(stat --format %s $<) && test "$$size" -le $(BINARY_LIMIT) || \
		{ echo "$< has $$size bytes, more than $(BINARY_LIMIT)"; exit 1; }

# test runs all tests with the race detector. Those that need an engine, rsyslog
# or promtool are skipped where it is missing, and fail when CI=true. What a line
# costs, the race detector would not let be seen.
test:
	go test -race -timeout 20m ./...
	go test -count 1 -run '^TestCost$$|Allocate$$' ./cmd/tallybench ./routes
	@if command -v chromium >/dev/null || [ "$$CI" = true ]; then $(MAKE) test-page; fi

# test-page drives the page in a headless Chromium. With UPDATE=-update it writes
# the screenshots anew.
test-page:
	cd $(BROWSER_TESTS) && go test -count 1 -timeout 10m . $(UPDATE)

# test-cgroup2 tests the reading of cgroups of version 2 in a machine of its own
# under qemu, for hosts that have version 1.
test-cgroup2:
	.ci/test-cgroup2

# bench measures the agent beside a loop that does as little as can be, rsyslog
# and the PEERS, in all cases or in those that CASES names:
#   make bench CASES="drain live/singles" PEERS='fluent-bit=fluent-bit -c {dir}/…'
# BEFORE names another build of the agent to compare with.
# docs/performance.md says what the figures mean. It has to be root, for the live
# cases read the engine's files. Where no cases are named it ends with
# bench-destinations.
bench: build
	$(GOBUILD) -o bin/tallybench ./cmd/tallybench
	bin/tallybench bench -agent bin/tallyman -cases "$(CASES)" -peers "$(PEERS)" -before "$(BEFORE)" -rounds $(BENCH_ROUNDS) -json $(BENCH_RESULTS) -text $(BENCH_RESULTS:.json=.txt)
	$(if $(CASES),,$(MAKE) bench-destinations)

# bench-destinations measures what a line of 200 bytes costs in each adapter, in
# CPU time with the kernel's (cpu-ns/line).
bench-destinations:
	go test -run '^$$' -bench '^BenchmarkSend$$/./^200$$' ./adapters/syslog ./adapters/raw ./adapters/nats
	go test -run '^$$' -bench '^Benchmark(Send|Post|Push|Export)$$' ./adapters/gelf ./adapters/http ./adapters/loki ./adapters/otlp

# microbench runs the benchmarks of the parts of the hot path.
microbench:
	go test -run '^$$' -bench . $(BENCH_PACKAGES)

# soak runs the end-to-end tests at full length, and those that are too long for
# others: they have the build tag soak.
soak:
	TALLYMAN_SOAK=1 go test -race -tags soak -count 1 -timeout 60m ./cmd/agent ./metrics

# fuzz runs every fuzz target for FUZZTIME.
fuzz:
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$$file: $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
		done; \
	done

# image builds the container images and gives this host's to the engine. No
# registry and no engine are needed to build them.
image: $(ARCHES:%=bin/image/tallyman-%.tar)
	docker load --quiet --input bin/image/tallyman-$$(go env GOARCH).tar

bin/linux/%/tallyman: FORCE
	GOOS=linux GOARCH=$* $(GOBUILD) -o $@ ./cmd/tallyman

bin/image/tallyman-%.tar: bin/linux/%/tallyman
	@test -r $(CA_BUNDLE) || { echo "$(CA_BUNDLE) is missing: install ca-certificates or set CA_BUNDLE"; exit 1; }
	mkdir -p $(@D)
	$(TALLYPACK) image --arch $* --binary $< --ca $(CA_BUNDLE) --version $(VERSION) --commit "$(COMMIT)" \
		--created $(CREATED) --tag $(IMAGE):latest --tag $(IMAGE):$(VERSION) --out $@

# release fills bin/release: for each processor an archive, a Debian package, an
# image and a bill of materials, and the checksums of all.
release: $(ARCHES:%=release-%)
	cd $(RELEASE) && sha256sum -- tallyman* >SHA256SUMS

release-%: bin/linux/%/tallyman bin/image/tallyman-%.tar | release-folder
	tar --create --sort=name --format=ustar --mtime=@$(CREATED) --owner=0 --group=0 --numeric-owner \
		--transform='flags=r;s,^(.*/)?,tallyman-$(VERSION)/,x' \
		$< LICENSE README.md CHANGELOG.md deploy/systemd/tallyman.service deploy/systemd/tallyman.default \
		| gzip --no-name --best >$(RELEASE)/tallyman-$(VERSION)-linux-$*.tar.gz
	VERSION=$(VERSION) ARCH=$* SOURCE_DATE_EPOCH=$(CREATED) \
		$(NFPM) package --config deploy/nfpm.yaml --packager deb --target $(RELEASE)
	gzip --no-name --best --stdout bin/image/tallyman-$*.tar >$(RELEASE)/tallyman-$(VERSION)-image-$*.tar.gz
	$(TALLYPACK) sbom --binary $< --version $(VERSION) --created $(CREATED) \
		--out $(RELEASE)/tallyman-$(VERSION)-linux-$*.cdx.json

release-folder:
	rm -rf $(RELEASE)
	mkdir -p $(RELEASE)

FORCE:

# Built files stay, also those that are only steps to others.
.SECONDARY:

# docs writes the pages that are generated from the code.
docs:
	go test ./cmd/agent -count 1 -run '^TestDocs' -update

clean:
	rm -rf bin
