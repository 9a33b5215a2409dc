package schemas_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/cqrsflow/cqrsflow/schemas"
	"github.com/cqrsflow/cqrsflow/schemas/bench"
	"github.com/cqrsflow/cqrsflow/schemas/customer"
	"github.com/cqrsflow/cqrsflow/schemas/emailclaim"
	"github.com/cqrsflow/cqrsflow/schemas/experiment"
	"github.com/cqrsflow/cqrsflow/schemas/order"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
	"github.com/cqrsflow/cqrsflow/schemas/session"
	"github.com/cqrsflow/cqrsflow/schemas/source"
	"github.com/cqrsflow/cqrsflow/schemas/user"
)

var update = flag.Bool("update", false, "write the golden files anew; what is in the log already must stay readable")

const goldenDir = "testdata/golden"

// golden returns what the file holds, after writing it where asked.
func golden(t *testing.T, name string, current []byte) []byte {
	t.Helper()
	path := filepath.Join(goldenDir, name)
	if *update {
		if err := os.WriteFile(path, current, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestGolden holds that bytes of every message, as they are in logs by now, mean what they meant.
func TestGolden(t *testing.T) {
	for _, want := range samples() {
		name := string(want.ProtoReflect().Descriptor().FullName())
		t.Run(name, func(t *testing.T) {
			data, err := schemas.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			bin := golden(t, name+".bin", data)
			if diff := cmp.Diff(bin, data); diff != "" {
				t.Errorf("the bytes have changed (-golden +now):\n%s", diff)
			}
			got := want.ProtoReflect().New().Interface()
			if err := schemas.Unmarshal(schemas.ContentTypeProtobuf, bin, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("the golden bytes mean something else (-want +got):\n%s", diff)
			}

			text, err := schemas.JSON(want)
			if err != nil {
				t.Fatal(err)
			}
			json := golden(t, name+".json", append(text, '\n'))
			if diff := cmp.Diff(string(json), string(text)+"\n"); diff != "" {
				t.Errorf("the JSON has changed (-golden +now):\n%s", diff)
			}
			if hasEnum(want.ProtoReflect().Descriptor()) {
				return // enum values are words for readers: no protobuf JSON
			}
			if err := schemas.Unmarshal(schemas.ContentTypeJSON, json, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("the golden JSON means something else (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGoldenBefore holds that events written before their message had all of its fields are still read, and that
// what does not use the new fields is still written byte for byte like that.
func TestGoldenBefore(t *testing.T) {
	for name, want := range map[string]proto.Message{
		"order.v1.OrderPaid": &orderv1.OrderPaid{Customer: "customer-17", Total: usd("23.54"), Units: 2, PaidAt: minutes(4)},
	} {
		bin, err := os.ReadFile(filepath.Join(goldenDir, "before", name+".bin"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := order.Events.Decode(name, schemas.ContentTypeProtobuf, bin)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s means something else (-want +got):\n%s", name, diff)
		}
		if now, err := schemas.Marshal(want); err != nil || !bytes.Equal(now, bin) {
			t.Errorf("%s is written as %x, %v; it was %x", name, now, err, bin)
		}
	}
}

func hasEnum(d protoreflect.MessageDescriptor) bool {
	for i := range d.Fields().Len() {
		if d.Fields().Get(i).Enum() != nil {
			return true
		}
	}
	return false
}

// TestGoldenEvents holds that old events are read as current ones.
func TestGoldenEvents(t *testing.T) {
	upcast := map[string]proto.Message{
		"order.v1.OrderAnnotated": &orderv2.OrderAnnotated{Note: &orderv2.Note{Text: "ring\ttwice", NotedAt: minutes(7)}},
	}
	want := map[string]proto.Message{}
	for _, m := range samples() {
		want[string(m.ProtoReflect().Descriptor().FullName())] = m
	}
	for name, m := range upcast {
		want[name] = m
	}
	for _, registry := range []*schemas.Registry{order.Events, customer.Events, bench.Events, emailclaim.Events, source.Events, session.Events, user.Events, experiment.Events} {
		for _, name := range registry.Types() {
			for ext, contentType := range map[string]string{".bin": schemas.ContentTypeProtobuf, ".json": schemas.ContentTypeJSON} {
				data, err := os.ReadFile(filepath.Join(goldenDir, name+ext))
				if err != nil {
					t.Fatal(err)
				}
				got, err := registry.Decode(name, contentType, data)
				if err != nil {
					t.Fatalf("%s%s: %v", name, ext, err)
				}
				if diff := cmp.Diff(want[name], got, protocmp.Transform()); diff != "" {
					t.Errorf("%s%s (-want +got):\n%s", name, ext, diff)
				}
			}
		}
	}
}

// TestSamplesAreComplete holds that a new message or field cannot be forgotten in the golden files.
func TestSamplesAreComplete(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	for _, m := range samples() {
		d := m.ProtoReflect().Descriptor()
		seen[d.FullName()] = true
		for i := range d.Fields().Len() {
			if field := d.Fields().Get(i); !m.ProtoReflect().Has(field) {
				t.Errorf("the sample of %s leaves %s unset", d.FullName(), field.Name())
			}
		}
	}
	files := 0
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		goPackage := file.Options().ProtoReflect().Get(file.Options().ProtoReflect().Descriptor().Fields().ByName("go_package")).String()
		if !strings.HasPrefix(goPackage, "github.com/cqrsflow/cqrsflow/schemas/") {
			return true
		}
		files++
		for i := range file.Messages().Len() {
			if name := file.Messages().Get(i).FullName(); !seen[name] {
				t.Errorf("there is no sample of %s", name)
			}
		}
		return true
	})
	if files == 0 {
		t.Error("no schemas are registered")
	}
}
