package httpserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running starts a server; the returned function stops it and returns what Run returned.
func running(t *testing.T, cfg Config) (url string, stop func() error) {
	t.Helper()
	cfg.Addr = "127.0.0.1:0"
	s, err := Listen(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return "http://" + s.Addr(), func() error { cancel(); return <-done }
}

func get(t *testing.T, url string) (int, string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

func TestStopLetsRequestsFinish(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	url, stop := running(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		if err := r.Context().Err(); err != nil {
			t.Errorf("the request's context has ended: %v", err)
		}
		_, _ = io.WriteString(w, "done")
	})})
	answered := make(chan string, 1)
	go func() {
		_, body, err := get(t, url)
		if err != nil {
			body = err.Error()
		}
		answered <- body
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	refused(t, strings.TrimPrefix(url, "http://"))
	close(release)
	if body := <-answered; body != "done" {
		t.Errorf("the answer is %q", body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// refused waits until the address takes no connection.
func refused(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		_ = c.Close()
	}
	t.Fatal("the server still takes connections")
}

func TestStopEndsRequestsAfterGrace(t *testing.T) {
	entered := make(chan struct{})
	url, stop := running(t, Config{Grace: time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		w.WriteHeader(http.StatusGatewayTimeout)
	})})
	answered := make(chan int, 1)
	go func() {
		status, _, _ := get(t, url)
		answered <- status
	}()
	<-entered
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if status := <-answered; status != http.StatusGatewayTimeout {
		t.Errorf("the status is %d", status)
	}
}

func TestSlowHeaderIsCutOff(t *testing.T) {
	url, stop := running(t, Config{HeaderTimeout: 20 * time.Millisecond, Handler: http.NotFoundHandler()})
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the connection is not closed: %v", err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Listen(t.Context(), Config{Handler: http.NotFoundHandler(), Addr: l.Addr().String(), Flag: "--http"})
	if !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "--http") {
		t.Errorf("the error is %v", err)
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"nothing":  {},
		"no host":  {Handler: http.NotFoundHandler(), Addr: "nowhere"},
		"negative": {Handler: http.NotFoundHandler(), Addr: "127.0.0.1:0", Grace: -1},
	} {
		if s, err := Listen(t.Context(), cfg); !errors.Is(err, event.ErrConfig) {
			t.Errorf("%s: %v", name, err)
			if s != nil {
				_ = s.Close()
			}
		}
	}
}
