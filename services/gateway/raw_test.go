package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// rawRequest writes bytes to a connection and reads the first answer.
func rawRequest(t *testing.T, addr, text string) got {
	t.Helper()
	g, err := rawTry(t, addr, text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return g
}

func rawTry(t *testing.T, addr, text string) (got, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return got{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		return got{}, err
	}
	return readAnswer(bufio.NewReader(conn))
}

func readAnswer(r *bufio.Reader) (got, error) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return got{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, body}, err
}
