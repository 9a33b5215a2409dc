package elastic

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/event"
)

// A node whose certificate an authority of one's own has signed is trusted with that authority, and not without.
func TestCA(t *testing.T) {
	node := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		_, _ = w.Write([]byte("{}"))
	}))
	defer node.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: node.Certificate().Raw})
	ask := func(ca []byte) error {
		c, err := Connect(Config{URLs: []string{node.URL}, CA: ca})
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Do(t.Context(), http.MethodGet, "/", JSON, nil, nil)
	}
	if err := ask(ca); err != nil {
		t.Error(err)
	}
	if err := ask(nil); !errors.Is(err, event.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the authority: %v", err)
	}
	if err := ask([]byte("no PEM")); !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), "elasticsearch.ca_file") {
		t.Errorf("no authority: %v", err)
	}
}
