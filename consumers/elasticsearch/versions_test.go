package elasticsearch

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
)

// Another process has made the index of the registry a moment ago: it cannot be read yet.
func TestRegistryThatIsBeingMade(t *testing.T) {
	f := newFake(t)
	var refused atomic.Int64
	f.intercept = func(w http.ResponseWriter, r *http.Request, _ func()) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/_doc/versions") || refused.Add(1) > 3 {
			return false
		}
		status, body := failure(503, "no_shard_available_action_exception")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
		return true
	}
	v, err := NewVersions(f.sink().cfg)
	require.NoError(t, err)
	require.NoError(t, v.Open(t.Context()))
	all, err := v.Versions(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, rebuild.Active, all[0].State)
	require.Greater(t, refused.Load(), int64(3))
}
