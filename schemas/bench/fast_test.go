package bench

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas"
	benchv1 "github.com/cqrsflow/cqrsflow/schemas/bench/v1"
)

var (
	_ decider.Codec = FastCodec{}
	_ decider.Codec = Codec
)

// Both codecs write the same bytes and read the same messages.
func TestFastIsTheSame(t *testing.T) {
	fast := FastCodec{}
	if fast.Version() != Codec.Version() {
		t.Errorf("version %d, want %d", fast.Version(), Codec.Version())
	}
	for _, n := range []int64{0, 1, 127, 128, 1 << 40, -1} {
		for _, padding := range [][]byte{nil, {0}, make([]byte, 100), make([]byte, 1000)} {
			command := &benchv1.Deposit{Amount: n, Padding: padding}
			e := &benchv1.Deposited{Amount: n, Version: n, Padding: padding}
			state := &benchv1.AccountState{Balance: n, Padding: padding}

			data, err := schemas.Marshal(command)
			if err != nil {
				t.Fatal(err)
			}
			got, err := fast.DecodeCommand(depositType, contentTypeProtobuf, data)
			same(t, command, got, err)
			json, err := Codec.JSON(command)
			if err != nil {
				t.Fatal(err)
			}
			got, err = fast.DecodeCommand(depositType, "application/json", json)
			same(t, command, got, err)
			if got, want := fast.ValidateCommand(command), Codec.ValidateCommand(command); len(got) != len(want) {
				t.Errorf("validation of %d: %v, want %v", n, got, want)
			}

			typ, contentType, data, err := fast.EncodeEvent([]byte("before"), e)
			wantType, wantContent, wantData, wantErr := Codec.EncodeEvent([]byte("before"), e)
			if typ != wantType || contentType != wantContent || !bytes.Equal(data, wantData) || err != nil || wantErr != nil {
				t.Errorf("event: %s %s %x %v, want %s %s %x %v", typ, contentType, data, err, wantType, wantContent, wantData, wantErr)
			}
			got, err = fast.DecodeEvent(&event.Envelope{Type: typ, ContentType: contentType, Data: data[len("before"):]})
			same(t, e, got, err)

			stateData, err := fast.EncodeState(nil, state)
			wantState, wantErr := Codec.EncodeState(nil, state)
			if !bytes.Equal(stateData, wantState) || err != nil || wantErr != nil {
				t.Errorf("state: %x %v, want %x %v", stateData, err, wantState, wantErr)
			}
			got, err = fast.DecodeState(stateData)
			same(t, state, got, err)
		}
	}
}

func same(t *testing.T, want proto.Message, got any, err error) {
	t.Helper()
	m, ok := got.(proto.Message)
	if err != nil || !ok || !proto.Equal(want, m) {
		t.Errorf("decoded %v, %v; want %v", got, err, want)
	}
}

func TestFastErrors(t *testing.T) {
	fast := FastCodec{}
	if _, err := fast.DecodeCommand("bench.v1.Withdraw", contentTypeProtobuf, nil); !errors.Is(err, event.ErrUnknownType) {
		t.Errorf("unknown command: %v", err)
	}
	if _, err := fast.DecodeEvent(&event.Envelope{Type: "bench.v1.Withdrawn"}); !errors.Is(err, event.ErrUnknownType) {
		t.Errorf("unknown event: %v", err)
	}
	for _, data := range [][]byte{{0xff}, {0x08}, {0x12, 0x05, 1}, {0x0b}} {
		if _, err := fast.DecodeCommand(depositType, contentTypeProtobuf, data); !errors.Is(err, event.ErrMalformed) {
			t.Errorf("command %x: %v", data, err)
		}
		if _, err := fast.DecodeEvent(&event.Envelope{Type: depositedType, ContentType: contentTypeProtobuf, Data: data}); !errors.Is(err, event.ErrUndecodable) {
			t.Errorf("event %x: %v", data, err)
		}
		if _, err := fast.DecodeState(data); !errors.Is(err, event.ErrUndecodable) {
			t.Errorf("state %x: %v", data, err)
		}
	}
	if _, _, _, err := fast.EncodeEvent(nil, &benchv1.Deposit{}); !errors.Is(err, event.ErrUnknownType) {
		t.Errorf("encode what is no event: %v", err)
	}
}

// A state is kept long after the buffer that it was read from was used again.
func TestFastStateIsACopy(t *testing.T) {
	data, err := FastCodec{}.EncodeState(nil, &benchv1.AccountState{Padding: []byte("abc")})
	if err != nil {
		t.Fatal(err)
	}
	state, err := FastCodec{}.DecodeState(data)
	clear(data)
	if s, ok := state.(*benchv1.AccountState); err != nil || !ok || string(s.Padding) != "abc" {
		t.Errorf("the state became %v, %v", state, err)
	}
}

func BenchmarkCodec(b *testing.B) {
	e := &benchv1.Deposited{Amount: 5, Version: 7, Padding: make([]byte, 100)}
	for name, codec := range map[string]decider.Codec{"fast": FastCodec{}, "generated": Codec} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				_, content, data, err := codec.EncodeEvent(buf[:0], e)
				if err != nil {
					b.Fatal(err)
				}
				buf = data
				if _, err := codec.DecodeEvent(&event.Envelope{Type: depositedType, ContentType: content, Data: data}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
