package partlog

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Gate is a hook of a transactional client: a connection is used only once the client's last transaction does not hang. A broker
// that skips markers is one that stops, so a client must connect anew before its next transaction can join what hangs.
type Gate struct {
	Hanging
	// Committed are the partitions of the last transaction that was committed, none where there was none. It is called
	// from the client's goroutines.
	Committed func() kadm.TopicsSet
}

// gateTime bounds how long a connection waits; then it is closed, and the client tries again.
const gateTime = 10 * time.Second

// OnBrokerConnect is called before anything is sent.
func (g *Gate) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, conn net.Conn, err error) {
	if err != nil {
		return
	}
	in := g.Committed()
	if len(in) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), gateTime)
	defer cancel()
	err = g.End(ctx, in)
	var refused *kerr.Error
	switch {
	case err == nil:
	case errors.As(err, &refused) && !refused.Retriable || errors.Is(err, errUndecided):
		g.Log.Warn("cannot end what may hang of the last transaction", "err", err)
	default: // the brokers are not all there yet
		_ = conn.Close()
	}
}
