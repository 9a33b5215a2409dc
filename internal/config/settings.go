package config

import "time"

// Settings are all settings, by topic. Load fills them; the zero value is of no use.
//
// Tags of a setting: `key` in the YAML file, from which the environment variable (CQRSFLOW_ and the key in
// capitals, dots as underscores) and the flag (dots and underscores as dashes) follow unless `env` and `flag`
// say otherwise (`flag:"-"`: none); `default`, and `dev`, the default in `cqrsflow dev`; `min`, `max` and `oneof`
// bound the value; `format` names a check of formats.go; `secret` values are never printed, can be read from a
// file (`key_file`) and have only that flag unless `flag` is given; `roles` are those that cannot do without it.
type Settings struct {
	General       General       `title:"General" about:"Where things are kept and what is logged."`
	Roles         Roles         `title:"Roles" about:"What a process of 'cqrsflow serve' does. 'cqrsflow dev' has all roles."`
	Client        Client        `title:"Client commands" about:"Where commands such as 'publish' and 'stream' find a running cqrsflow. A running 'cqrsflow dev' is found by its data directory; explicit settings win."`
	Dev           Dev           `title:"cqrsflow dev" about:"The embedded servers."`
	Kafka         Kafka         `title:"Kafka" about:"Kafka 4.0 or newer. TLS is on where any of its settings is given."`
	Postgres      Postgres      `title:"PostgreSQL" about:"PostgreSQL 15 or newer, for the SQL read models and the history."`
	Elasticsearch Elasticsearch `title:"Elasticsearch" about:"Elasticsearch 8, for search."`
	Topology      Topology      `title:"Topics" about:"Used when 'cqrsflow topology apply' makes the topics. Partition counts are recorded and cannot change afterwards."`
	Processor     Processor     `title:"Command processor" about:"The role 'command': loads, decides, appends."`

	source map[string]Source
}

// General concerns every command.
type General struct {
	Prefix    string `key:"prefix" default:"cqrsflow" format:"prefix" help:"Start of the name of every topic, consumer group, transactional ID and search index."`
	Data      string `key:"data" default:"./.cqrsflow" format:"path" help:"Directory for local data: the command processor's stores and, in dev, the embedded servers."`
	LogLevel  string `key:"log.level" default:"info" dev:"warn" oneof:"debug,info,warn,error" help:"Least severe messages to log."`
	LogFormat string `key:"log.format" default:"auto" oneof:"auto,text,json" help:"How to log: auto is text on a terminal and JSON elsewhere."`
}

// Roles say what a process serves, and where.
type Roles struct {
	Roles   []string `key:"roles" oneof:"command,query,project-sql,project-search,history,react" help:"What this process does."`
	HTTP    string   `key:"http.addr" flag:"http" env:"HTTP" default:"127.0.0.1:8080" format:"listen" help:"Address of the public HTTP API (role query). An empty host listens on all interfaces."`
	From    string   `key:"react.from" flag:"from" dev:"start" oneof:"start,end" help:"Where a reactor begins that has never run (role react): start reacts to everything that ever happened, end only to what happens from now on. Without it, a reactor that has never run refuses to start."`
	MaxBody Size     `key:"http.max_body" default:"1MiB" min:"1KiB" max:"64MiB" help:"Largest request body."`
	// StartWait is 0 where a start that lacks something fails at once.
	StartWait time.Duration `key:"start_wait" default:"0s" min:"0s" max:"24h" help:"How long 'serve' waits at its start for servers that do not answer and topics that are not there; /readyz says what it waits for. 0s: it fails at once."`
	Ops       string        `key:"ops.addr" flag:"ops" default:"127.0.0.1:9080" format:"listen" help:"Address of the operations port: metrics, health, profiles. Never make it public."`
}

// Client says where a client command finds its servers.
type Client struct {
	Server string `key:"server" format:"http" help:"Base URL of the HTTP API, such as http://127.0.0.1:8080."`
	OpsURL string `key:"ops.url" env:"OPS" format:"http" help:"Base URL of the operations port, such as http://127.0.0.1:9080."`
	Token  string `key:"token" flag:"token" secret:"true" help:"Bearer token for the operations port."`
}

// Dev concerns the embedded servers only.
type Dev struct {
	Kafka              string `key:"dev.kafka" flag:"kafka" default:"127.0.0.1:9092" format:"listen" help:"Address of the embedded Kafka."`
	PostgresRepository string `key:"postgres.repository" format:"http" help:"Maven repository from which PostgreSQL's programs are fetched where none are installed."`
}

// Kafka is how to reach the brokers.
type Kafka struct {
	Brokers       []string `key:"kafka.brokers" format:"hostport" roles:"command,query,project-sql,project-search,history,react" help:"Addresses host:port of brokers to start from."`
	ClientID      string   `key:"kafka.client_id" default:"cqrsflow" help:"Client ID in the brokers' logs, metrics and quotas."`
	Compression   string   `key:"kafka.compression" default:"lz4" oneof:"none,snappy,lz4,zstd" help:"Compression of what the processor and the reactor write."`
	TLS           bool     `key:"kafka.tls.enabled" default:"false" help:"Use TLS, with the system's certificate authorities unless a CA file is given."`
	TLSCA         string   `key:"kafka.tls.ca_file" format:"path" help:"PEM file of the certificate authorities to trust."`
	TLSCert       string   `key:"kafka.tls.cert_file" format:"path" help:"PEM file of the client's certificate (mTLS)."`
	TLSKey        string   `key:"kafka.tls.key_file" format:"path" help:"PEM file of the client's key (mTLS)."`
	TLSServerName string   `key:"kafka.tls.server_name" help:"Name that the brokers' certificates must have, where it is not the host's."`
	SASLMechanism string   `key:"kafka.sasl.mechanism" default:"none" oneof:"none,plain,scram-sha-256,scram-sha-512,oauthbearer" help:"How to log in."`
	SASLUsername  string   `key:"kafka.sasl.username" help:"User for plain and scram."`
	SASLPassword  string   `key:"kafka.sasl.password" secret:"true" help:"Password for plain and scram."`
	SASLTokenFile string   `key:"kafka.sasl.token_file" format:"path" help:"File with the token for oauthbearer; read again at every login, so that it can be rotated."`
}

// Postgres is how to reach PostgreSQL.
type Postgres struct {
	URL      string `key:"postgres.url" flag:"postgres-url" secret:"true" format:"postgres" roles:"query,project-sql,history" help:"Connection URL, such as postgres://user:password@host:5432/cqrsflow?sslmode=verify-full."`
	MaxConns int    `key:"postgres.max_conns" default:"16" min:"2" max:"1000" help:"Most connections of this process for queries."`
}

// Elasticsearch is how to reach Elasticsearch.
type Elasticsearch struct {
	URL    []string `key:"elasticsearch.url" format:"http" roles:"query,project-search" help:"Base URLs of nodes."`
	APIKey string   `key:"elasticsearch.api_key" secret:"true" help:"API key, encoded as Elasticsearch gives it out."`
	CA     string   `key:"elasticsearch.ca_file" format:"path" help:"PEM file of the certificate authorities to trust."`
}

// Topology is what 'topology apply' makes.
type Topology struct {
	Partitions       int           `key:"partitions" default:"8" min:"1" max:"10000" help:"Partitions of each topic."`
	Replication      int           `key:"replication" default:"3" dev:"1" min:"-1" max:"10" help:"Replicas of each partition; -1 is the brokers' default."`
	CommandRetention time.Duration `key:"command_retention" default:"720h" dev:"-1s" help:"How long commands and outcomes are kept, at least 24h; negative is for ever. Events are always kept."`
}

// Processor bounds the role command.
type Processor struct {
	Group              string        `key:"processor.group" format:"name" help:"Consumer group; empty is <prefix>.processor."`
	Instance           string        `key:"processor.instance" format:"name" help:"Name of this process in its groups, unlike any other's; empty is the host's name."`
	Static             bool          `key:"processor.static" default:"false" help:"Static membership: a restart within the session timeout keeps its partitions. The instance name must be stable."`
	SessionTimeout     time.Duration `key:"processor.session_timeout" default:"45s" dev:"10s" min:"1s" max:"30m" help:"How long the group waits for a process that went silent before others take its partitions."`
	TransactionTimeout time.Duration `key:"processor.transaction_timeout" default:"10s" min:"1s" max:"15m" help:"How long the brokers let a transaction be open."`
	Workers            int           `key:"processor.workers" flag:"workers" default:"2" min:"1" max:"64" help:"Transactions at a time; each has partitions of its own."`
	BatchRecords       int           `key:"processor.batch_records" default:"5000" min:"1" max:"100000" help:"Most commands in a transaction."`
	SnapshotInterval   int           `key:"processor.snapshot_interval" default:"100" min:"1" max:"1000000" help:"Events of a stream between two local snapshots."`
	RoundEvents        int           `key:"processor.round_events" default:"100000" min:"1" help:"Events of a partition after which its changed streams are written to the snapshots topic."`
	RoundAge           time.Duration `key:"processor.round_age" default:"10m" min:"1s" help:"The same after so long, where there was any event."`
	EventBytes         Size          `key:"processor.event_bytes" default:"900KiB" min:"1KiB" max:"100MiB" help:"Largest event; the brokers' message.max.bytes must allow for it."`
	CacheBytes         Size          `key:"processor.cache_bytes" default:"64MiB" min:"1MiB" max:"1024GiB" help:"Memory for decoded states."`
	StoreCacheBytes    Size          `key:"processor.store_cache_bytes" default:"64MiB" min:"1MiB" max:"1024GiB" help:"Memory for blocks of the local stores."`
}

// Role names, as in the setting "roles".
const (
	RoleCommand       = "command"
	RoleQuery         = "query"
	RoleProjectSQL    = "project-sql"
	RoleProjectSearch = "project-search"
	RoleHistory       = "history"
	RoleReact         = "react"
)
