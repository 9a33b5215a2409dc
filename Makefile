.PHONY: generate schemas-check

# Go code of the protobuf files under schemas/. Needs Go only; the first run builds buf, which takes minutes.
generate:
	go run -C tools ./schemas generate

# Fails where generated code is stale, a schema breaks buf's lint rules, or it breaks what earlier versions wrote
# (SCHEMAS_AGAINST=<commit> names the version to compare with).
schemas-check:
	go run -C tools ./schemas check
