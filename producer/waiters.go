package producer

import (
	"sync"

	"github.com/cqrsflow/cqrsflow/event"
)

// waiters are the commands whose outcome somebody waits for. An outcome belongs to the command at its
// offset; as it can arrive before the broker's acknowledgement has told us the offset, outcomes with
// the right ID are kept until then.
type waiters struct {
	mu struct {
		sync.Mutex
		byID map[waitKey][]*waiter
	}
}

type waitKey struct {
	aggregate string
	stream    event.StreamID
	id        string
}

type waiter struct {
	key       waitKey
	partition int32
	done      func(event.Outcome, error)
	// offset is the command's, -1 until it is known; early are outcomes that came before that.
	offset int64
	early  []event.Outcome
	gone   bool
}

func (ws *waiters) add(key waitKey, partition int32, done func(event.Outcome, error)) *waiter {
	w := &waiter{key: key, partition: partition, done: done, offset: -1}
	ws.mu.Lock()
	ws.mu.byID[key] = append(ws.mu.byID[key], w)
	ws.mu.Unlock()
	return w
}

// give ends the wait, once.
func (ws *waiters) give(w *waiter, o event.Outcome, err error) {
	ws.mu.Lock()
	if w.gone {
		ws.mu.Unlock()
		return
	}
	w.gone = true
	rest := ws.mu.byID[w.key][:0]
	for _, other := range ws.mu.byID[w.key] {
		if other != w {
			rest = append(rest, other)
		}
	}
	if len(rest) == 0 {
		delete(ws.mu.byID, w.key)
	} else {
		ws.mu.byID[w.key] = rest
	}
	ws.mu.Unlock()
	w.done(o, err)
}

// placed notes the command's offset.
func (ws *waiters) placed(w *waiter, offset int64) {
	ws.mu.Lock()
	w.offset = offset
	var found *event.Outcome
	for i := range w.early {
		if w.early[i].CommandOffset == offset {
			found = &w.early[i]
		}
	}
	w.early = nil
	ws.mu.Unlock()
	if found != nil {
		ws.give(w, *found, nil)
	}
}

// arrived hands an outcome to whoever waits for it.
func (ws *waiters) arrived(o event.Outcome) {
	var found *waiter
	ws.mu.Lock()
	for _, w := range ws.mu.byID[waitKey{o.Aggregate, o.Stream, o.CommandID}] {
		switch {
		case w.partition != o.Partition:
		case w.offset < 0:
			w.early = append(w.early, o)
		case w.offset == o.CommandOffset:
			found = w
		}
	}
	ws.mu.Unlock()
	if found != nil {
		ws.give(found, o, nil)
	}
}

// all ends every wait with the error.
func (ws *waiters) all(err error) {
	ws.mu.Lock()
	var left []*waiter
	for _, l := range ws.mu.byID {
		left = append(left, l...)
	}
	ws.mu.Unlock()
	for _, w := range left {
		ws.give(w, event.Outcome{}, err)
	}
}
