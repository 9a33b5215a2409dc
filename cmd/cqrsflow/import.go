package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/internal/catchup"
	"github.com/cqrsflow/cqrsflow/internal/cdnow"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/progress"
	"github.com/cqrsflow/cqrsflow/producer"
)

type importCmd struct {
	CDNOW cdnowCmd `cmd:"" name:"cdnow" help:"Import the CDNOW purchase history: each purchase as an order placed and paid on its date."`
}

func newImportCmd() importCmd {
	return importCmd{CDNOW: cdnowCmd{Settings: newSettings("General", "Kafka", "Principals")}}
}

type cdnowCmd struct {
	outputFlags
	File     string   `arg:"" help:"The file, gzip or plain; - is standard input." type:"path"`
	NoWait   bool     `name:"no-wait" help:"Do not wait for the read models of running projections to catch up."`
	Settings settings `embed:""`
}

func (c *cdnowCmd) Run(e *environment) error {
	s, err := c.Settings.find(e, "import", "kafka.brokers")
	if err != nil {
		return err
	}
	all, err := readPurchases(e, c.File)
	if err != nil {
		return err
	}
	bar := progress.New(e.stderr).Bar("import", int64(2*len(all)))
	defer bar.Abandon()
	err = withPublisher(e.ctx, s, []string{cdnow.Aggregate}, func(ctx context.Context, p *producer.Publisher) error {
		report, err := cdnow.Import(ctx, p, all, bar.Add)
		if err == nil {
			bar.Done()
		}
		bar.Abandon()
		if perr := c.print(e, report, func(w io.Writer) { fmt.Fprintln(w, report.String()) }); perr != nil {
			return perr
		}
		return err
	})
	if err != nil || c.NoWait {
		return err
	}
	return waitForAll(e, s)
}

// waitForAll waits until the running roles have done all that follows from what was published.
func waitForAll(e *environment, s *config.Settings) error {
	client, err := kafka(s)
	if err != nil {
		return err
	}
	defer client.Close()
	bar := progress.New(e.stderr).Bar("projections", 0)
	defer bar.Abandon()
	admin := kadm.NewClient(client)
	if err := catchup.Wait(e.ctx, admin, app.Groups(s, admin), nil, bar.Set); err != nil {
		return err
	}
	bar.Done()
	return nil
}

// readPurchases reads a file; - is standard input.
func readPurchases(e *environment, path string) ([]cdnow.Purchase, error) {
	in := e.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	all, err := cdnow.Parse(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}
