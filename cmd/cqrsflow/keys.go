package main

import (
	"fmt"
	"io"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/app"
)

// keysCmd makes keys into files, which Secrets or mounts are made of. It needs no server and no settings.
type keysCmd struct {
	outputFlags
	Dir string `arg:"" type:"path" help:"Folder to make them in: token-keys, keks, index-key, principal-keys. What is there is left alone."`
}

type keysAnswer struct {
	Files []string `json:"files"`
}

func (c *keysCmd) Run(e *environment) error {
	files, err := app.MakeKeys(c.Dir, time.Now())
	if err != nil {
		return err
	}
	return c.print(e, keysAnswer{files}, func(w io.Writer) {
		for _, f := range files {
			fmt.Fprintln(w, f)
		}
	})
}
