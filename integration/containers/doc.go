// Package containers runs real servers in Docker containers for tests: Kafka, PostgreSQL and Elasticsearch.
//
//	func TestMain(m *testing.M) { containers.Main(m, containers.WithKafka()) } // optional: share one
//
//	func TestX(t *testing.T) {
//		kafka := containers.Kafka(t) // skips the test where Docker does not answer
//		...
//	}
//
// A server lives until its test ends, whether it passes or fails; those named to Main live until the
// package's tests end. Where CQRSFLOW_INTEGRATION is "require", a missing Docker fails the test instead.
// CQRSFLOW_KAFKA_IMAGE, CQRSFLOW_POSTGRES_IMAGE and CQRSFLOW_ELASTICSEARCH_IMAGE name other images.
//
// # What is not obvious
//
// Host ports are picked before the container is made, and are fixed: Kafka has to advertise its port, and a
// server that was killed has the same address when it is back.
//
// Kafka has two listeners besides the controller's. The broker also talks to itself (it writes a
// transaction's markers as a client), and from inside the container the advertised address of the mapped
// port leads nowhere: with one listener, transactions hang.
//
// A server is ready when it answers its own protocol, not when its log has a line, which after a restart it
// has already.
//
// Containers have labels that say whose they are. Tests are not always able to clean up (a panic, a
// timeout, kill -9), and testcontainers' reaper would be one more image: the next test process on this
// machine removes what dead ones left. For the same reason the reaper is switched off, unless
// TESTCONTAINERS_RYUK_DISABLED says otherwise, and the host is 127.0.0.1, unless TESTCONTAINERS_HOST_OVERRIDE
// or DOCKER_HOST does: testcontainers takes a machine that is a container itself for one whose containers'
// ports are on the bridge.
package containers
