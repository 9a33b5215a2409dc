package schemas

import (
	"errors"
	"fmt"
	"mime"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
)

// The content types of bodies. JSON means protobuf JSON (https://protobuf.dev/programming-guides/json/); a body without
// content type is JSON.
const (
	ContentTypeProtobuf = "application/protobuf"
	ContentTypeJSON     = "application/json"
)

// Unmarshal reads data into m, which it resets first. The content type is application/protobuf or application/json;
// empty means JSON; parameters such as charset are ignored. Zero bytes are a message with nothing set. In JSON,
// unknown and repeated fields are errors; in protobuf, unknown fields are kept. Text must be valid UTF-8. Errors wrap
// event.ErrMalformed and say what is wrong where, in the caller's terms.
func Unmarshal(contentType string, data []byte, m proto.Message) error {
	if err := unmarshal(contentType, data, m); err != nil {
		return fmt.Errorf("%w: %s: %w", event.ErrMalformed, m.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}

func unmarshal(contentType string, data []byte, m proto.Message) error {
	json, err := isJSON(contentType)
	if err != nil {
		return err
	}
	switch {
	case len(data) == 0:
		proto.Reset(m)
		return nil
	case json:
		err = protojson.Unmarshal(data, m)
	default:
		err = proto.Unmarshal(data, m)
	}
	if err != nil {
		return reason(err)
	}
	return nil
}

func isJSON(contentType string) (bool, error) {
	switch contentType {
	case ContentTypeProtobuf:
		return false, nil
	case ContentTypeJSON, "":
		return true, nil
	}
	base, _, err := mime.ParseMediaType(contentType)
	if err == nil && base == ContentTypeProtobuf {
		return false, nil
	}
	if err == nil && base == ContentTypeJSON {
		return true, nil
	}
	return false, fmt.Errorf("the content type %q is neither %s nor %s", contentType, ContentTypeJSON, ContentTypeProtobuf)
}

// reason is what the protobuf library says without its prefix, which it varies on purpose.
func reason(err error) error {
	text := strings.TrimPrefix(err.Error(), "proto:")
	return errors.New(strings.TrimLeft(text, " \u00a0"))
}

// Marshal encodes m as protobuf. Equal messages give equal bytes, as long as the program is the same one. A message
// with nothing set is zero bytes and never nil, which Kafka would take for a null value. It fails, with
// event.ErrInvalid, where text in m is not valid UTF-8.
func Marshal(m proto.Message) ([]byte, error) {
	return AppendMarshal(nil, m)
}

// AppendMarshal appends what Marshal returns to buf.
func AppendMarshal(buf []byte, m proto.Message) ([]byte, error) {
	out, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(buf, m)
	if err != nil {
		return buf, fmt.Errorf("%w: encode %s: %w", event.ErrInvalid, m.ProtoReflect().Descriptor().FullName(), reason(err))
	}
	if out == nil {
		out = []byte{}
	}
	return out, nil
}
