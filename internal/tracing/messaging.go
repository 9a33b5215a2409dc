package tracing

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Send is a record on its way to a topic. The attributes are those of OpenTelemetry's conventions for messaging.
func Send(topic string, partition int32, more ...attribute.KeyValue) Begin {
	return Begin{Name: "send " + topic, Kind: trace.SpanKindProducer, Attributes: append([]attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.type", "send"),
		attribute.String("messaging.destination.name", topic),
		attribute.Int("messaging.destination.partition.id", int(partition)),
	}, more...)}
}

// Process is a record of a topic that a consumer group's member makes something of, since at.
func Process(topic string, partition int32, offset int64, group string, at time.Time, more ...attribute.KeyValue) Begin {
	return Begin{Name: "process " + topic, Kind: trace.SpanKindConsumer, At: at, Attributes: append([]attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", topic),
		attribute.Int("messaging.destination.partition.id", int(partition)),
		attribute.Int64("messaging.kafka.offset", offset),
		attribute.String("messaging.consumer.group.name", group),
	}, more...)}
}
