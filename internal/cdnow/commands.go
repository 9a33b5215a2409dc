package cdnow

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// Aggregate is the aggregate type of the commands.
const Aggregate = "order"

const (
	typePlace   = "order.v1.PlaceOrder"
	typePay     = "order.v1.PayOrder"
	contentType = "application/protobuf"
)

// Order is the stream of the purchase's order, Buyer that of its customer.
func (p *Purchase) Order() event.StreamID { return event.StreamID("cdnow-" + strconv.Itoa(p.N)) }

// Buyer is the stream of the customer.
func (p *Purchase) Buyer() event.StreamID { return event.StreamID("cdnow-" + p.Customer) }

// place returns the command that places the order, and its body.
func (p *Purchase) place() (event.Command, []byte, error) {
	body, err := proto.Marshal(&orderv1.PlaceOrder{
		Customer: string(p.Buyer()),
		Lines: []*orderv1.Line{{Sku: "cd", Name: "CD", Quantity: p.Quantity,
			Total: &typev1.Money{Amount: fmt.Sprintf("%d.%02d", p.Cents/100, p.Cents%100), Currency: "USD"}}},
	})
	return p.command(typePlace, "-place"), body, err
}

// pay returns the command that pays the order; its body is empty.
func (p *Purchase) pay() event.Command { return p.command(typePay, "-pay") }

func (p *Purchase) command(typ, suffix string) event.Command {
	id := p.Order()
	return event.Command{ID: string(id) + suffix, Type: typ, Stream: id, Time: p.Date, ExpectedVersion: event.AnyVersion}
}
