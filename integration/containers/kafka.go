package containers

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const kafkaName = "Kafka"

// KafkaServer is one broker that is its own controller, with topic auto creation off.
type KafkaServer struct {
	*Server
	Brokers []string // addresses to give to a client, host:port
}

// Kafka returns a broker for the test.
func Kafka(t testing.TB, opts ...Option) *KafkaServer {
	t.Helper()
	s := obtain(t, kafkaSpec(), opts)
	return &KafkaServer{Server: s, Brokers: []string{s.hostPort}}
}

func kafkaSpec() *spec {
	return &spec{
		name: kafkaName, image: "apache/kafka:4.3.1", imageEnv: "CQRSFLOW_KAFKA_IMAGE", port: 9092,
		env: map[string]string{
			"KAFKA_NODE_ID":                          "1",
			"KAFKA_PROCESS_ROLES":                    "broker,controller",
			"KAFKA_CONTROLLER_QUORUM_VOTERS":         "1@localhost:9093",
			"KAFKA_LISTENERS":                        "CLIENT://:9092,CONTROLLER://:9093,BROKER://:9094",
			"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP":   "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT",
			"KAFKA_CONTROLLER_LISTENER_NAMES":        "CONTROLLER",
			"KAFKA_INTER_BROKER_LISTENER_NAME":       "BROKER",
			"KAFKA_AUTO_CREATE_TOPICS_ENABLE":        "false",
			"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
			// One broker cannot hold three replicas, and a test needs few partitions of internal topics.
			"KAFKA_DEFAULT_REPLICATION_FACTOR":                       "1",
			"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":                 "1",
			"KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS":                     "4",
			"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR":         "1",
			"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":                    "1",
			"KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS":             "4",
			"KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
			"KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR":            "1",
			"KAFKA_HEAP_OPTS":                                        "-Xms256m -Xmx512m",
		},
		advertise: func(env map[string]string, hostPort string) {
			env["KAFKA_ADVERTISED_LISTENERS"] = "CLIENT://" + hostPort + ",BROKER://localhost:9094"
		},
		ready: kafkaReady,
	}
}

// kafkaReady asks who coordinates a group and a transactional ID, which is known once the internal topics
// are there and led: metadata alone answers long before that.
func kafkaReady(ctx context.Context, hostPort string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(hostPort), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	meta, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if len(meta.Brokers) == 0 {
		return errors.New("the broker has not registered")
	}
	for kind, key := range []string{"ready-group", "ready-transaction"} {
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorType, find.CoordinatorKey, find.CoordinatorKeys = int8(kind), key, []string{key}
		// Straight to the broker: the client itself would answer from what it knows, and retry for long.
		resp, err := cl.Broker(int(meta.Brokers[0].NodeID)).Request(ctx, find)
		if err != nil {
			return err
		}
		found := resp.(*kmsg.FindCoordinatorResponse)
		code := found.ErrorCode
		for _, c := range found.Coordinators {
			code = c.ErrorCode
		}
		if err := kerr.ErrorForCode(code); err != nil {
			return err
		}
	}
	return nil
}
