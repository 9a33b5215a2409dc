package shop

import (
	"embed"
	"io/fs"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
)

//go:embed migrations
var migrations embed.FS

func files(schema string) fs.FS {
	sub, err := fs.Sub(migrations, "migrations/"+schema)
	if err != nil {
		panic(err) // the name is a constant of this package
	}
	return sub
}

// Projections are the current versions of the reference read models.
func Projections() []postgres.Projection {
	return []postgres.Projection{
		{Model: Orders{}, Aggregates: []string{"order"}},
		{Model: Customers{}, Aggregates: []string{"customer"}},
		{Model: DailySales{}, Aggregates: []string{"order"}, Wants: map[string][]string{"order": {"order.v1.OrderPaid"}}},
	}
}
