package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// formats are the checks that the tag `format` names. Their errors say what the value must be.
var formats = map[string]func(string) error{
	"prefix":   pattern(`^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$`, "1 to 60 letters, digits, dots, dashes and underscores, starting with a letter or digit"),
	"name":     pattern(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`, "1 to 128 letters, digits, dots, dashes and underscores, starting with a letter or digit"),
	"path":     func(s string) error { return refuse(strings.ContainsRune(s, 0), "a path") },
	"listen":   func(s string) error { return hostport(s, true) },
	"hostport": func(s string) error { return hostport(s, false) },
	"keys":     func(s string) error { _, err := secret.ParseKeys(s); return wrong(err) },
	"key":      func(s string) error { _, err := secret.ParseKey(s); return wrong(err) },
	"network":  func(s string) error { _, err := ParseNetwork(s); return err },
	"http":     func(s string) error { return scheme(s, "http", "https") },
	"postgres": func(s string) error { return scheme(s, "postgres", "postgresql") },
}

// wrong is what is wrong with a secret; the error does not quote it.
func wrong(err error) error {
	if err != nil {
		return fmt.Errorf("is not right: %w", err)
	}
	return nil
}

// ParseNetwork reads a network such as 10.0.0.0/8, or an address, which is a network of one.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("must be an address or a network such as 10.0.0.0/8, without bits beyond its length")
	}
	return p, nil
}

func refuse(bad bool, want string) error {
	if bad {
		return fmt.Errorf("must be %s", want)
	}
	return nil
}

func pattern(re, want string) func(string) error {
	r := regexp.MustCompile(re)
	return func(s string) error { return refuse(!r.MatchString(s), want) }
}

// hostport checks an address. To listen, the host may be missing (all interfaces) and the port 0 (any free one).
func hostport(s string, listen bool) error {
	const want = "host:port, such as 127.0.0.1:9092, with a port from "
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.Atoi(port)
	least := 1
	if listen {
		least = 0
	}
	bad := err != nil || perr != nil || n < least || n > 65535 || (host == "" && !listen) || strings.ContainsAny(host, " /@")
	return refuse(bad, want+strconv.Itoa(least)+" to 65535")
}

func scheme(s string, allowed ...string) error {
	u, err := url.Parse(s)
	ok := err == nil && u.Host != ""
	if ok {
		ok = false
		for _, a := range allowed {
			ok = ok || u.Scheme == a
		}
	}
	// postgres:///db?host=/run/postgresql has no host in its authority.
	if err == nil && !ok && allowed[0] == "postgres" && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		ok = u.Query().Get("host") != ""
	}
	return refuse(!ok, "a URL that starts with "+strings.Join(allowed, ":// or ")+"://")
}
