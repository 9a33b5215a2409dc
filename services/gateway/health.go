package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// watch asks the addresses of a backend whether they are ready, until the context ends.
func (b *backend) watch(ctx context.Context, changed func(backend, address, state string)) {
	if b.Health.Port == 0 || len(b.endpoints) == 0 {
		return
	}
	client := &http.Client{Timeout: b.Health.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(b.Health.Every)
	defer tick.Stop()
	for {
		var asked sync.WaitGroup
		for _, e := range b.endpoints {
			asked.Go(func() {
				ready := e.ready(ctx, client, &b.Health)
				if ctx.Err() == nil && e.unready.Swap(!ready) == ready {
					changed(b.Name, e.url.String(), map[bool]string{true: "ready", false: "not ready"}[ready])
				}
			})
		}
		asked.Wait()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *endpoint) ready(ctx context.Context, client *http.Client, h *Health) bool {
	url := "http://" + net.JoinHostPort(e.url.Hostname(), strconv.Itoa(h.Port)) + h.Path
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(r)
	if err != nil {
		return false
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
	return resp.StatusCode/100 == 2
}
