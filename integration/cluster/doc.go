// Package cluster installs the chart on a real Kubernetes and tries what it promises there: an install that ends ready, a rolling
// update under load, pods that are killed. Its tests need a folder of scripts, named by CQRSFLOW_CLUSTER: up.sh brings a cluster up
// and prints its kubeconfig, load.sh copies local images into it, down.sh ends it. run.sh is all of it in one command.
package cluster
