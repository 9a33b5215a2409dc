package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
)

// Source says where a setting's value came from.
type Source int

// The sources, from weakest to strongest.
const (
	FromDefault Source = iota
	FromDev
	FromFile
	FromEnv
	FromFlag
)

// userinfo is where a URL that is no secret by itself may hold a password.
var userinfo = regexp.MustCompile(`://[^/]*@`)

// Input is what Load reads. The zero Input gives the defaults.
type Input struct {
	// Flags are the raw values of flags that were given, by flag name without dashes.
	Flags map[string]string
	// Environ is as from os.Environ. An empty value counts as not set, as compose files write it.
	Environ []string
	// File is the YAML file that the flag --config named; empty means CQRSFLOW_CONFIG, or none.
	File string
	// Fallback are values by key for what is given nowhere else: where a running `cqrsflow dev` listens.
	Fallback map[string]string
	// Dev chooses the defaults of `cqrsflow dev`.
	Dev bool
}

// Load reads the settings and checks each of them, and those that belong together. What is missing only
// Require knows. Its error joins everything that is wrong and wraps event.ErrConfig.
func Load(in Input) (*Settings, error) {
	p := &problems{}
	// Strongest first.
	layers := []*layer{readFlags(in.Flags, p), readEnv(in.Environ, p), readFile(in.fileName(), p)}
	s := &Settings{source: map[string]Source{}}
	for i := range definitions {
		d := &definitions[i]
		raw, name, from := d.Default, "the default of "+d.Key, FromDefault
		if in.Dev && d.Dev != "" {
			raw = d.Dev
		}
		if v, ok := in.Fallback[d.Key]; ok {
			raw, name, from = v, d.Key+" of the running dev", FromDev
		}
		for n, layer := range layers {
			if v, where, ok := layer.find(d, p); ok {
				raw, name, from = v, where, FromFlag-Source(n)
				break
			}
		}
		s.source[d.Key] = from
		if raw == "" {
			continue
		}
		value, err := d.parse(raw)
		if err != nil {
			if d.Secret {
				raw = "***"
			}
			p.add("%s is %q: it %w", name, userinfo.ReplaceAllString(raw, "://***@"), err)
			continue
		}
		reflect.ValueOf(s).Elem().FieldByIndex(d.index).Set(value)
	}
	if p.errs == nil {
		s.check(p)
	}
	return s, p.join()
}

// Source says where the value of the setting with that key came from.
func (s *Settings) Source(key string) Source { return s.source[key] }

func (in Input) fileName() string {
	if in.File != "" {
		return in.File
	}
	for _, e := range in.Environ {
		if name, ok := strings.CutPrefix(e, EnvPrefix+"CONFIG="); ok {
			return name
		}
	}
	return ""
}

// find returns what the layer says about a setting and where; a secret may stand in a file.
func (l *layer) find(d *Setting, p *problems) (raw, where string, ok bool) {
	raw, ok = l.text(d.Key)
	where = l.name(d, false)
	if !d.Secret {
		return raw, where, ok
	}
	path, inFile := l.text(d.FileKey())
	if !inFile {
		return raw, where, ok
	}
	if ok {
		p.add("both %s and %s are given; one is enough", where, l.name(d, true))
		return "", where, false
	}
	where = l.name(d, true)
	b, err := os.ReadFile(path)
	if err != nil {
		p.add("%s: %w", where, err)
		return "", where, false
	}
	return strings.TrimRight(string(b), "\r\n"), where, true
}

// problems collects everything that is wrong, so that it can be put right in one go.
type problems struct{ errs []error }

func (p *problems) add(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%w: "+format, append([]any{event.ErrConfig}, args...)...))
}

func (p *problems) join() error { return errors.Join(p.errs...) }
