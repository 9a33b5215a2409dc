// Command cqrsflow runs cqrsflow, all of it or some roles, and is the tool for whoever operates it.
// `cqrsflow --help` lists its commands, docs/configuration.md its settings.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
)

func main() {
	ctx, stop := lifecycle.Signals(context.Background(), func() {
		fmt.Fprintln(os.Stderr, "cqrsflow: stopped at once, by a second signal")
		os.Exit(exitFailure)
	})
	code := run(ctx, &environment{args: os.Args[1:], environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(code)
}
