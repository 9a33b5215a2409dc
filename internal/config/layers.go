package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// layer is one source's values by key, and what that source calls a setting.
type layer struct {
	k    *koanf.Koanf
	name func(d *Setting, file bool) string
}

// text returns a value as a flag would have given it.
func (l *layer) text(key string) (string, bool) {
	switch v := l.k.Get(key).(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = fmt.Sprint(v[i])
		}
		return strings.Join(parts, ","), true
	default:
		return fmt.Sprint(v), true
	}
}

func readFlags(flags map[string]string, p *problems) *layer {
	l := &layer{k: koanf.New("."), name: func(d *Setting, file bool) string {
		if file {
			return "--" + d.FileFlag()
		}
		return "--" + d.Flag
	}}
	set := func(key, value string) {
		if err := l.k.Set(key, value); err != nil {
			p.add("flag for %s: %w", key, err)
		}
	}
	for i := range definitions {
		d := &definitions[i]
		if v, ok := flags[d.Flag]; ok && d.Flag != "" {
			set(d.Key, v)
		}
		if v, ok := flags[d.FileFlag()]; ok && d.Secret {
			set(d.FileKey(), v)
		}
	}
	return l
}

// otherEnv are variables that start with EnvPrefix and are no settings: the first names the YAML file, the
// rest belong to the tests.
var otherEnv = []string{"CONFIG", "INTEGRATION", "KAFKA_IMAGE", "POSTGRES_IMAGE", "ELASTICSEARCH_IMAGE"}

// serviceLinks matches the variables that Kubernetes and Docker set by themselves in every container beside a
// service that is called cqrsflow or cqrsflow-…; they must not stop a process.
var serviceLinks = regexp.MustCompile(`(^|_)(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func readEnv(environ []string, p *problems) *layer {
	keys := map[string]string{}
	for i := range definitions {
		d := &definitions[i]
		keys[d.Env] = d.Key
		if d.Secret {
			keys[d.FileEnv()] = d.FileKey()
		}
	}
	names := slices.Sorted(maps.Keys(keys))
	l := &layer{k: koanf.New("."), name: func(d *Setting, file bool) string {
		if file {
			return d.FileEnv()
		}
		return d.Env
	}}
	err := l.k.Load(env.Provider(".", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			key, ok := keys[name]
			short := strings.TrimPrefix(name, EnvPrefix)
			switch {
			case ok && value != "":
				return key, value
			case ok, slices.Contains(otherEnv, short), serviceLinks.MatchString(short):
				return "", nil
			}
			p.add("the environment variable %s is no setting%s", name, didYouMean(name, names))
			return "", nil
		},
	}), nil)
	if err != nil {
		p.add("environment: %w", err)
	}
	return l
}

func readFile(path string, p *problems) *layer {
	l := &layer{k: koanf.New("."), name: func(d *Setting, file bool) string {
		key := d.Key
		if file {
			key = d.FileKey()
		}
		return key + " in " + path
	}}
	if path == "" {
		return l
	}
	if err := l.k.Load(file.Provider(path), yaml.Parser()); err != nil {
		p.add("the file %s: %w", path, err)
		return l
	}
	var known []string
	for i := range definitions {
		known = append(known, definitions[i].Key)
		if definitions[i].Secret {
			known = append(known, definitions[i].FileKey())
		}
	}
	for _, key := range slices.Sorted(slices.Values(l.k.Keys())) {
		if slices.Contains(known, key) {
			if reflect.ValueOf(l.k.Get(key)).Kind() == reflect.Map {
				p.add("%s in %s is a map; it must be a value", key, path)
			}
			continue
		}
		if isEmpty(l.k.Get(key)) && slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, key+".") }) {
			continue // "kafka:" with everything below it commented out
		}
		p.add("the key %s in %s is no setting%s", key, path, didYouMean(key, known))
	}
	return l
}

func isEmpty(v any) bool {
	m, ok := v.(map[string]any)
	return v == nil || ok && len(m) == 0
}

func didYouMean(s string, candidates []string) string {
	if near := nearest(s, candidates); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}
