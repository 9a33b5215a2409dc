package runner

import (
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A partition that is lost while a commit of it is in flight (Runner.end(…, false) forgets it) must not be committed later, when that
// commit fails: by then another member owns it, and is further.
func TestLostWhileACommitIsInFlight(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "order.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("order.events"), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	c := commits{client: cl, log: slog.New(slog.DiscardHandler)}
	p := Partition{Topic: "order.events", Number: 0}
	forgotten := 0
	cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		forgotten++
		c.forget(p) // it is lost now
		r := req.(*kmsg.OffsetCommitRequest)
		resp := r.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, topic := range r.Topics {
			rt := kmsg.NewOffsetCommitResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.ErrorCode = kerr.UnknownMemberID.Code
			rt.Partitions = append(rt.Partitions, rp)
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	c.mark(p, 5)
	c.flush(t.Context())
	if forgotten == 0 {
		t.Fatal("nothing was committed")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if o, ok := c.mu.dirty[p.Topic][p.Number]; ok {
		t.Errorf("the next flush commits offset %d of a partition that is lost", o.Offset)
	}
}
