#!/usr/bin/env bash
# The chart on a real Kubernetes: install, update under load, pods killed at random. CQRSFLOW_CLUSTER names the folder of the
# cluster's scripts (up.sh, load.sh, down.sh). Takes about 20 minutes on two cores; arguments go to go test, such as -run Upgrade.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${CQRSFLOW_CLUSTER:?names the folder of up.sh, load.sh and down.sh, which bring a Kubernetes up on this machine; without one there is nothing to test on}"
CQRSFLOW_CLUSTER=$(cd "$CQRSFLOW_CLUSTER" && pwd)
export CQRSFLOW_CLUSTER CQRSFLOW_CLUSTER_REQUIRED=yes
# KEEP=yes leaves the cluster up, for the next run.
[ -n "${KEEP:-}" ] || trap '"$CQRSFLOW_CLUSTER/down.sh"' EXIT
go test -count=1 -timeout=40m -v ./integration/cluster "$@"
