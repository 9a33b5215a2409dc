package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// check holds the rules between settings.
func (s *Settings) check(p *problems) {
	k := &s.Kafka
	if (k.TLSCert == "") != (k.TLSKey == "") {
		p.add("kafka.tls.cert_file and kafka.tls.key_file belong together; one of them is missing")
	}
	switch m := k.SASLMechanism; m {
	case "none":
	case "oauthbearer":
		if k.SASLTokenFile == "" {
			p.add("kafka.sasl.mechanism is %q: it needs kafka.sasl.token_file (%s)", m, envOf("kafka.sasl.token_file"))
		}
	default:
		if k.SASLUsername == "" || k.SASLPassword == "" {
			p.add("kafka.sasl.mechanism is %q: it needs kafka.sasl.username (%s) and kafka.sasl.password (%s, or %s_FILE)",
				m, envOf("kafka.sasl.username"), envOf("kafka.sasl.password"), envOf("kafka.sasl.password"))
		}
	}
	if (s.Roles.TLSCert == "") != (s.Roles.TLSKey == "") {
		p.add("http.tls.cert_file and http.tls.key_file belong together; one of them is missing")
	}
	if s.Identity.Outbox != "" && s.Identity.SMTPAddr != "" {
		p.add("both identity.outbox and identity.smtp.addr are given; mails go one way")
	}
	if _, err := s.Principals.Keyring(); err != nil {
		p.add("%v", err)
	}
	if s.Topology.Replication == 0 {
		p.add("replication is 0: it must be -1 (the brokers' default) or at least 1")
	}
	if r := s.Topology.CommandRetention; r >= 0 && r < 24*time.Hour {
		p.add("command_retention is %v: it must be at least 24h, or negative for ever", r)
	}
}

// Require reports the settings that the roles cannot do without and that are missing. Its error joins
// them all and wraps event.ErrConfig.
func (s *Settings) Require(roles ...string) error {
	p := &problems{}
	for i := range definitions {
		d := &definitions[i]
		if !reflect.ValueOf(s).Elem().FieldByIndex(d.index).IsZero() {
			continue
		}
		var need []string
		for _, role := range roles {
			if slices.Contains(d.Roles, role) {
				need = append(need, role)
			}
		}
		switch len(need) {
		case 0:
		case 1:
			p.add("the role %s needs %s", need[0], d.names())
		default:
			p.add("the roles %s need %s", strings.Join(need, ", "), d.names())
		}
	}
	if slices.Contains(roles, RoleIdentity) && s.Identity.Outbox == "" && s.Identity.SMTPAddr == "" {
		p.add("the role %s needs %s, or, to write mails into a folder, %s", RoleIdentity, Name("identity.smtp.addr"), Name("identity.outbox"))
	}
	return p.join()
}

// RequireKeys is Require for a command that is no role; what says which.
func (s *Settings) RequireKeys(what string, keys ...string) error {
	p := &problems{}
	for i := range definitions {
		d := &definitions[i]
		if slices.Contains(keys, d.Key) && reflect.ValueOf(s).Elem().FieldByIndex(d.index).IsZero() {
			p.add("%s needs %s", what, d.names())
		}
	}
	return p.join()
}

// names tells a person all the ways to give a setting.
func (s *Setting) names() string {
	if s.Flag == "" {
		return fmt.Sprintf("%s (--%s, %s or %s)", s.Key, s.FileFlag(), s.Env, s.FileEnv())
	}
	return fmt.Sprintf("%s (--%s or %s)", s.Key, s.Flag, s.Env)
}

// Name tells a person all the ways to give the setting with that key, such as
// "postgres.url (--postgres-url or CQRSFLOW_POSTGRES_URL)".
func Name(key string) string {
	for i := range definitions {
		if definitions[i].Key == key {
			return definitions[i].names()
		}
	}
	return key
}

func envOf(key string) string {
	for i := range definitions {
		if definitions[i].Key == key {
			return definitions[i].Env
		}
	}
	return ""
}
