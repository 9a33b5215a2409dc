package topology

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestMarks(t *testing.T) {
	var none *Acceptance
	if m := none.Mark(); m != "" {
		t.Errorf("the mark of nothing is %q", m)
	}
	a := &Acceptance{Epoch: 1700000000123}
	if m := a.Mark(); m != "loss:1700000000123" || MarkedEpoch(m) != a.Epoch {
		t.Errorf("%q is of epoch %d", m, MarkedEpoch(m))
	}
	for _, foreign := range []string{"", "loss:", "loss:x", "1700000000123", "loss:99999999999999999999"} {
		if n := MarkedEpoch(foreign); n != 0 {
			t.Errorf("%q is of epoch %d", foreign, n)
		}
	}
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	req := kmsg.NewTxnOffsetCommitRequest()
	for _, name := range []string{"ours", "foreign"} {
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.Topic, topic.Partitions = name, append(topic.Partitions, partition)
		req.Topics = append(req.Topics, topic)
	}
	Acceptances{"order/0": a}.Stamp(&req, func(topic string) string { return map[string]string{"ours": "order"}[topic] })
	if m := req.Topics[0].Partitions[0].Metadata; m == nil || *m != a.Mark() {
		t.Errorf("ours is marked %v", m)
	}
	if m := req.Topics[1].Partitions[0].Metadata; m != nil {
		t.Errorf("another topic is marked %q", *m)
	}
}
