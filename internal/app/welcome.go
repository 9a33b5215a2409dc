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
func (d *dev) welcome(f devfile.File, took time.Duration, password string) {
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
  token=$(jq -r .token %[6]s/dev.json)
  curl -s %[2]s/v1/orders/o-1/place -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
    -d '{"customer":"ada","lines":[{"sku":"cd","name":"CD","quantity":1,"total":{"amount":"11.77","currency":"USD"}}]}'
  curl -s %[2]s/v1/orders/o-1 -H "Authorization: Bearer $token"

%[7]sCtrl-C stops; the data stays for the next start (--reset deletes it).
`, took.Seconds(), f.Server, f.Ops, f.Kafka, f.Prefix, dir, sampleText(password))
}

// sampleText says how to log in where sample users have just been made with a password that nobody knows.
func sampleText(password string) string {
	if password == "" {
		return ""
	}
	return fmt.Sprintf("Sample users admin@example.com, clerk@…, auditor@…, customer@… have the password %s\n(it is not shown again; CQRSFLOW_DEV_PASSWORD chooses it)\n\n", password)
}
