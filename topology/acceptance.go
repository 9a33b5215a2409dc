package topology

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/event"
)

// LossesTopic holds which losses of the log an operator has accepted: one compacted partition, a record
// for each partition of an aggregate type that lost something. It is made when the first loss is accepted;
// where there is none, nothing was ever lost, and looking for it is one small request.
func LossesTopic(prefix string) string {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	return prefix + ".losses"
}

// acceptanceFormat is the version of an Acceptance's JSON; a reader refuses later ones.
const acceptanceFormat = 1

// Acceptance is what an operator has accepted as lost of one partition of an aggregate type, all
// acceptances so far together. Its methods may be called on nil: nothing was ever accepted.
type Acceptance struct {
	Format int `json:"format"`
	// Epoch is when the last loss was accepted, in milliseconds since 1970, and higher than any epoch before. What was
	// made from the log under a lower one may contradict what the log has now.
	Epoch int64 `json:"epoch"`
	// Lost has the epoch of the last loss of each topic that ever lost something, by topic name.
	Lost map[string]int64 `json:"lost"`
	// Cut has the epoch of the last loss of each topic that lost records and stayed the same topic: a place in it from
	// before tells of what is gone (see Incarnation).
	Cut map[string]int64 `json:"cut,omitempty"`
	// Topics are the IDs of the commands, events and outcomes topics as they were accepted, by name.
	Topics map[string]string `json:"topics"`
	// Ends are the ends of the partition of these topics as they were accepted.
	Ends map[string]int64 `json:"ends"`
	// Commands says where deciding goes on; nil where no commands were ever lost.
	Commands *CommandsLoss `json:"commands,omitempty"`
	// Beyond are the offsets that consumer groups had committed beyond the partition's end, by topic and group: they show
	// a loss, and show it until the group commits another one.
	Beyond map[string]map[string]int64 `json:"beyond,omitempty"`
}

// CommandsLoss tells command offsets from before a loss of the commands topic from those since.
type CommandsLoss struct {
	// Next is the first offset of the commands topic to decide. A group's offset that was committed under an earlier
	// epoch does not count.
	Next int64 `json:"next"`
	// Events and Outcomes are offsets of these topics: the command offsets in records before them are those of lost commands.
	Events   int64 `json:"events"`
	Outcomes int64 `json:"outcomes"`
}

// Since is the epoch of the last loss; 0 for none.
func (a *Acceptance) Since() int64 {
	if a == nil {
		return 0
	}
	return a.Epoch
}

// LostAt is the epoch of the topic's last loss; 0 for none.
func (a *Acceptance) LostAt(topic string) int64 {
	if a == nil {
		return 0
	}
	return a.Lost[topic]
}

// Has reports whether the topic of that ID has been accepted in place of the one that was lost.
func (a *Acceptance) Has(topic string, id [16]byte) bool {
	return a != nil && a.Topics[topic] == idText(id)
}

// Incarnation is what tells a place in the topic from one of before a loss: the topic's ID, or, where records
// of the same topic were accepted as lost, the first 16 bytes of SHA-256 over the ID and the epoch (int64, big endian).
func (a *Acceptance) Incarnation(topic string, id [16]byte) [16]byte {
	if a == nil || a.Cut[topic] == 0 {
		return id
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(id[:], uint64(a.Cut[topic])))
	return [16]byte(sum[:16])
}

// Acceptances are the accepted losses of all partitions.
type Acceptances map[string]*Acceptance

// Of is what was accepted of a partition; nil for nothing.
func (a Acceptances) Of(aggregate string, partition int32) *Acceptance {
	return a[acceptanceKey(aggregate, partition)]
}

func acceptanceKey(aggregate string, partition int32) string {
	return aggregate + "/" + strconv.Itoa(int(partition))
}

// Accepted reads which losses have been accepted under the prefix. opts reach the brokers: where there is
// something to read, a short-lived client of its own does. Errors wrap event.ErrUnavailable; event.ErrConfig where a later cqrsflow wrote what is there;
// event.ErrCorrupt where it cannot be read.
func Accepted(ctx context.Context, client *kgo.Client, opts []kgo.Opt, prefix string) (Acceptances, error) {
	topic := LossesTopic(prefix)
	fail := func(err error) (Acceptances, error) {
		for _, is := range []error{context.Canceled, event.ErrConfig, event.ErrCorrupt} {
			if errors.Is(err, is) {
				return nil, fmt.Errorf("accepted losses in %s: %w", topic, err)
			}
		}
		return nil, fmt.Errorf("%w: accepted losses in %s: %w", event.ErrUnavailable, topic, err)
	}
	there, err := exists(ctx, client, topic)
	if err != nil {
		return fail(err)
	}
	if !there {
		return nil, nil
	}
	adm := kadm.NewClient(client)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fail(err)
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fail(err)
	}
	from, _ := starts.Lookup(topic, 0)
	to, _ := ends.Lookup(topic, 0)
	out, err := readAcceptances(ctx, opts, topic, from.Offset, to.Offset)
	if err != nil {
		return fail(err)
	}
	return out, nil
}

func readAcceptances(ctx context.Context, opts []kgo.Opt, topic string, next, end int64) (Acceptances, error) {
	out := Acceptances{}
	if next >= end {
		return out, nil
	}
	reader, err := kgo.NewClient(append(append([]kgo.Opt{}, opts...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(next)}}),
		kgo.KeepControlRecords(),
	)...)
	if err != nil {
		return nil, errors.Join(event.ErrConfig, err)
	}
	defer reader.Close()
	for next < end {
		short, cancel := context.WithTimeout(ctx, stallTimeout)
		fetches := reader.PollFetches(short)
		cancel()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			next = r.Offset + 1
			if r.Attrs.IsControl() || r.Value == nil {
				continue
			}
			a := &Acceptance{}
			if err := json.Unmarshal(r.Value, a); err != nil {
				return nil, fmt.Errorf("%w: the record %s at offset %d is not JSON: %w", event.ErrCorrupt, r.Key, r.Offset, err)
			}
			if a.Format > acceptanceFormat {
				return nil, fmt.Errorf("%w: the record %s has format %d, which a later cqrsflow wrote; this one knows %d", event.ErrConfig, r.Key, a.Format, acceptanceFormat)
			}
			out[string(r.Key)] = a
		}
	}
	return out, nil
}

// exists asks the brokers, not the client's cache, and makes nothing.
func exists(ctx context.Context, client *kgo.Client, topic string) (bool, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return false, err
	}
	for i := range resp.Topics {
		switch err := kerr.ErrorForCode(resp.Topics[i].ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			return false, nil
		case err != nil:
			return false, err
		}
	}
	return len(resp.Topics) > 0, nil
}
