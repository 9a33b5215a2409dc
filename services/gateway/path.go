package gateway

import (
	"net/url"
	"strings"
)

// segmentsOf splits the path of a request as it was sent, and decodes what stands between the slashes. Whoever decodes before
// splitting would see another path; so what could be seen in two ways is no path here: "." and ".." however they are written,
// backslashes, and control characters. slash says that a segment has a slash in it, which only some routes take. Two slashes in
// a row make an empty segment, which no route takes.
func segmentsOf(u *url.URL) (segments []string, slash bool, err error) {
	escaped := u.EscapedPath()
	if escaped == "" || escaped[0] != '/' {
		return nil, false, malformed("The path must begin with a slash.")
	}
	segments = strings.Split(escaped[1:], "/")
	for i, s := range segments {
		if strings.IndexByte(s, '%') >= 0 {
			if s, err = url.PathUnescape(s); err != nil {
				return nil, false, malformed("The path has a broken percent-encoding.")
			}
			segments[i] = s
			slash = slash || strings.IndexByte(s, '/') >= 0
		}
		if ambiguous(s) {
			return nil, false, malformed("The path has a part that is not taken: a dot segment, a backslash or a control character.")
		}
	}
	return segments, slash, nil
}

// ambiguous reports whether something between here and a backend may read a segment as something else.
func ambiguous(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f || c == '\\' {
			return true
		}
	}
	for part := range strings.SplitSeq(s, "/") {
		// "..;x" is ".." to servers that know matrix parameters.
		if name, _, _ := strings.Cut(part, ";"); name == "." || name == ".." {
			return true
		}
	}
	return false
}
