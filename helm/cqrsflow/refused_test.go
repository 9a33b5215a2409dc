package cqrsflow_test

import (
	"strings"
	"testing"
)

// Bad values are refused before anything reaches the cluster, with what to do.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ values, says string }{
		"no broker":                    {"kafka: {brokers: []}", "--set 'kafka.brokers={kafka:9092}'"},
		"a broker without port":        {"kafka: {brokers: [kafka]}", "brokers"},
		"no such value":                {"kafak: {}", "kafak"},
		"no such value of a role":      {"roles: {command: {replica: 3}}", "replica"},
		"a role without kind":          {"roles: {other: {needs: [kafka]}}", "kind"},
		"a role's name":                {"roles: {Gateway: {kind: Deployment, needs: [kafka]}}", "Gateway"},
		"no such server":               {"roles: {other: {kind: Deployment, needs: [kafka, redis]}}", "needs"},
		"a role without Kafka":         {"roles: {other: {kind: Deployment, needs: [postgres]}}", "roles.other.needs has no kafka"},
		"no secret for PostgreSQL":     {"postgres: {existingSecret: ''}", "kubectl create secret generic cqrsflow-postgres --from-file=url=FILE"},
		"no Elasticsearch":             {"elasticsearch: {urls: []}", "set elasticsearch.urls"},
		"a password in the URL":        {"elasticsearch: {urls: ['http://u:p@es:9200']}", "urls"},
		"SASL without secret":          {"kafka: {sasl: {mechanism: plain, username: u}}", "kafka.sasl.existingSecret must name a Secret with the key password"},
		"SASL without user":            {"kafka: {sasl: {mechanism: plain, existingSecret: s}}", "set kafka.sasl.username"},
		"a token without secret":       {"kafka: {sasl: {mechanism: oauthbearer}}", "with the key token"},
		"no such mechanism":            {"kafka: {sasl: {mechanism: magic}}", "mechanism"},
		"TLS that is off":              {"kafka: {tls: {existingSecret: s}}", "set kafka.tls.enabled=true"},
		"half a certificate":           {"kafka: {tls: {enabled: true, existingSecret: s, certKey: tls.crt}}", "belong together"},
		"a certificate from nowhere":   {"kafka: {tls: {enabled: true, certKey: tls.crt, keyKey: tls.key}}", "kafka.tls.existingSecret must name"},
		"command without its volume":   {"roles: {command: {kind: Deployment}}", "roles.command.kind must be StatefulSet"},
		"a volume without size":        {"roles: {other: {kind: StatefulSet, needs: [kafka], sessionTimeoutSeconds: 300}}", "set roles.other.storage.size"},
		"a session too short":          {"roles: {command: {sessionTimeoutSeconds: 100}}", "set at least 120"},
		"more pods than partitions":    {"roles: {project-sql: {replicas: 9}}", "at most 8 can work"},
		"and with KEDA":                {"roles: {project-sql: {autoscaling: {type: keda, maxReplicas: 9}}}", "autoscaling.maxReplicas"},
		"woken by markers":             {"roles: {project-sql: {autoscaling: {type: keda, activationLagThreshold: 7}}}", "set at least 8, or 0"},
		"KEDA without groups":          {"roles: {react: {autoscaling: {type: keda}}}", "roles.react.autoscaling.groups"},
		"a scaled StatefulSet":         {"roles: {command: {autoscaling: {type: hpa, maxReplicas: 3}}}", "choose roles.command.replicas"},
		"more at least than at most":   {"roles: {query: {autoscaling: {type: hpa, minReplicas: 9}}}", "swap them"},
		"HPA from none":                {"roles: {query: {autoscaling: {type: hpa, minReplicas: 0}}}", "only keda scales to none"},
		"HPA without requests":         {"roles: {query: {autoscaling: {type: hpa}}}\ndefaults: {resources: {requests: {cpu: null}}}", "set roles.query.resources.requests.cpu"},
		"an Ingress to nothing":        {"roles: {react: {ingress: {enabled: true, hosts: [a]}}}", "such as query"},
		"an Ingress without host":      {"roles: {query: {ingress: {enabled: true}}}", "set roles.query.ingress.hosts"},
		"a setting that has a value":   {"config: {kafka: {brokers: [a:1]}}", "config.kafka: the chart has a value for that; use kafka"},
		"and that of a role":           {"roles: {query: {config: {start_wait: 1s}}}", "roles.query.config.start_wait: the chart has a value for that; use startWaitSeconds"},
		"users without issuer":         {"roles: {identity: {enabled: true}}", "set identity.issuer, such as https://shop.example"},
		"users without keys":           {users + "  existingSecret: ''", "with the keys keks and index-key"},
		"users without a signing key":  {users + "  tokenKeysSecret: ''", "kubectl create secret generic cqrsflow-token-keys"},
		"users without mail":           {users + "  smtp: {addr: ''}", "set identity.smtp.addr, such as mail:587"},
		"SMTP without password":        {users + "  smtp: {addr: 'mail:25', username: u}", "identity.smtp.existingSecret must name"},
		"users without PostgreSQL":     {users + "\nroles: {identity: {enabled: true, needs: [kafka, identity]}}", "where users' keys are"},
		"no role":                      {"roles: {gateway: null, command: null, query: null, project-sql: null, project-search: null, history: null, react: null}", "no role is enabled"},
		"no replicas of a partition":   {"topics: {replication: 0}", "-1 (the brokers' default) or at least 1"},
		"nobody may scrape":            {"monitoring: {serviceMonitor: {enabled: true}}", "name Prometheus in networkPolicy.opsFrom"},
		"a prefix that Kafka refuses":  {"prefix: 'a b'", "prefix"},
		"an image's digest":            {"image: {digest: latest}", "digest"},
		"a retention without its unit": {"topics: {commandRetention: '720'}", "commandRetention"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := refused(t, least, c.values); !strings.Contains(got, c.says) {
				t.Errorf("it says %q, without %q", got, c.says)
			}
		})
	}
}
