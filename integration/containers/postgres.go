package containers

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

const postgresName = "PostgreSQL"

// PostgresServer is a PostgreSQL with the empty database "cqrsflow" and a superuser of that name.
type PostgresServer struct {
	*Server
	URL string // for pgx
}

// Postgres returns a PostgreSQL for the test.
func Postgres(t testing.TB, opts ...Option) *PostgresServer {
	t.Helper()
	s := obtain(t, postgresSpec(), opts)
	return &PostgresServer{Server: s, URL: postgresURL(s.hostPort)}
}

func postgresURL(hostPort string) string {
	return "postgres://cqrsflow:cqrsflow@" + hostPort + "/cqrsflow?sslmode=disable"
}

func postgresSpec() *spec {
	return &spec{
		name: postgresName, image: "postgres:18", imageEnv: "CQRSFLOW_POSTGRES_IMAGE", port: 5432,
		env: map[string]string{"POSTGRES_USER": "cqrsflow", "POSTGRES_PASSWORD": "cqrsflow", "POSTGRES_DB": "cqrsflow"},
		// A killed server loses nothing by this, only a machine without power would.
		cmd: []string{"postgres", "-c", "fsync=off", "-c", "max_connections=200"},
		// The server of the image's first start, which makes the database, does not listen on TCP.
		ready: func(ctx context.Context, hostPort string) error {
			conn, err := pgx.Connect(ctx, postgresURL(hostPort))
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		},
	}
}
