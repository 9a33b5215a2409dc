package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. Its text form takes the units KiB, MiB and GiB; without one it is bytes.
type Size int64

var units = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// ParseSize reads the text form.
func ParseSize(s string) (Size, error) {
	number, unit := s, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("must be a size such as 512KiB, 4MiB or 1GiB")
	}
	return Size(n * unit), nil
}

// String returns the shortest exact text form.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && int64(s)%u.size == 0 {
			return strconv.FormatInt(int64(s)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// parse reads a value of the setting's type and checks its bounds. Its errors say what the value must be
// and never repeat it.
func (s *Setting) parse(raw string) (reflect.Value, error) {
	v := reflect.New(s.typ).Elem()
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = raw
		return v, s.checkText(raw)
	case *[]string:
		for _, part := range strings.Split(raw, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			if err := s.checkText(part); err != nil {
				return v, err
			}
			if !slices.Contains(*p, part) {
				*p = append(*p, part)
			}
		}
		return v, nil
	case *bool:
		b, err := strconv.ParseBool(raw)
		if err != nil {
			return v, fmt.Errorf("must be true or false")
		}
		*p = b
		return v, nil
	case *int:
		n, err := strconv.Atoi(raw)
		if err != nil {
			return v, fmt.Errorf("must be a whole number%s", s.bounds())
		}
		*p = n
		return v, s.checkBounds(int64(n), func(b string) (int64, error) { return strconv.ParseInt(b, 10, 64) })
	case *time.Duration:
		d, err := time.ParseDuration(raw)
		if err != nil {
			return v, fmt.Errorf("must be a duration such as 500ms, 10s or 24h%s", s.bounds())
		}
		*p = d
		return v, s.checkBounds(int64(d), func(b string) (int64, error) {
			d, err := time.ParseDuration(b)
			return int64(d), err
		})
	case *Size:
		n, err := ParseSize(raw)
		if err != nil {
			return v, err
		}
		*p = n
		return v, s.checkBounds(int64(n), func(b string) (int64, error) {
			n, err := ParseSize(b)
			return int64(n), err
		})
	}
	panic(fmt.Sprintf("config: no parser for %s of %s", s.typ, s.Key))
}

func (s *Setting) checkText(v string) error {
	if v == "" {
		return nil
	}
	if s.OneOf != nil && !slices.Contains(s.OneOf, v) {
		hint := ""
		if near := nearest(v, s.OneOf); near != "" {
			hint = fmt.Sprintf(" (did you mean %s?)", near)
		}
		return fmt.Errorf("must be one of %s%s", strings.Join(s.OneOf, ", "), hint)
	}
	if s.Format != "" {
		return formats[s.Format](v)
	}
	return nil
}

func (s *Setting) checkBounds(n int64, parse func(string) (int64, error)) error {
	outside := func(bound string, beyond func(n, bound int64) bool) bool {
		if bound == "" {
			return false
		}
		b, err := parse(bound)
		return err != nil || beyond(n, b)
	}
	if outside(s.Min, func(n, b int64) bool { return n < b }) || outside(s.Max, func(n, b int64) bool { return n > b }) {
		return fmt.Errorf("must be%s", s.bounds())
	}
	return nil
}

// bounds reads " from 1 to 8", " at least 1", or nothing.
func (s *Setting) bounds() string {
	switch {
	case s.Min != "" && s.Max != "":
		return fmt.Sprintf(" from %s to %s", s.Min, s.Max)
	case s.Min != "":
		return " at least " + s.Min
	case s.Max != "":
		return " at most " + s.Max
	}
	return ""
}
