package httpserver

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Which header trusted proxies say it in, where a request came from.
const (
	XForwardedFor = "x-forwarded-for"
	Forwarded     = "forwarded"
)

// Proxies are those that are believed when they say where a request came from. The zero value believes nobody.
type Proxies struct {
	// Trusted are their addresses.
	Trusted []netip.Prefix
	// By is the header in which they say it, XForwardedFor or Forwarded.
	By string
}

// SourceOf is the address that a request came from: the connection's, or what a trusted proxy says. Of a chain of proxies it is the
// last one that is not trusted; what stands before it, its client may have made up. The zero Addr where it is unknown.
func (p *Proxies) SourceOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap()
	if !p.trusts(addr) {
		return addr
	}
	for _, hop := range slices.Backward(p.hops(r.Header)) {
		next, err := parseHop(hop)
		if err != nil {
			return addr // a proxy that says nothing readable speaks for itself
		}
		if addr = next; !p.trusts(addr) {
			return addr
		}
	}
	return addr
}

func (p *Proxies) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p.Trusted, func(n netip.Prefix) bool { return n.Contains(a) })
}

// hops lists those of the header, the nearest last. The other header is not looked at: a proxy that does not know it hands on what
// its client wrote there.
func (p *Proxies) hops(h http.Header) []string {
	var hops []string
	if p.By == XForwardedFor {
		for part := range strings.SplitSeq(strings.Join(h.Values("X-Forwarded-For"), ","), ",") {
			hops = append(hops, strings.TrimSpace(part))
		}
		return hops
	}
	for part := range strings.SplitSeq(strings.Join(h.Values("Forwarded"), ","), ",") { // RFC 7239
		hop := ""
		for pair := range strings.SplitSeq(part, ";") {
			if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, "for") {
				hop = strings.Trim(value, `"`)
			}
		}
		hops = append(hops, hop)
	}
	return hops
}

// parseHop reads an address, with a port or not, IPv6 in brackets or not.
func parseHop(s string) (netip.Addr, error) {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().Unmap(), nil
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap(), err
}
