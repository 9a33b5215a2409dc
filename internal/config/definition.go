package config

import (
	"fmt"
	"reflect"
	"strings"
)

// EnvPrefix starts the name of every environment variable.
const EnvPrefix = "CQRSFLOW_"

// Setting is the definition of one setting, read from the tags of its field.
type Setting struct {
	Group string // name of the Settings field that holds it, such as "Kafka"
	Key   string
	Env   string
	// Flag is empty for a setting without one.
	Flag    string
	Help    string
	Default string
	Dev     string
	Min     string
	Max     string
	OneOf   []string
	Format  string
	Secret  bool
	Roles   []string

	typ   reflect.Type
	index []int
}

// FileKey, FileEnv and FileFlag name the file variant of a secret; empty for others.
func (s *Setting) FileKey() string { return s.file(s.Key, "_file") }

// FileEnv is the environment variable that names the file of a secret.
func (s *Setting) FileEnv() string { return s.file(s.Env, "_FILE") }

// FileFlag is the flag that names the file of a secret.
func (s *Setting) FileFlag() string {
	return s.file(strings.NewReplacer(".", "-", "_", "-").Replace(s.Key), "-file")
}

func (s *Setting) file(name, suffix string) string {
	if !s.Secret {
		return ""
	}
	return name + suffix
}

// Group is a topic of settings.
type Group struct {
	Name  string
	Title string
	About string
}

// Definitions are all settings in the order of Settings, and their groups.
var definitions, groups = define()

// Definitions returns all settings in the order of the documentation.
func Definitions() []Setting { return definitions }

// define panics where tags are incomplete: a mistake of the program, found by its first test.
func define() (all []Setting, gs []Group) {
	root := reflect.TypeFor[Settings]()
	for i := range root.NumField() {
		g := root.Field(i)
		if !g.IsExported() {
			continue
		}
		gs = append(gs, Group{Name: g.Name, Title: g.Tag.Get("title"), About: g.Tag.Get("about")})
		for j := range g.Type.NumField() {
			f := g.Type.Field(j)
			s := Setting{
				Group: g.Name, Key: f.Tag.Get("key"), Help: f.Tag.Get("help"),
				Default: f.Tag.Get("default"), Dev: f.Tag.Get("dev"),
				Min: f.Tag.Get("min"), Max: f.Tag.Get("max"), Format: f.Tag.Get("format"),
				OneOf: list(f.Tag.Get("oneof")), Roles: list(f.Tag.Get("roles")),
				Secret: f.Tag.Get("secret") == "true",
				typ:    f.Type, index: []int{i, j},
			}
			if s.Key == "" || s.Help == "" {
				panic(fmt.Sprintf("config: %s.%s needs the tags key and help", g.Name, f.Name))
			}
			s.Env = EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
			if e := f.Tag.Get("env"); e != "" {
				s.Env = EnvPrefix + e
			}
			s.Flag = strings.NewReplacer(".", "-", "_", "-").Replace(s.Key)
			switch flag, given := f.Tag.Lookup("flag"); {
			case flag == "-", s.Secret && !given:
				s.Flag = ""
			case given:
				s.Flag = flag
			}
			all = append(all, s)
		}
	}
	return all, gs
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
