package main

import (
	"fmt"
	"slices"

	"github.com/alecthomas/kong"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/devfile"
)

// settings are a command's flags for the settings that it uses.
type settings struct {
	Plugins kong.Plugins `embed:""`
	flags   *config.Flags
	groups  []string
}

// newSettings makes flags for groups of settings (names of fields of config.Settings). A client command
// also has --data, by which it finds a running dev.
func newSettings(groups ...string) settings {
	var except []string
	if slices.Contains(groups, "Kafka") && !slices.Contains(groups, "Processor") {
		except = append(except, "kafka.compression")
	}
	if !slices.Contains(groups, "Processor") {
		except = append(except, "principal.unproven", "policy.mode", "policy.reload")
	}
	if !slices.Contains(groups, "Roles") {
		except = append(except, "log.level", "log.format") // only what serves logs
	}
	f := config.NewFlags(groups, except...)
	return settings{Plugins: kong.Plugins{f.Struct}, flags: f, groups: groups}
}

// load reads the settings of a process that serves.
func (s *settings) load(e *environment, dev bool) (*config.Settings, error) {
	flags, file := s.flags.Given()
	c, err := config.Load(config.Input{Flags: flags, Environ: e.environ, File: file, Dev: dev})
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// find reads the settings of a client command that needs those keys: what is given nowhere comes from the
// dev that runs on the data directory.
func (s *settings) find(e *environment, what string, keys ...string) (*config.Settings, error) {
	c, err := s.load(e, false)
	if err != nil {
		return nil, err
	}
	missing := c.RequireKeys(what, keys...)
	if missing == nil {
		return c, nil
	}
	dev, err := devfile.Find(c.General.Data)
	if err != nil {
		return nil, fmt.Errorf("look for a running dev: %w", err)
	}
	if dev == nil {
		return nil, usageError{fmt.Errorf("%w\nand no `cqrsflow dev` runs on %s (--data)", missing, c.General.Data)}
	}
	flags, file := s.flags.Given()
	c, err = config.Load(config.Input{Flags: flags, Environ: e.environ, File: file, Dev: true, Fallback: dev.Settings()})
	if err == nil {
		err = c.RequireKeys(what, keys...)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// kafka connects to the brokers.
func kafka(c *config.Settings) (*kgo.Client, error) {
	opts, err := c.Kafka.Options()
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(opts...)
}
