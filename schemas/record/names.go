package record

// Names interns the few strings that repeat on every record: types and content types. The zero value
// is ready; it is not safe for concurrent use. A nil *Names interns nothing.
type Names struct{ m map[string]string }

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
