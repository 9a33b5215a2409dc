package config

import (
	"fmt"
	"strings"
)

// Markdown is docs/configuration.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Made from internal/config: go test ./internal/config -update -->

Every setting can be given as a flag, as an environment variable, or in a YAML file (` + "`--config FILE` or `CQRSFLOW_CONFIG`" + `).
Flags win over the environment, the environment over the file, the file over the default. An unknown key of the file, an
unknown variable that starts with ` + "`CQRSFLOW_`" + ` and a value out of its bounds are errors; all of them are named at once.

In the file, dots in a key are levels:

` + "```yaml" + `
kafka:
  brokers: [kafka-0:9092, kafka-1:9092]
postgres:
  url_file: /run/secrets/postgres-url
` + "```" + `

Lists are separated by commas in flags and variables. Durations are such as ` + "`500ms`, `10s`, `24h`; sizes such as `512KiB`, `4MiB`" + `.
A secret can be read from a file: its key with ` + "`_file`, its variable with `_FILE`, its flag with `-file`" + `. Secrets are never printed.
A command takes the flags of the settings that it uses; ` + "`cqrsflow COMMAND --help`" + ` lists them.
`)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | flag | variable | default | |\n|---|---|---|---|---|\n", g.Title, g.About)
		for i := range definitions {
			d := &definitions[i]
			if d.Group != g.Name {
				continue
			}
			flag := d.Flag
			if flag == "" {
				flag = d.FileFlag()
			}
			fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s |\n", d.Key, flag, d.Env, d.defaults(), d.notes())
		}
	}
	return b.String()
}

func (s *Setting) defaults() string {
	out := ""
	if s.Default != "" {
		out = "`" + s.Default + "`"
	}
	if s.Dev != "" {
		out += ", in dev `" + s.Dev + "`"
	}
	return out
}

func (s *Setting) notes() string {
	out := []string{s.Help}
	if s.OneOf != nil {
		out = append(out, "One of `"+strings.Join(s.OneOf, "`, `")+"`.")
	}
	if b := s.bounds(); b != "" {
		out = append(out, strings.ToUpper(b[1:2])+b[2:]+".")
	}
	if s.Roles != nil {
		out = append(out, "Needed by `"+strings.Join(s.Roles, "`, `")+"`.")
	}
	if s.Secret {
		out = append(out, "Secret.")
	}
	return strings.ReplaceAll(strings.Join(out, " "), "|", "\\|")
}
