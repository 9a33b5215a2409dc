package api

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	"github.com/cqrsflow/cqrsflow/topology"
)

func described(prefix string) (out []Topics) {
	for _, t := range aggregates.All() {
		names := topology.TopicsOf(prefix, t.Name)
		out = append(out, Topics{t, names.Commands, names.Events, names.Outcomes})
	}
	return out
}

// TestAsyncAPIIsCurrent fails when what is registered has changed and docs/asyncapi.json has not.
func TestAsyncAPIIsCurrent(t *testing.T) {
	const path = "../../docs/asyncapi.json"
	want, err := asyncAPI(described(""))
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(have), "\n")); diff != "" {
		t.Errorf("docs/asyncapi.json is stale; `go test ./services/api -update` rewrites it (-registered +file):\n%s", diff)
	}
}

// TestAsyncAPI holds what a reader of the document relies on: every topic is there with every message, references resolve, and
// names no broker.
func TestAsyncAPI(t *testing.T) {
	data, err := asyncAPI(described("mine"))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	at := func(ref string) any {
		var v any = doc
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			m, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			v = m[part]
		}
		return v
	}
	for _, ref := range refs(doc) {
		if at(ref) == nil {
			t.Errorf("the reference %s leads nowhere", ref)
		}
	}
	channels := doc["channels"].(map[string]any)
	for _, typ := range aggregates.All() {
		topics := topology.TopicsOf("mine", typ.Name)
		want := map[string][]string{topics.Commands: {}, topics.Events: typ.Events, topics.Outcomes: {"cqrsflow.v1.Outcome"}}
		for _, c := range typ.Commands {
			want[topics.Commands] = append(want[topics.Commands], c.Type)
		}
		for name, kind := range map[string]string{".commands": topics.Commands, ".events": topics.Events, ".outcomes": topics.Outcomes} {
			c, _ := channels[typ.Name+name].(map[string]any)
			if c == nil || c["address"] != kind {
				t.Errorf("%s%s is %v; the topic is %s", typ.Name, name, c["address"], kind)
				continue
			}
			have := slices.Sorted(maps.Keys(c["messages"].(map[string]any)))
			if diff := cmp.Diff(slices.Sorted(slices.Values(want[kind])), have); diff != "" {
				t.Errorf("messages of %s (-registered +document):\n%s", kind, diff)
			}
		}
	}
}

// TestAsyncAPIProtoFilesCompile reads an event with nothing but what the document says: its files are compiled, and the message
// that it names reads bytes of the program's own.
func TestAsyncAPIProtoFilesCompile(t *testing.T) {
	data, err := asyncAPI(described(""))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct {
			Messages map[string]struct {
				Protobuf struct {
					Message string
					File    struct {
						Ref string `json:"$ref"`
					}
				} `json:"x-protobuf"`
			}
			Schemas map[string]struct {
				Format string `json:"schemaFormat"`
				File   string `json:"x-file"`
				Schema string `json:"schema"`
			}
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, s := range doc.Components.Schemas {
		if s.Format != "" {
			files[s.File] = s.Schema
		}
	}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: func(path string) (io.ReadCloser, error) {
		text, ok := files[path]
		if !ok {
			return nil, os.ErrNotExist
		}
		return io.NopCloser(strings.NewReader(text)), nil
	}})}
	compiled, err := compiler.Compile(context.Background(), slices.Sorted(maps.Keys(files))...)
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]protoreflect.MessageDescriptor{}
	for _, m := range doc.Components.Messages {
		file := compiled.FindFileByPath(doc.Components.Schemas[strings.TrimPrefix(m.Protobuf.File.Ref, schemaPrefix)].File)
		short := m.Protobuf.Message[strings.LastIndex(m.Protobuf.Message, ".")+1:]
		d := file.Messages().ByName(protoreflect.Name(short))
		if d == nil || string(d.FullName()) != m.Protobuf.Message {
			t.Errorf("%s is not in the file that it names", m.Protobuf.Message)
		}
		read[m.Protobuf.Message] = d
	}

	event := &customerv1.PurchaseRecorded{Order: "o-1", Units: 3, Total: &typev1.Money{Amount: "11.77", Currency: "USD"}}
	bytes, err := proto.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	got := dynamicpb.NewMessage(read["customer.v1.PurchaseRecorded"])
	if err := proto.Unmarshal(bytes, got); err != nil {
		t.Fatal(err)
	}
	if a, b := protojson.Format(event), protojson.Format(got); a != b || len(got.ProtoReflect().GetUnknown()) > 0 {
		t.Errorf("the event is %s; by the document it is %s", a, b)
	}
	if text := files["order/v1/commands.proto"]; !strings.Contains(text, "// PlaceOrder makes the order.") || strings.Contains(text, "validate") {
		t.Errorf("the file lacks its comments, or has rules:\n%.600s", text)
	}
}
