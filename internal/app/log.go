package app

import (
	"context"
	"io"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/progress"
)

// NewLogger logs to w as the settings say; terminal says whether w ends on one.
func NewLogger(cfg *config.Settings, w io.Writer, terminal bool) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.General.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if format := cfg.General.LogFormat; format == "text" || format == "auto" && terminal {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// displayLogger is NewLogger on a display that may show bars.
func displayLogger(cfg *config.Settings, d *progress.Display, stderr io.Writer) *slog.Logger {
	return NewLogger(cfg, d, progress.IsTerminal(stderr))
}

// kafkaLog hands on what the Kafka client has to say. Its warnings are about connections that it tries again,
// which the parts report themselves when it goes on for too long: they are for debugging.
type kafkaLog struct{ log *slog.Logger }

func (l kafkaLog) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelError
}

func (l kafkaLog) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	if level == kgo.LogLevelError {
		to = slog.LevelWarn
	}
	l.log.Log(context.Background(), to, "kafka: "+msg, keyvals...)
}
