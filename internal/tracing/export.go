package tracing

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/event"
)

// Config says where spans go.
type Config struct {
	// Endpoint is the base URL of a collector that takes OTLP over HTTP; spans go to /v1/traces there. Required.
	Endpoint string
	// Percent of the traces that begin here is sampled, 1 to 100. A trace that a caller began is sampled as the caller says.
	Percent int
	// Instance and Roles tell this process from others.
	Instance string
	Roles    []string
	// Logger; nil is slog.Default(). What cannot be exported is dropped, and said there.
	Logger *slog.Logger
}

// Exporter sends spans in the background, and drops them where the collector does not keep up: nothing waits for it.
type Exporter struct{ provider *sdk.TracerProvider }

// NewExporter does not connect. Errors wrap event.ErrConfig. Headers, such as a token, are taken from
// OTEL_EXPORTER_OTLP_HEADERS, as every OpenTelemetry program does.
func NewExporter(ctx context.Context, cfg Config) (*Exporter, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { cfg.Logger.Warn("traces", "error", err) }))
	to, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(cfg.Endpoint+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("%w: traces: %w", event.ErrConfig, err)
	}
	about := resource.NewSchemaless(attribute.String("service.name", "cqrsflow"), attribute.String("service.instance.id", cfg.Instance),
		attribute.StringSlice("cqrsflow.roles", cfg.Roles))
	return &Exporter{sdk.NewTracerProvider(sdk.WithBatcher(to), sdk.WithResource(about),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(float64(cfg.Percent)/100))))}, nil
}

// Tracer makes the spans. It is safe for concurrent use.
func (e *Exporter) Tracer() trace.Tracer { return e.provider.Tracer("github.com/cqrsflow/cqrsflow") }

// Close sends what is left, for as long as ctx lasts.
func (e *Exporter) Close(ctx context.Context) error { return e.provider.Shutdown(ctx) }
