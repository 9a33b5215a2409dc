package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/schemas"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// The AsyncAPI 3.0 document of the topics (asyncapi.com), made from the registered aggregates. It is all that a program in
// another language needs: addresses, keys, headers, and the bodies' .proto files.
type asyncDocument struct {
	AsyncAPI           string                     `json:"asyncapi"`
	Info               asyncInfo                  `json:"info"`
	DefaultContentType string                     `json:"defaultContentType"`
	Servers            map[string]asyncServer     `json:"servers"`
	Channels           map[string]*asyncChannel   `json:"channels"`
	Operations         map[string]*asyncOperation `json:"operations"`
	Components         asyncComponents            `json:"components"`
}

type asyncInfo struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description"`
}

// asyncServer names no host: where the brokers are is not told to the public.
type asyncServer struct {
	Host      string                   `json:"host"`
	Protocol  string                   `json:"protocol"`
	Variables map[string]asyncVariable `json:"variables"`
}

type asyncVariable struct {
	Default     string `json:"default"`
	Description string `json:"description"`
}

type asyncChannel struct {
	Address     string              `json:"address"`
	Description string              `json:"description"`
	Messages    map[string]asyncRef `json:"messages"`
}

type asyncOperation struct {
	Action  string   `json:"action"`
	Channel asyncRef `json:"channel"`
	Summary string   `json:"summary"`
}

type asyncRef struct {
	Ref string `json:"$ref"`
}

type asyncComponents struct {
	Messages map[string]*asyncMessage `json:"messages"`
	Schemas  map[string]any           `json:"schemas"`
}

// asyncMessage is a record. Its body is a JSON Schema, or the file that has the protobuf message; Protobuf names that.
type asyncMessage struct {
	Name        string         `json:"name"`
	Summary     string         `json:"summary,omitempty"`
	ContentType string         `json:"contentType"`
	Headers     asyncRef       `json:"headers"`
	Payload     any            `json:"payload"`
	Bindings    asyncBindings  `json:"bindings"`
	Examples    []asyncExample `json:"examples,omitempty"`
	Protobuf    *asyncProtobuf `json:"x-protobuf,omitempty"`
}

type asyncExample struct {
	Headers map[string]string `json:"headers"`
	Payload any               `json:"payload,omitempty"`
}

type asyncBindings struct {
	Kafka asyncKafka `json:"kafka"`
}

type asyncKafka struct {
	Key            asyncRef `json:"key"`
	BindingVersion string   `json:"bindingVersion"`
}

type asyncProtobuf struct {
	Message string   `json:"message"`
	File    asyncRef `json:"file"`
}

const (
	asyncMessages = "#/components/messages/"
	streamKey     = "StreamID"
)

const aboutTopics = `Commands go in; events and outcomes come out. Each aggregate type has a topic for each, with as many partitions: a record's key is the stream ID, and its partition Kafka's murmur2 of the key (librdkafka: ` + "`partitioner=murmur2_random`" + `).

Records are CloudEvents 1.0 in the Kafka binding's binary mode: attributes are headers, the value is the body. ` + "`ce_type`" + ` says which message it is. Schemas of the format ` + "`application/vnd.google.protobuf`" + ` are .proto files, whole; ` + "`x-file`" + ` is the path that others import them by, and a message's ` + "`x-protobuf`" + ` says which one its body is.

Read with isolation level read_committed, else you see events that never happened. An event's ` + "`ce_id`" + ` is the same whenever it is read; versions of a stream have no gaps. Offsets have: those of transactions' markers.`

// asyncAPI makes the document.
func asyncAPI(topics []Topics) ([]byte, error) {
	texts, err := comments()
	if err != nil {
		return nil, fmt.Errorf("comments of the schemas: %w", err)
	}
	d := &document{comments: texts, registry: huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer)}
	files := newProtoFiles(texts)
	doc := &asyncDocument{AsyncAPI: "3.0.0", Info: asyncInfo{"cqrsflow", "v1", aboutTopics}, DefaultContentType: schemas.ContentTypeProtobuf,
		Servers: map[string]asyncServer{"kafka": {"{brokers}", "kafka", map[string]asyncVariable{
			"brokers": {"127.0.0.1:9092", "The setting kafka.brokers; of `cqrsflow dev` it is the default."}}}},
		Channels: map[string]*asyncChannel{}, Operations: map[string]*asyncOperation{},
		Components: asyncComponents{map[string]*asyncMessage{}, map[string]any{}}}
	for _, of := range topics {
		t := of.Type
		commands := doc.channel(t.Name+".commands", of.Commands, "receive", "What is asked of "+t.Plural+". Whoever may write to the topic can publish; `cqrs-auth` says who asks.")
		for _, c := range t.Commands {
			if m := commandMessage(t, c); m != nil {
				doc.add(commands, d.asyncCommand(files, c, m))
			}
		}
		events := doc.channel(t.Name+".events", of.Events, "send", "What has happened to "+t.Plural+": the event store.")
		for _, name := range t.Events {
			if m, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name)); err == nil {
				doc.add(events, asyncRecord(files, m.Descriptor(), d.comments[name], "EventHeaders", eventExample(t.Name, name)))
			}
		}
		outcomes := doc.channel(t.Name+".outcomes", of.Outcomes, "send", "What became of each command of "+t.Plural+".")
		m, err := protoregistry.GlobalTypes.FindMessageByName(record.OutcomeType)
		if err != nil {
			return nil, fmt.Errorf("AsyncAPI document: %w", err)
		}
		doc.add(outcomes, asyncRecord(files, m.Descriptor(), d.comments[record.OutcomeType], "OutcomeHeaders", nil))
	}
	for name, s := range d.registry.Map() {
		doc.Components.Schemas[name] = s
	}
	for name, s := range headerSchemas() {
		doc.Components.Schemas[name] = s
	}
	protos, err := files.texts()
	if err != nil {
		return nil, fmt.Errorf("AsyncAPI document: %w", err)
	}
	for path, text := range protos {
		doc.Components.Schemas[fileKey(path)] = map[string]any{"schemaFormat": "application/vnd.google.protobuf;version=3", "x-file": path, "schema": text}
	}
	return json.MarshalIndent(doc, "", "  ")
}

func (doc *asyncDocument) channel(name, address, action, about string) *asyncChannel {
	c := &asyncChannel{Address: address, Description: about, Messages: map[string]asyncRef{}}
	doc.Channels[name] = c
	doc.Operations[name] = &asyncOperation{Action: action, Channel: asyncRef{"#/channels/" + name}, Summary: about}
	return c
}

func (doc *asyncDocument) add(c *asyncChannel, m *asyncMessage) {
	doc.Components.Messages[m.Name] = m
	c.Messages[m.Name] = asyncRef{asyncMessages + m.Name}
}

// commandMessage is the message of a command's body; nil where it is none.
func commandMessage(t *decider.Type, c decider.CommandType) protoreflect.MessageDescriptor {
	empty, err := t.Codec.DecodeCommand(c.Type, schemas.ContentTypeProtobuf, nil)
	if err != nil {
		return nil
	}
	m, ok := empty.(proto.Message)
	if !ok {
		return nil
	}
	return m.ProtoReflect().Descriptor()
}

// asyncCommand is shown as JSON, which is what one writes by hand; protobuf is taken as well.
func (d *document) asyncCommand(files *protoFiles, c decider.CommandType, m protoreflect.MessageDescriptor) *asyncMessage {
	out := asyncRecord(files, m, d.comments[c.Type], "CommandHeaders", nil)
	s := d.message(m, sent)
	out.ContentType, out.Payload = schemas.ContentTypeJSON, s
	out.Examples = []asyncExample{{map[string]string{"ce_id": "0198c0de-0000-7000-8000-000000000001", "ce_type": c.Type, "content-type": schemas.ContentTypeJSON}, d.example(s, "", 0)}}
	return out
}

// asyncRecord is a record whose body is a protobuf message.
func asyncRecord(files *protoFiles, m protoreflect.MessageDescriptor, about, headers string, example []asyncExample) *asyncMessage {
	file := asyncRef{schemaPrefix + fileKey(files.add(m))}
	return &asyncMessage{Name: string(m.FullName()), Summary: about, ContentType: schemas.ContentTypeProtobuf, Headers: asyncRef{schemaPrefix + headers},
		Payload: file, Bindings: asyncBindings{asyncKafka{asyncRef{schemaPrefix + streamKey}, "0.5.0"}}, Examples: example,
		Protobuf: &asyncProtobuf{string(m.FullName()), file}}
}

func eventExample(aggregate, typ string) []asyncExample {
	return []asyncExample{{Headers: map[string]string{"ce_specversion": "1.0", "ce_source": "/cqrsflow/" + aggregate, "ce_id": aggregate + "-1/1", "ce_type": typ,
		"content-type": schemas.ContentTypeProtobuf, "ce_time": "2026-01-31T12:00:00Z", "ce_recordedtime": "2026-01-31T12:00:00.000123Z",
		"ce_streamversion": "1", "ce_commandoffset": "0", "ce_lastofcommand": "1", "ce_causationid": "0198c0de-0000-7000-8000-000000000001"}}}
}

func fileKey(path string) string { return strings.ReplaceAll(path, "/", ".") }

// headerSchemas are the headers of docs/format/records.md. Every value is text.
func headerSchemas() map[string]*huma.Schema {
	decimal := func(about string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Pattern: `^[0-9]+$`, Description: about}
	}
	word := func(about string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: about} }
	at := func(about string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Format: "date-time", Description: about}
	}
	object := func(about string, required []string, properties map[string]*huma.Schema) *huma.Schema {
		return &huma.Schema{Type: huma.TypeObject, Description: about, Required: required, Properties: properties}
	}
	most := 128
	return map[string]*huma.Schema{
		streamKey: {Type: huma.TypeString, Pattern: `^[A-Za-z0-9._:-]+$`, MaxLength: &most, Description: "The stream ID, as UTF-8."},
		"CommandHeaders": object("Headers of a command. Others are left alone.", []string{"ce_type"}, map[string]*huma.Schema{
			"ce_type": word("Which command."), "ce_id": word("The command ID, 1 to 64 printable ASCII characters: a repeat changes nothing. Without it, its partition and offset."),
			"content-type": {Type: huma.TypeString, Enum: []any{schemas.ContentTypeJSON, schemas.ContentTypeProtobuf}, Default: schemas.ContentTypeJSON, Description: "How the body is written."},
			"ce_time":      at("When it happened; without it, when it is recorded."), "ce_expectedversion": decimal("The version that the stream must have; 0: it must not exist."),
			"ce_correlationid": word("Carried on to events and outcome; at most 256 bytes."), "ce_causationid": word("What made it; at most 256 bytes."),
			"traceparent": word("W3C trace context, carried on."), "cqrs-auth": word("Who asks, signed."), "cqrs-return": {Type: huma.TypeString, Enum: []any{"state"}, Description: "The outcome shall carry the state."},
		}),
		"EventHeaders": object("Headers of an event.", []string{"ce_specversion", "ce_source", "ce_id", "ce_type", "content-type", "ce_time", "ce_recordedtime", "ce_streamversion", "ce_commandoffset"}, map[string]*huma.Schema{
			"ce_specversion": word("1.0"), "ce_source": word("`/cqrsflow/` and the aggregate type."), "ce_id": word("The stream ID, a slash and the version."), "ce_type": word("Which event."),
			"content-type": word("How the body is written."), "ce_time": at("When it happened."), "ce_recordedtime": at("When it was appended."),
			"ce_streamversion": decimal("Its version in the stream, from 1 and without gaps."), "ce_commandoffset": decimal("Offset of its command, in the partition of the same number."),
			"ce_lastofcommand": {Type: huma.TypeString, Enum: []any{"1"}, Description: "On the last event of a command."}, "ce_causationid": word("The command ID."),
			"ce_correlationid": word("The command's."), "traceparent": word("W3C trace context."), "cqrs-auth": word("Who asked, where that was proved: `user:` or `service:` and the name."),
			"cqrs-variant": word("The variant that decided, where one was assigned."),
		}),
		"OutcomeHeaders": object("Headers of an outcome.", []string{"ce_specversion", "ce_source", "ce_id", "ce_type", "content-type", "ce_recordedtime", "ce_commandoffset"}, map[string]*huma.Schema{
			"ce_specversion": word("1.0"), "ce_source": word("`/cqrsflow/`, the aggregate type and `/outcomes`."), "ce_id": word("Partition and offset of the command."), "ce_type": word(record.OutcomeType),
			"content-type": word(schemas.ContentTypeProtobuf), "ce_recordedtime": at("When it was appended."), "ce_streamversion": decimal("The stream's version after the command."),
			"ce_commandoffset": decimal("Offset of the command, in the partition of the same number."), "ce_causationid": word("The command ID."),
			"ce_correlationid": word("The command's."), "traceparent": word("W3C trace context."), "cqrs-auth": word("Who asked, where that was proved."), "cqrs-variant": word("As the event."),
		}),
	}
}
