package kafka

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The first version of EndTxn that bumps the producer's epoch with each transaction (KIP-890), which is
// what makes (producer ID, epoch) the name of one transaction.
const endTxnBumpsEpoch = 5

// intent is a commit that is about to be carried out: what the journal holds.
type intent struct {
	ProducerID int64          `json:"pid"`
	Epoch      int16          `json:"epoch"`
	Offsets    []stagedOffset `json:"offsets,omitempty"`
}

// stagedOffset is a group's offset that the transaction commits.
type stagedOffset struct {
	Group       string  `json:"g"`
	Topic       string  `json:"t"`
	Partition   int32   `json:"p"`
	Offset      int64   `json:"o"`
	LeaderEpoch int32   `json:"e"`
	Metadata    *string `json:"m,omitempty"`
}

// journal writes each commit down before the broker carries it out, so that one that a kill -9 cut short
// can be finished at the next start. kfake handles one request after the other, thus only the last commit
// can be unfinished, and the file is a single slot that is overwritten. A slot that was cut short itself
// fails its checksum, and means that the commit had not begun.
type journal struct {
	file    *os.File
	cluster *kfake.Cluster
	mu      struct {
		sync.Mutex
		staged map[int64]*intent // by producer ID: offsets of transactions that are open
		topics map[[16]byte]string
	}
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open transaction journal: %w", err)
	}
	j := &journal{file: f}
	j.mu.staged = make(map[int64]*intent)
	j.mu.topics = make(map[[16]byte]string)
	return j, nil
}

func (j *journal) close() error { return j.file.Close() }

// attach makes the broker call the journal before it handles the two requests in question.
func (j *journal) attach(c *kfake.Cluster) {
	j.cluster = c
	c.ControlKey(int16(kmsg.TxnOffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		j.stage(req.(*kmsg.TxnOffsetCommitRequest))
		return nil, nil, false
	})
	c.ControlKey(int16(kmsg.EndTxn), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		req := kreq.(*kmsg.EndTxnRequest)
		if err := j.end(req); err != nil {
			c.KeepControl()
			resp := req.ResponseKind().(*kmsg.EndTxnResponse)
			resp.ErrorCode = kerr.KafkaStorageError.Code
			return resp, nil, true
		}
		return nil, nil, false
	})
}

// stage remembers the offsets that a transaction would commit. Whether the broker accepts the request is
// not known yet; if it does not, the client aborts, and they are never used.
func (j *journal) stage(req *kmsg.TxnOffsetCommitRequest) {
	j.mu.Lock()
	defer j.mu.Unlock()
	in := j.mu.staged[req.ProducerID]
	if in == nil || in.Epoch != req.ProducerEpoch {
		in = &intent{ProducerID: req.ProducerID, Epoch: req.ProducerEpoch}
		j.mu.staged[req.ProducerID] = in
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		name := t.Topic
		if name == "" { // version 6 and later name topics by ID
			name = j.topicName(t.TopicID)
		}
		for _, p := range t.Partitions {
			in.Offsets = append(in.Offsets, stagedOffset{
				Group: req.Group, Topic: name, Partition: p.Partition,
				Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata,
			})
		}
	}
}

// topicName needs the journal's mutex. Asking the broker is safe here: it serves such calls while it waits
// for a control function.
func (j *journal) topicName(id [16]byte) string {
	if name, ok := j.mu.topics[id]; ok {
		return name
	}
	info := j.cluster.TopicIDInfo(id)
	if info == nil {
		return ""
	}
	j.mu.topics[id] = info.Topic
	return info.Topic
}

// end writes the intent of a commit; an abort needs none, since an open transaction is aborted anyway.
func (j *journal) end(req *kmsg.EndTxnRequest) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	in := j.mu.staged[req.ProducerID]
	if in == nil || in.Epoch != req.ProducerEpoch { // nothing staged, or a fenced producer's request
		in = &intent{ProducerID: req.ProducerID, Epoch: req.ProducerEpoch}
	} else {
		delete(j.mu.staged, req.ProducerID)
	}
	if !req.Commit || req.Version < endTxnBumpsEpoch {
		return nil
	}
	frame, err := appendEntry(nil, in)
	if err != nil {
		return err
	}
	_, err = j.file.WriteAt(frame, 0)
	return err
}

// readIntent returns the commit in the journal at path; nil when there is none, or it was cut short.
func readIntent(path string) (*intent, error) {
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// Only the first entry counts: what follows is the rest of an older, longer one.
	data, _, ok := nextEntry(raw)
	if !ok {
		return nil, nil
	}
	var in intent
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("transaction journal: %w", err)
	}
	return &in, nil
}
