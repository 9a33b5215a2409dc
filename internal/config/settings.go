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
	Identity      Identity      `title:"Users" about:"The role 'identity': users log in. 'cqrsflow dev' makes the keys in its data directory and puts mails into its outbox."`
	Gateway       Gateway       `title:"Gateway" about:"The role 'gateway', the one public door: docs/gateway.md. 'cqrsflow dev' has it, before roles in its own process."`
	Telemetry     Telemetry     `title:"Traces" about:"OpenTelemetry: one trace from a request over its command and events to rows and documents. Off unless there is somewhere to send them."`
	Topology      Topology      `title:"Topics" about:"Used when 'cqrsflow topology apply' makes the topics. Partition counts are recorded and cannot change afterwards."`
	Principals    Principals    `title:"Principals" about:"Who asks for a command, and the proof of it: docs/policies.md."`
	Policies      Policies      `title:"Policies" about:"Who may do what: docs/policies.md."`
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
	Roles   []string `key:"roles" oneof:"command,query,project-sql,project-search,history,react,identity,gateway" help:"What this process does."`
	HTTP    string   `key:"http.addr" flag:"http" env:"HTTP" default:"127.0.0.1:8080" format:"listen" help:"Address of the public HTTP API (roles gateway, query and identity). An empty host listens on all interfaces."`
	TLSCert string   `key:"http.tls.cert_file" format:"path" help:"PEM file of the certificate, with its chain, for the public HTTP API. Without it there is no TLS. It is read again when it changes."`
	TLSKey  string   `key:"http.tls.key_file" format:"path" help:"PEM file of its key."`
	H2C     bool     `key:"http.h2c" default:"false" help:"Take HTTP/2 without TLS there, too, from clients that begin with it. With TLS there always is HTTP/2."`
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
	Token  string `key:"token" flag:"token" secret:"true" help:"The operator's bearer token, for the operations port and, as service:cli, for the HTTP API: at least 16 characters."`
}

// Dev concerns the embedded servers only.
type Dev struct {
	Kafka              string `key:"dev.kafka" flag:"kafka" default:"127.0.0.1:9092" format:"listen" help:"Address of the embedded Kafka."`
	Password           string `key:"dev.password" secret:"true" help:"Password of the sample users admin@example.com, clerk@…, auditor@… and customer@…, where they are not there yet. Without it one is made, and printed once."`
	PostgresRepository string `key:"postgres.repository" format:"http" help:"Maven repository from which PostgreSQL's programs are fetched where none are installed."`
}

// Kafka is how to reach the brokers.
type Kafka struct {
	Brokers       []string `key:"kafka.brokers" format:"hostport" roles:"command,query,project-sql,project-search,history,react,identity,gateway" help:"Addresses host:port of brokers to start from."`
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
	URL      string `key:"postgres.url" flag:"postgres-url" secret:"true" format:"postgres" roles:"query,project-sql,history,identity" help:"Connection URL, such as postgres://user:password@host:5432/cqrsflow?sslmode=verify-full."`
	MaxConns int    `key:"postgres.max_conns" default:"16" min:"2" max:"1000" help:"Most connections of this process for queries."`
}

// Elasticsearch is how to reach Elasticsearch.
type Elasticsearch struct {
	URL    []string `key:"elasticsearch.url" format:"http" roles:"query,project-search" help:"Base URLs of nodes."`
	APIKey string   `key:"elasticsearch.api_key" secret:"true" help:"API key, encoded as Elasticsearch gives it out."`
	CA     string   `key:"elasticsearch.ca_file" format:"path" help:"PEM file of the certificate authorities to trust."`
}

// Identity is how users log in.
type Identity struct {
	Issuer         string        `key:"identity.issuer" dev:"https://dev.cqrsflow.invalid" format:"http" roles:"identity" help:"Issuer (iss) of access tokens, a URL such as https://shop.example. It never changes."`
	Audience       string        `key:"identity.audience" default:"cqrsflow" help:"Audience (aud) of access tokens."`
	PublicURL      string        `key:"identity.public_url" format:"http" roles:"identity" help:"Where links in mails lead, such as https://shop.example. In dev it is the HTTP address."`
	Product        string        `key:"identity.product" default:"cqrsflow" help:"Name by which people know the service, in mails and authenticator apps."`
	TokenKeys      string        `key:"identity.token_keys" format:"path" roles:"identity" help:"Folder of the Ed25519 keys that sign access tokens, as PEM files; the greatest name signs, <name>.next.pem only verifies. It is read again every 10s."`
	JWKS           string        `key:"identity.jwks_url" format:"http" help:"Where the roles gateway and query fetch the public keys of access tokens, such as https://shop.example/.well-known/jwks.json. Beside the role identity it is not needed."`
	KEKs           string        `key:"identity.keks" secret:"true" format:"keys" roles:"identity" help:"Key-encryption keys of the users' keys, as <id>:<base64 of 32 bytes>, … The first wraps new keys."`
	IndexKey       string        `key:"identity.index_key" secret:"true" format:"key" roles:"identity" help:"Key under which e-mail and network addresses have names, and recovery codes hashes: 32 bytes in base64. It never changes."`
	TrustedProxies []string      `key:"identity.trusted_proxies" format:"network" help:"Addresses or networks, such as 10.0.0.0/8, of proxies that are believed when they say where a request came from."`
	ForwardedBy    string        `key:"identity.forwarded_by" default:"x-forwarded-for" oneof:"x-forwarded-for,forwarded" help:"Header in which trusted proxies say it. They must replace or extend it whatever a client sends."`
	Hashing        int           `key:"identity.hashing" default:"2" min:"1" max:"64" help:"Passwords hashed at a time; each takes a core and the memory. Eight times as many wait, more are refused."`
	HashMemory     Size          `key:"identity.hash_memory" default:"19MiB" min:"19MiB" max:"1GiB" help:"Memory of argon2id."`
	HashPasses     int           `key:"identity.hash_passes" default:"2" min:"2" max:"64" help:"Passes of argon2id. A hash of other parameters is replaced when its user logs in."`
	Lifetime       time.Duration `key:"identity.session_lifetime" default:"24h" min:"1m" max:"24h" help:"How long a session lasts at most."`
	Idle           time.Duration `key:"identity.session_idle" default:"1h" min:"1m" max:"1h" help:"How long a session lasts without being refreshed."`
	SecondFactor   bool          `key:"identity.second_factor" default:"true" dev:"false" help:"Whether users whose roles demand a second factor have them only in sessions with one."`
	MailFrom       string        `key:"identity.mail_from" dev:"cqrsflow dev <dev@example.com>" roles:"identity" help:"Sender of mails, such as Shop <shop@example.com>."`
	Outbox         string        `key:"identity.outbox" format:"path" help:"Folder into which mails are written instead of being sent, one file each."`
	SMTPAddr       string        `key:"identity.smtp.addr" format:"hostport" help:"SMTP server, host:port."`
	SMTPUsername   string        `key:"identity.smtp.username" help:"User to log in with there; empty logs nobody in."`
	SMTPPassword   string        `key:"identity.smtp.password" secret:"true" help:"Password to log in with."`
	SMTPEncryption string        `key:"identity.smtp.encryption" default:"starttls" oneof:"starttls,tls,none" help:"Encryption; none for a server on this host only."`
}

// Telemetry is where traces go.
type Telemetry struct {
	Endpoint string `key:"telemetry.otlp" format:"http" help:"Base URL of a collector that takes OTLP over HTTP, such as http://collector:4318. Without it there are no traces. Headers that it wants are given in OTEL_EXPORTER_OTLP_HEADERS."`
	Percent  int    `key:"telemetry.sample" default:"10" dev:"100" min:"1" max:"100" help:"Percentage of the traces that begin here. One that a caller began is sampled as the caller says."`
}

// Gateway is the one public door.
type Gateway struct {
	Routes         string   `key:"gateway.routes" format:"path" help:"YAML file of routes, over those that are built in."`
	API            []string `key:"gateway.api" format:"http" help:"Base URLs of processes with the role query, such as http://10.0.0.7:8080, where this one has not."`
	Identity       []string `key:"gateway.identity" format:"http" help:"Base URLs of processes with the role identity, where this one has not."`
	BackendOps     int      `key:"gateway.backend_ops" default:"0" min:"0" max:"65535" help:"Operations port of those processes, whose /readyz is asked every 2s; 0 asks nobody."`
	TrustedProxies []string `key:"gateway.trusted_proxies" format:"network" help:"Addresses or networks, such as 10.0.0.0/8, of proxies before the gateway that are believed when they say where a request came from."`
	ForwardedBy    string   `key:"gateway.forwarded_by" default:"x-forwarded-for" oneof:"x-forwarded-for,forwarded" help:"Header in which trusted proxies say it. They must replace or extend it whatever a client sends."`
	Limits         string   `key:"gateway.limits" default:"local" oneof:"off,local,shared" help:"Who counts requests against the limits of routes: each gateway by itself, or all together, in PostgreSQL."`
	LimitsOptional bool     `key:"gateway.limits_optional" default:"false" help:"Let requests pass that cannot be counted because PostgreSQL does not answer. Without it they are refused."`
	Origins        []string `key:"gateway.origins" format:"http" help:"Sites such as https://shop.example whose pages may read answers and change things (CORS)."`
}

// Topology is what 'topology apply' makes.
type Topology struct {
	Partitions       int           `key:"partitions" default:"8" min:"1" max:"10000" help:"Partitions of each topic."`
	Replication      int           `key:"replication" default:"3" dev:"1" min:"-1" max:"10" help:"Replicas of each partition; -1 is the brokers' default."`
	CommandRetention time.Duration `key:"command_retention" default:"720h" dev:"-1s" help:"How long commands and outcomes are kept, at least 24h; negative is for ever. Events are always kept."`
}

// Principals are who asks.
type Principals struct {
	Keys     string `key:"principal.keys" secret:"true" help:"Keys that sign who asks, and prove it to the command processor: <id>:<base64 of at least 32 bytes>, …, the current one first. Without any, nobody is told from another and every command is anonymous."`
	Unproven string `key:"principal.unproven" default:"deny" oneof:"deny,anonymous" help:"What becomes of a command whose signature has expired, or does not fit: it is denied, or counts as unsigned."`
}

// Policies are who may do what.
type Policies struct {
	Mode           string        `key:"policy.mode" default:"off" dev:"enforce" oneof:"off,enforce" help:"Whether policies are asked before a command is decided and a query is answered. Off, everybody who has a token may do everything."`
	Dir            string        `key:"policy.dir" format:"path" help:"Folder of Cedar policies, *.cedar; without it, those that are built in. Changes are seen while it runs."`
	Reload         time.Duration `key:"policy.reload" default:"5s" min:"100ms" max:"1h" help:"How often the folder is looked at."`
	AnonymousRoles []string      `key:"policy.anonymous_roles" help:"Roles of who has not signed. Without any, only a policy that is about Anonymous permits them anything."`
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
	RoleIdentity      = "identity"
	RoleGateway       = "gateway"
)
