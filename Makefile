.PHONY: generate schemas-check lint

# Go code of the protobuf files under schemas/. Needs Go only; the first run builds buf, which takes minutes.
generate:
	go run -C tools ./schemas generate

# Fails where generated code is stale, a schema breaks buf's lint rules, or it breaks what earlier versions wrote
# (SCHEMAS_AGAINST=<commit> names the version to compare with).
schemas-check:
	go run -C tools ./schemas check

# Fails where the source breaks a rule of .golangci.yml. The linter is the one that tools/lint pins; the first run builds
# it, which takes minutes. PACKAGES names what to check.
PACKAGES ?= ./...
lint:
	go tool -modfile=tools/lint/go.mod golangci-lint run $(PACKAGES)

.PHONY: test race-packages

# Everything that needs only Go.
test:
	go test ./...

# The packages that start goroutines: what the race detector runs on.
race-packages:
	@echo ./producer/... ./consumers/... ./topology ./query/... ./compare ./services/... ./internal/lifecycle ./internal/embedded/...

.PHONY: chart binary image

# What the chart renders, and its README.
chart:
	go -C helm test ./...

IMAGE ?= cqrsflow
VERSION ?= $(shell git describe --tags --always --dirty)
COMMIT ?= $(shell git rev-parse HEAD)
DATE ?= $(shell git log -1 --format=%cI)
# Which servers the image trusts: this host's certificate authorities.
CA_CERTIFICATES ?= /etc/ssl/certs/ca-certificates.crt
LINKED = -X main.linkedVersion=$(VERSION) -X main.linkedCommit=$(COMMIT) -X main.linkedDate=$(DATE)

# dist/cqrsflow: a static binary that knows its version. GOOS and GOARCH say for what.
binary:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $(LINKED)" -o dist/cqrsflow ./cmd/cqrsflow

# The image $(IMAGE):$(VERSION), for Linux. Needs Go and Docker, and pulls nothing.
image: export GOOS = linux
image: binary
	@test -s $(CA_CERTIFICATES) || { echo "no certificate authorities in $(CA_CERTIFICATES): name a PEM file, make image CA_CERTIFICATES=FILE"; exit 1; }
	rm -rf dist/image
	mkdir -p dist/image/etc/ssl/certs dist/image/data dist/image/tmp
	chmod 1777 dist/image/data dist/image/tmp
	cp dist/cqrsflow dist/image/cqrsflow
	cp $(CA_CERTIFICATES) dist/image/etc/ssl/certs/ca-certificates.crt
	echo 'cqrsflow:x:65532:65532::/data:/' > dist/image/etc/passwd
	echo 'cqrsflow:x:65532:' > dist/image/etc/group
	docker build -q -t $(IMAGE):$(VERSION) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg DATE=$(DATE) .
	@echo $(IMAGE):$(VERSION)
