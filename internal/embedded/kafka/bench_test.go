package kafka

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkReopen opens a log of 500,000 records of 200 bytes in 8 partitions, written by transactions of
// 800 records.
func BenchmarkReopen(b *testing.B) {
	const records, perTxn, partitions = 500_000, 800, 8
	dir := b.TempDir()
	s, err := Start(context.Background(), Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
	require.NoError(b, err)
	createTopic(b, s.Addr(), topic, partitions)
	cl := client(b, s.Addr(), kgo.TransactionalID("one"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := make([]byte, 200)
	for n := 0; n < records; n += perTxn {
		require.NoError(b, cl.BeginTransaction())
		batch := make([]*kgo.Record, perTxn)
		for i := range batch {
			batch[i] = &kgo.Record{Topic: topic, Partition: int32(i % partitions), Key: fmt.Appendf(nil, "order-%d", n+i), Value: value}
		}
		require.NoError(b, cl.ProduceSync(context.Background(), batch...).FirstErr())
		require.NoError(b, cl.EndTransaction(context.Background(), kgo.TryCommit))
	}
	cl.Close()
	require.NoError(b, s.Close())

	for _, how := range []string{"closed", "killed"} {
		b.Run(how, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				if how == "killed" {
					require.NoError(b, os.Remove(filepath.Join(dir, cleanName)))
				}
				b.StartTimer()
				s, err := Start(context.Background(), Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
				b.StopTimer()
				require.NoError(b, err)
				require.NoError(b, s.Close())
				b.StartTimer()
			}
		})
	}
}
