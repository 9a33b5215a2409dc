package partlog

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What hangs is of producer 7 in epoch 3, in partition 1 of topic "events".
func TestDecided(t *testing.T) {
	const (
		empty   = kmsg.TransactionStateEmpty
		ongoing = kmsg.TransactionStateOngoing
		commits = kmsg.TransactionStatePrepareCommit
		aborts  = kmsg.TransactionStatePrepareAbort
		done    = kmsg.TransactionStateCompleteCommit
	)
	here := []kmsg.TxnMetadataValueTopic{{Topic: "events", Partitions: []int32{0, 1}}}
	elsewhere := []kmsg.TxnMetadataValueTopic{{Topic: "events", Partitions: []int32{2}}}
	state := func(epoch int16, s kmsg.TransactionState, in []kmsg.TxnMetadataValueTopic, version int16) kmsg.TxnMetadataValue {
		return kmsg.TxnMetadataValue{ProducerID: 7, ProducerEpoch: epoch, State: s, Topics: in, ClientTransactionVersion: version}
	}
	for name, c := range map[string]struct {
		states    []kmsg.TxnMetadataValue
		commit    bool
		undecided bool
	}{
		"committed":                            {states: []kmsg.TxnMetadataValue{state(3, ongoing, here, 2), state(4, commits, here, 2), state(4, done, nil, 2)}, commit: true},
		"committed, and the beginning is gone": {states: []kmsg.TxnMetadataValue{state(4, commits, here, 2), state(4, done, nil, 2)}, commit: true},
		"aborted":                              {states: []kmsg.TxnMetadataValue{state(3, ongoing, here, 2), state(4, aborts, here, 2)}},
		"the next one was committed":           {states: []kmsg.TxnMetadataValue{state(3, empty, nil, 2), state(5, commits, here, 2)}},
		"the one before was committed":         {states: []kmsg.TxnMetadataValue{state(2, ongoing, here, 2), state(3, commits, here, 2), state(3, done, nil, 2), state(4, empty, nil, 2)}},
		"committed elsewhere":                  {states: []kmsg.TxnMetadataValue{state(3, ongoing, elsewhere, 2), state(4, commits, elsewhere, 2)}},
		"before KIP-890, committed":            {states: []kmsg.TxnMetadataValue{state(3, ongoing, here, 0), state(3, commits, here, 0)}, commit: true},
		"before KIP-890, fenced":               {states: []kmsg.TxnMetadataValue{state(3, ongoing, here, 0), state(4, aborts, here, 0)}},
		"only what came later is left":         {states: []kmsg.TxnMetadataValue{state(5, commits, here, 2)}, undecided: true},
		"only of another producer":             {states: []kmsg.TxnMetadataValue{{ProducerID: 6, ProducerEpoch: 4, State: commits, Topics: here, ClientTransactionVersion: 2}}, undecided: true},
		"nothing":                              {undecided: true},
	} {
		v, err := decided(c.states, kadm.DescribedProducer{Topic: "events", Partition: 1, ProducerID: 7, ProducerEpoch: 3})
		if v.commit != c.commit || errors.Is(err, errUndecided) != c.undecided {
			t.Errorf("%s: commit %t, %v", name, v.commit, err)
		}
	}
}

// The hashes are Java's.
func TestCoordinating(t *testing.T) {
	for name, want := range map[string]int32{"": 0, "hello": 99162322 % 50, "polygenelubricants": 0, "grüße": 98768023 % 50} {
		if got := coordinating(name, 50); got != want {
			t.Errorf("%q is on partition %d, want %d", name, got, want)
		}
	}
}
