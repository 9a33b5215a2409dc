package topology

import (
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A committed offset carries the epoch of the accepted losses that it was committed under, as its metadata.
// It is the only thing that tells an offset of a lost topic from one of the topic that took its place.

const lossMark = "loss:"

// Mark is the metadata of an offset that is committed under the acceptance; empty where nothing was lost.
func (a *Acceptance) Mark() string {
	if a.Since() == 0 {
		return ""
	}
	return lossMark + strconv.FormatInt(a.Since(), 10)
}

// MarkedEpoch is the epoch in a committed offset's metadata; 0, which is before any loss, where there is none
// or somebody else wrote it.
func MarkedEpoch(metadata string) int64 {
	text, ok := strings.CutPrefix(metadata, lossMark)
	if !ok {
		return 0
	}
	epoch, err := strconv.ParseInt(text, 10, 64)
	if err != nil || epoch < 0 {
		return 0
	}
	return epoch
}

// Stamp has a transaction's commit carry the marks. aggregate names a topic's; the empty string leaves it as it is.
func (a Acceptances) Stamp(req *kmsg.TxnOffsetCommitRequest, aggregate func(topic string) string) {
	for i := range req.Topics {
		name := aggregate(req.Topics[i].Topic)
		if name == "" {
			continue
		}
		for j := range req.Topics[i].Partitions {
			p := &req.Topics[i].Partitions[j]
			if m := a.Of(name, p.Partition).Mark(); m != "" {
				p.Metadata = kmsg.StringPtr(m)
			}
		}
	}
}
