package config

import (
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

func TestDocs(t *testing.T) {
	const path = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(path, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Markdown() {
		t.Errorf("docs/configuration.md is not what internal/config says: run go test ./internal/config -update")
	}
}

// Every definition has a default of its own type and within its own bounds, and no two share a name.
func TestDefinitions(t *testing.T) {
	seen := map[string]string{"config": "config"}
	once := func(name, key string) {
		if name == "" {
			return
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%s is %s and %s", name, other, key)
		}
		seen[name] = key
	}
	for _, d := range Definitions() {
		once(d.Key, d.Key)
		if d.Flag != d.Key {
			once(d.Flag, d.Key)
		}
		once(d.Env, d.Key)
		once(d.FileKey(), d.Key)
		once(d.FileEnv(), d.Key)
		once(d.FileFlag(), d.Key)
		for _, def := range []string{d.Default, d.Dev} {
			if def == "" {
				continue
			}
			if _, err := d.parse(def); err != nil {
				t.Errorf("%s: the default %s %v", d.Key, def, err)
			}
		}
		if d.Format != "" && formats[d.Format] == nil {
			t.Errorf("%s: no format %s", d.Key, d.Format)
		}
		if slices.Contains([]string{"", "."}, d.Help) || !strings.HasSuffix(d.Help, ".") {
			t.Errorf("%s: the help %q is no sentence", d.Key, d.Help)
		}
		if slices.ContainsFunc(Definitions(), func(o Setting) bool { return strings.HasPrefix(o.Key, d.Key+".") }) {
			t.Errorf("%s is both a value and a level", d.Key)
		}
	}
}

func TestFlags(t *testing.T) {
	f := NewFlags([]string{"Kafka", "Postgres"}, "kafka.client_id")
	v := reflect.ValueOf(f.Struct).Elem()
	names := map[string]int{}
	for i := range v.NumField() {
		names[v.Type().Field(i).Tag.Get("name")] = i
	}
	for _, n := range []string{"config", "kafka-brokers", "kafka-sasl-password-file", "postgres-url", "postgres-url-file"} {
		if _, ok := names[n]; !ok {
			t.Errorf("no flag --%s", n)
		}
	}
	for _, n := range []string{"kafka-sasl-password", "kafka-client-id", "http"} {
		if _, ok := names[n]; ok {
			t.Errorf("there is a flag --%s", n)
		}
	}
	brokers, file := "a:1", "x.yaml"
	v.Field(names["kafka-brokers"]).Set(reflect.ValueOf(&brokers))
	v.Field(names["config"]).Set(reflect.ValueOf(&file))
	on := true
	v.Field(names["kafka-tls-enabled"]).Set(reflect.ValueOf(&on))
	flags, config := f.Given()
	if config != file || len(flags) != 2 || flags["kafka-tls-enabled"] != "true" || flags["kafka-brokers"] != brokers {
		t.Errorf("given: %v, %q", flags, config)
	}
}
