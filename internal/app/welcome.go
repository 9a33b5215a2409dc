package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/devfile"
)

// welcome is the first screen of dev: where everything is, and something to try.
func (d *dev) welcome(f devfile.File, took time.Duration) {
	dir := d.cfg.General.Data
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, dir); err == nil && !strings.HasPrefix(rel, "..") {
			dir = "." + string(filepath.Separator) + rel
		}
	}
	fmt.Fprintf(d.opts.Stdout, `cqrsflow dev is ready (%.1f s)

  HTTP API    %s   docs: %[2]s/docs
  Operations  %s   /readyz /metrics
  Kafka       %s          topics %s.order.events, …
  Data        %s

Try:
  curl -s %[2]s/v1/orders/o-1/place -H 'Content-Type: application/json' \
    -d '{"customer":"ada","lines":[{"sku":"cd","name":"CD","quantity":1,"total":{"amount":"11.77","currency":"USD"}}]}'
  curl -s %[2]s/v1/orders/o-1

Ctrl-C stops; the data stays for the next start (--reset deletes it).
`, took.Seconds(), f.Server, f.Ops, f.Kafka, f.Prefix, dir)
}
