package order

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

// upcastOrderAnnotated turns order.v1.OrderAnnotated into order.v2.OrderAnnotated. Version 1 did not record who wrote
// the note; where it has no time either, the event's own time is the best there is.
func upcastOrderAnnotated(m proto.Message, at time.Time) (proto.Message, error) {
	old, ok := m.(*orderv1.OrderAnnotated)
	if !ok {
		return nil, fmt.Errorf("%s is not order.v1.OrderAnnotated", m.ProtoReflect().Descriptor().FullName())
	}
	noted := old.GetAnnotatedAt()
	if noted == nil && !at.IsZero() {
		noted = timestamppb.New(at)
	}
	return &orderv2.OrderAnnotated{Note: &orderv2.Note{Text: old.GetText(), NotedAt: noted}}, nil
}
