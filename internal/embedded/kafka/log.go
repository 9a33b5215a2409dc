package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// logger passes kfake's messages to slog. While the broker closes it also keeps the errors, since kfake's
// Close returns none: the log is where it says that saving failed.
type logger struct {
	slog *slog.Logger
	mu   struct {
		sync.Mutex
		collecting bool
		errs       []error
	}
}

func newLogger(l *slog.Logger) *logger {
	if l == nil {
		l = slog.Default()
	}
	return &logger{slog: l.With("component", "embedded-kafka")}
}

// Logf implements kfake.Logger.
func (l *logger) Logf(level kfake.LogLevel, format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	if level == kfake.LogLevelError {
		l.mu.Lock()
		if l.mu.collecting {
			l.mu.errs = append(l.mu.errs, errors.New(msg))
		}
		l.mu.Unlock()
	}
	l.slog.Log(context.Background(), slogLevel(level, msg), msg)
}

func slogLevel(level kfake.LogLevel, msg string) slog.Level {
	switch {
	case level == kfake.LogLevelError:
		return slog.LevelError
	case level == kfake.LogLevelWarn && !strings.HasPrefix(msg, "txn: EndTxn slow"): // over 5 ms: no cause for alarm on a laptop
		return slog.LevelWarn
	default: // what kfake calls info is about single requests
		return slog.LevelDebug
	}
}

func (l *logger) collectErrors() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.collecting = true
}

func (l *logger) collected() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.mu.errs...)
}
