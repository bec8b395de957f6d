VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.6.1
PROFILES ?= 2000000

.PHONY: all build run check test bench fuzz image docs clean

all: build

# build makes the static binary.
build:
	$(GOBUILD) -o bin/tallyman ./cmd/tallyman

# run serves this host's containers on http://127.0.0.1:8000.
run: build
	bin/tallyman

clean:
	rm -rf bin
