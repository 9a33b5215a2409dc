package record

import "time"

// Names interns what repeats on every record: types, content types, and times. The zero value
// is ready; it is not safe for concurrent use. A nil *Names interns nothing.
type Names struct {
	m map[string]string
	// last is the last time that was read: many records in a row have the same one.
	last     time.Time
	lastText [maxTime]byte
	lastLen  int
}

// time reads a time as it is written in headers.
func (n *Names) time(b []byte) (time.Time, bool) {
	if n != nil && n.lastLen > 0 && string(n.lastText[:n.lastLen]) == string(b) {
		return n.last, true
	}
	t, err := time.Parse(time.RFC3339Nano, view(b))
	if err != nil {
		return time.Time{}, false
	}
	t = t.UTC()
	if n != nil && len(b) <= maxTime {
		n.last, n.lastLen = t, copy(n.lastText[:], b)
	}
	return t, true
}

// internLimit keeps input that invents types from growing the table.
const internLimit = 256

func (n *Names) intern(b []byte) string {
	if n == nil {
		return string(b)
	}
	if s, ok := n.m[string(b)]; ok {
		return s
	}
	s := string(b)
	if n.m == nil {
		n.m = map[string]string{}
	}
	if len(n.m) < internLimit {
		n.m[s] = s
	}
	return s
}
