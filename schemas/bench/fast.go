package bench

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas"
	benchv1 "github.com/cqrsflow/cqrsflow/schemas/bench/v1"
)

// FastCodec writes and reads the same bytes as Codec, by hand: benchmarks use it, so that they measure what is
// around a codec. What is decoded aliases the data. Anything but plain protobuf goes to Codec. The zero value is
// ready.
type FastCodec struct{}

// Field numbers of the three messages: amount and balance, version, and the two places of padding.
const (
	fieldAmount         = 1
	fieldVersion        = 2
	fieldPadding        = 2
	fieldDepositedPad   = 3
	depositType         = "bench.v1.Deposit"
	depositedType       = "bench.v1.Deposited"
	contentTypeProtobuf = schemas.ContentTypeProtobuf
)

// Version is the version of the state's encoding.
func (FastCodec) Version() uint32 { return StateVersion }

// DecodeCommand reads a Deposit. Errors wrap event.ErrUnknownType or event.ErrMalformed.
func (FastCodec) DecodeCommand(typ, contentType string, data []byte) (any, error) {
	if typ != depositType || contentType != contentTypeProtobuf {
		return Codec.DecodeCommand(typ, contentType, data)
	}
	c := &benchv1.Deposit{}
	err := fields(data, func(number protowire.Number, n int64, b []byte) bool {
		switch {
		case number == fieldAmount && b == nil:
			c.Amount = n
		case number == fieldPadding && b != nil:
			c.Padding = b
		default:
			return false
		}
		return true
	})
	if err != nil {
		return Codec.DecodeCommand(typ, contentType, data)
	}
	return c, nil
}

// ValidateCommand applies the schema's one rule.
func (FastCodec) ValidateCommand(body any) []event.FieldError {
	if c, ok := body.(*benchv1.Deposit); ok && c.Amount >= 0 {
		return nil
	}
	return Codec.ValidateCommand(body)
}

// EncodeEvent appends a Deposited to buf.
func (FastCodec) EncodeEvent(buf []byte, body any) (typ, contentType string, data []byte, err error) {
	e, ok := body.(*benchv1.Deposited)
	if !ok {
		return Codec.EncodeEvent(buf, body)
	}
	buf = appendInt(buf, fieldAmount, e.Amount)
	buf = appendInt(buf, fieldVersion, e.Version)
	return depositedType, contentTypeProtobuf, appendBytes(buf, fieldDepositedPad, e.Padding), nil
}

// DecodeEvent reads a Deposited. Errors wrap event.ErrUnknownType or event.ErrUndecodable.
func (FastCodec) DecodeEvent(env *event.Envelope) (any, error) {
	if env.Type != depositedType || env.ContentType != contentTypeProtobuf {
		return Codec.DecodeEvent(env)
	}
	e := &benchv1.Deposited{}
	err := fields(env.Data, func(number protowire.Number, n int64, b []byte) bool {
		switch {
		case number == fieldAmount && b == nil:
			e.Amount = n
		case number == fieldVersion && b == nil:
			e.Version = n
		case number == fieldDepositedPad && b != nil:
			e.Padding = b
		default:
			return false
		}
		return true
	})
	if err != nil {
		return Codec.DecodeEvent(env)
	}
	return e, nil
}

// EncodeState appends an AccountState to buf.
func (FastCodec) EncodeState(buf []byte, state any) ([]byte, error) {
	s, ok := state.(*benchv1.AccountState)
	if !ok {
		return Codec.EncodeState(buf, state)
	}
	return appendBytes(appendInt(buf, fieldAmount, s.Balance), fieldPadding, s.Padding), nil
}

// DecodeState reads an AccountState, copying its padding: states are kept. Errors wrap event.ErrUndecodable.
func (FastCodec) DecodeState(data []byte) (any, error) {
	s := &benchv1.AccountState{}
	err := fields(data, func(number protowire.Number, n int64, b []byte) bool {
		switch {
		case number == fieldAmount && b == nil:
			s.Balance = n
		case number == fieldPadding && b != nil:
			s.Padding = append([]byte(nil), b...)
		default:
			return false
		}
		return true
	})
	if err != nil {
		return Codec.DecodeState(data)
	}
	return s, nil
}

// JSON renders a command, event or state.
func (FastCodec) JSON(body any) ([]byte, error) { return Codec.JSON(body) }

func appendInt(b []byte, number protowire.Number, n int64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(n))
}

func appendBytes(b []byte, number protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}

var errNotPlain = errors.New("not a plain message")

// fields calls set for each field: with n for a varint, with b, never nil, for bytes. Where set returns false, and
// where data is no protobuf, it fails.
func fields(data []byte, set func(number protowire.Number, n int64, b []byte) bool) error {
	for len(data) > 0 {
		number, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return fmt.Errorf("%w: %w", errNotPlain, protowire.ParseError(size))
		}
		data = data[size:]
		var n uint64
		var b []byte
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			b, size = protowire.ConsumeBytes(data)
			if b == nil {
				b = []byte{}
			}
		default:
			return errNotPlain
		}
		if size < 0 || !set(number, int64(n), b) {
			return errNotPlain
		}
		data = data[size:]
	}
	return nil
}
