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
