package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Flags are command-line flags for some groups of settings, made from their definitions: a pointer to a
// struct, for the parser (kong) to fill, with a *string (*bool) a flag and tags for its help.
type Flags struct {
	// Struct is what the parser embeds.
	Struct any
	names  []string
}

// NewFlags makes flags for the settings of those groups; the flag --config is always there. except names
// keys to leave out.
func NewFlags(groupNames []string, except ...string) *Flags {
	f := &Flags{}
	var fields []reflect.StructField
	add := func(flag, help, group, env string, typ reflect.Type) {
		tag := fmt.Sprintf(`name:%q help:%q group:%q placeholder:%q`, flag, escape(help+" ["+env+"]"), group, placeholder(flag))
		fields = append(fields, reflect.StructField{
			Name: "F" + strconv.Itoa(len(fields)), Type: typ, Tag: reflect.StructTag(tag)})
		f.names = append(f.names, flag)
	}
	text := reflect.TypeFor[*string]()
	add("config", "YAML file with settings.", "", EnvPrefix+"CONFIG", text)
	for _, g := range groups {
		if !slices.Contains(groupNames, g.Name) {
			continue
		}
		for i := range definitions {
			d := &definitions[i]
			if d.Group != g.Name || slices.Contains(except, d.Key) {
				continue
			}
			if d.Flag != "" {
				typ := text
				if d.typ.Kind() == reflect.Bool {
					typ = reflect.TypeFor[*bool]() // so that the flag stands alone
				}
				add(d.Flag, d.Help+d.facts(slices.Contains(groupNames, "Dev")), g.Title, d.Env, typ)
			}
			if d.Secret {
				add(d.FileFlag(), "File with: "+d.Help, g.Title, d.FileEnv(), text)
			}
		}
	}
	f.Struct = reflect.New(reflect.StructOf(fields)).Interface()
	return f
}

// Given returns the values of the flags that were given, by name, and the file that --config named.
func (f *Flags) Given() (flags map[string]string, file string) {
	flags = map[string]string{}
	v := reflect.ValueOf(f.Struct).Elem()
	for i, name := range f.names {
		if p := v.Field(i); !p.IsNil() {
			flags[name] = fmt.Sprint(p.Elem().Interface())
		}
	}
	file = flags["config"]
	delete(flags, "config")
	return flags, file
}

// facts are a setting's default and bounds, for its help.
func (s *Setting) facts(dev bool) string {
	var facts []string
	if s.OneOf != nil {
		facts = append(facts, "one of "+strings.Join(s.OneOf, ", "))
	}
	if b := s.bounds(); b != "" {
		facts = append(facts, strings.TrimSpace(b))
	}
	def := s.Default
	if dev && s.Dev != "" {
		def = s.Dev
	}
	if def != "" {
		facts = append(facts, "default "+def)
	}
	if facts == nil {
		return ""
	}
	return " (" + strings.Join(facts, "; ") + ")"
}

func placeholder(flag string) string {
	parts := strings.Split(flag, "-")
	return strings.ToUpper(parts[len(parts)-1])
}

// escape keeps kong from interpolating.
func escape(s string) string { return strings.ReplaceAll(s, "$", "$$") }
