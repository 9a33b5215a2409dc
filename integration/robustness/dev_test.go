package robustness_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/integration/robustness/faults"
	"github.com/cqrsflow/cqrsflow/integration/robustness/model"
	"github.com/cqrsflow/cqrsflow/integration/robustness/validate"
)

// dev is killed during its import, started again and killed again; between two of the kills it starts without an
// import and ends in order. In the end everything is as after one import that nobody disturbed.
func TestDevKilledWhileImporting(t *testing.T) {
	file, want := model.CDNOW(t, cdnow, 10_000)
	r := faults.Random(t)
	d := harness.NewDev(t)
	total := int64(3 * len(want)) // an order is placed, is paid, is recorded with its customer
	moments := faults.Moments(r, 3, 0.02, 0.6)
	for i, moment := range moments {
		d.Launch(t, "--import", file)
		g := d.Target(t)
		admin := kadm.NewClient(g.Kafka(t))
		var done int64
		harness.Eventually(t, harness.Patience, "the import gets on", func() (err error) {
			if done, err = validate.Ends(t.Context(), admin, g, "order.events", "customer.events"); err != nil {
				return err
			}
			if at := int64(moment * float64(total)); done < at || done == 0 {
				return fmt.Errorf("%d of %d events, to be killed at %d", done, total, at)
			}
			return nil
		})
		if err := d.Kill9(); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed at %d of %d events", done, total)
		if out := d.Stdout.String(); strings.Contains(out, "import: ") || done >= total {
			t.Fatalf("the kill at %d of %d events came too late: the import was over\n%s", done, total, out)
		}
		if i == 1 {
			d.Start(t)
			harness.Eventually(t, harness.Patience, "the log is whole", func() error {
				l, err := validate.ReadLog(t.Context(), d.Target(t))
				if err != nil {
					return err
				}
				if n := int64(len(l.Events)); n == 0 || n >= total {
					t.Fatalf("%d events are there after a kill at %d of %d", n, done, total)
				}
				return l.Check()
			})
			d.Stop(t)
		}
	}
	g := d.Start(t, "--import", file)
	harness.Eventually(t, harness.Patience, "the import completes", func() error { return validate.Complete(t.Context(), g, want) })
	if err := validate.Everything(t.Context(), g, want); err != nil {
		t.Fatal(err)
	}
	verify(t, g, "order/cdnow-1", "customer/"+want["cdnow-1"].Customer)

	d.Stop(t)
	if out := d.Stdout.String(); !strings.Contains(out, "import: ") {
		t.Errorf("the last dev did not say what it imported: %s", out)
	}
	g = d.Start(t, "--import", file)
	harness.Eventually(t, harness.Patience, "the second import ends", func() error {
		if out := d.Stdout.String(); !strings.Contains(out, "nothing changed") {
			return fmt.Errorf("it says: %s", out)
		}
		return nil
	})
	if err := validate.Everything(t.Context(), g, want); err != nil {
		t.Fatal("after the second import: ", err)
	}
	d.Stop(t)
}

// verify has the product's own checks look at everything, and at some streams.
func verify(t *testing.T, g harness.Target, streams ...string) {
	t.Helper()
	g.Must(t, "projection", "verify")
	for _, s := range streams {
		g.Must(t, "stream", "verify", s)
	}
	g.Must(t, "topology", "verify")
}
