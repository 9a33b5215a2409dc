package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/progress"
)

// Serve runs roles on real servers until ctx ends. It expects settings that Require has passed.
func Serve(ctx context.Context, cfg *config.Settings, stderr io.Writer) (err error) {
	log := NewLogger(cfg, stderr, progress.IsTerminal(stderr))
	roles := cfg.Roles.Roles
	if slices.Contains(roles, config.RoleCommand) {
		if err := makeWritable(cfg.General.Data); err != nil {
			return err
		}
	}
	opsPort, err := listen(cfg.Roles.Ops, "ops.addr")
	if err != nil {
		return err
	}
	var http *publicPort
	if slices.ContainsFunc(roles, isPublic) {
		if http, err = listenPublic(ctx, cfg, log); err != nil {
			_ = opsPort.Close()
			return err
		}
	}
	p, err := newProcess(cfg, log, false)
	if err != nil {
		_ = opsPort.Close()
		if http != nil {
			_ = http.Close()
		}
		return err
	}
	p.serveOps(opsPort)
	log.Info("starting", "roles", strings.Join(roles, ","), "ops", opsPort.Addr().String())
	if err := p.start(ctx, roles, http); err != nil {
		if http != nil {
			_ = http.Close()
		}
		return p.abandon(err)
	}
	attrs := []any{"roles", strings.Join(roles, ",")}
	if http != nil {
		attrs = append(attrs, "http", http.Addr())
	}
	log.Info("started", attrs...)
	return p.group.Wait(ctx)
}

// isPublic reports whether a role answers on the public port.
func isPublic(role string) bool {
	return role == config.RoleQuery || role == config.RoleIdentity || role == config.RoleGateway
}

// abandon stops what a start that failed has begun.
func (p *process) abandon(err error) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if stopped := p.group.Wait(ended); stopped != nil {
		p.log.Error("while stopping", "error", stopped)
	}
	return err
}

// makeWritable makes the data directory and sees whether it can be written to, before anything has begun.
func makeWritable(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	var probe *os.File
	if err == nil {
		probe, err = os.CreateTemp(dir, ".probe-*")
	}
	if err == nil {
		_ = probe.Close()
		err = os.Remove(probe.Name())
	}
	if err != nil {
		return fmt.Errorf("%w: the data directory %s cannot be written to: %w; choose another with %s", event.ErrConfig, dir, err, config.Name("data"))
	}
	return nil
}
