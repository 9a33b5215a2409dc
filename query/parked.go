package query

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/event"
)

// parkedIn says whether the active version of a projection has set a stream aside.
const parkedIn = `EXISTS (
	SELECT FROM cqrsflow.parked k
	JOIN cqrsflow.projections a ON a.projection = k.projection AND a.active_version = k.version
	WHERE k.projection = %s AND k.stream = %s AND k.aggregate = %s)`

// Parked tells which streams a SQL projection has set aside after a poison event.
type Parked struct{ pool *pgxpool.Pool }

// NewParked reads through the pool.
func NewParked(pool *pgxpool.Pool) *Parked { return &Parked{pool: pool} }

var parkedStreamSQL = "SELECT " + fmt.Sprintf(parkedIn, "$1", "$2", "$3")

// ParkedStream reports whether the projection has set the stream aside: what is read of it is stale.
func (p *Parked) ParkedStream(ctx context.Context, projection, aggregate string, stream event.StreamID) (bool, error) {
	var parked bool
	err := p.pool.QueryRow(ctx, parkedStreamSQL, projection, string(stream), aggregate).Scan(&parked)
	return parked, storeError(ctx, "look for parked events", err)
}
