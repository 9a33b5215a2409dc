{{/* What the schema cannot say. Called with root and roles. The first mistake ends the rendering, and says how to put it right. */}}
{{- define "cqrsflow.validate" -}}
{{- $roles := .roles -}}
{{- $values := .root.Values -}}
{{- $partitions := int $values.topics.partitions -}}
{{- if not $roles -}}
{{- fail "no role is enabled: set roles.NAME.enabled=true for at least one" -}}
{{- end -}}
{{- if not $values.kafka.brokers -}}
{{- fail "kafka.brokers is empty: name at least one broker, such as --set 'kafka.brokers={kafka:9092}'" -}}
{{- end -}}
{{- with $values.kafka.tls -}}
{{- if and .existingSecret (not .enabled) -}}
{{- fail (printf "kafka.tls.existingSecret is %s, but TLS is off: set kafka.tls.enabled=true" .existingSecret) -}}
{{- end -}}
{{- if ne (empty .certKey) (empty .keyKey) -}}
{{- fail "kafka.tls.certKey and kafka.tls.keyKey belong together: set both (tls.crt and tls.key in a Secret of that type), or none" -}}
{{- end -}}
{{- if and .certKey (not .existingSecret) -}}
{{- fail "kafka.tls.certKey is set: kafka.tls.existingSecret must name the Secret that has it" -}}
{{- end -}}
{{- end -}}
{{- with $values.kafka.sasl -}}
{{- if ne .mechanism "none" -}}
{{- if not .existingSecret -}}
{{- fail (printf "kafka.sasl.mechanism is %s: kafka.sasl.existingSecret must name a Secret with the key %s" .mechanism (ternary .tokenKey .passwordKey (eq .mechanism "oauthbearer"))) -}}
{{- end -}}
{{- if and (ne .mechanism "oauthbearer") (not .username) -}}
{{- fail (printf "kafka.sasl.mechanism is %s: set kafka.sasl.username" .mechanism) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq (int $values.topics.replication) 0 -}}
{{- fail "topics.replication is 0: it must be -1 (the brokers' default) or at least 1" -}}
{{- end -}}
{{- range $name, $role := $roles -}}
{{- $at := printf "roles.%s" $name -}}
{{- if and (or (has "postgres" $role.needs) (has "elasticsearch" $role.needs)) (not (has "kafka" $role.needs)) -}}
{{- fail (printf "%s.needs has no kafka: every role that has a store reads it; write needs: [kafka, …]" $at) -}}
{{- end -}}
{{- if and (has "postgres" $role.needs) (not $values.postgres.existingSecret) -}}
{{- fail (printf "%s needs PostgreSQL: make a Secret with the URL (kubectl create secret generic cqrsflow-postgres --from-file=%s=FILE) and set postgres.existingSecret to its name, or %s.enabled=false" $at $values.postgres.urlKey $at) -}}
{{- end -}}
{{- if and (has "elasticsearch" $role.needs) (not $values.elasticsearch.urls) -}}
{{- fail (printf "%s needs Elasticsearch: set elasticsearch.urls, such as --set 'elasticsearch.urls={http://elasticsearch:9200}', or %s.enabled=false" $at $at) -}}
{{- end -}}
{{- if has "identity" $role.needs -}}
{{- range $of, $example := dict "issuer" "https://shop.example" "publicURL" "https://shop.example" "mailFrom" "Shop <shop@example.com>" -}}
{{- if not (get $values.identity $of) -}}
{{- fail (printf "%s logs users in: set identity.%s, such as %s, or %s.enabled=false" $at $of $example $at) -}}
{{- end -}}
{{- end -}}
{{- if not $values.identity.existingSecret -}}
{{- fail (printf "%s has users' keys: make a Secret with the keys %s and %s (docs/operations.md) and set identity.existingSecret to its name" $at $values.identity.keksKey $values.identity.indexKeyKey) -}}
{{- end -}}
{{- if not $values.identity.tokenKeysSecret -}}
{{- fail (printf "%s signs access tokens: make a Secret of the key (kubectl create secret generic cqrsflow-token-keys --from-file=2026-01.pem) and set identity.tokenKeysSecret to its name" $at) -}}
{{- end -}}
{{- if not (or $values.identity.smtp.addr (dig "identity" "outbox" "" $role.config)) -}}
{{- fail (printf "%s sends mails: set identity.smtp.addr, such as mail:587" $at) -}}
{{- end -}}
{{- if and $values.identity.smtp.username (not $values.identity.smtp.existingSecret) -}}
{{- fail "identity.smtp.username is set: identity.smtp.existingSecret must name the Secret with the password" -}}
{{- end -}}
{{- if not (has "postgres" $role.needs) -}}
{{- fail (printf "%s.needs has identity without postgres, where users' keys are: write needs: [kafka, postgres, identity]" $at) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $name "command") (ne $role.kind "StatefulSet") -}}
{{- fail "roles.command.kind must be StatefulSet: its names are stable, so that a restart keeps its partitions, and its store is restored from its volume" -}}
{{- end -}}
{{- if eq $role.kind "StatefulSet" -}}
{{- if not $role.storage.size -}}
{{- fail (printf "%s is a StatefulSet: set %s.storage.size" $at $at) -}}
{{- end -}}
{{- $least := add (int $role.terminationGracePeriodSeconds) 60 -}}
{{- if lt (int $role.sessionTimeoutSeconds) (int $least) -}}
{{- fail (printf "%s.sessionTimeoutSeconds is %d: it must be longer than a restart, or partitions move at each one; set at least %d (terminationGracePeriodSeconds and 60 to start)" $at (int $role.sessionTimeoutSeconds) (int $least)) -}}
{{- end -}}
{{- end -}}
{{- $scaling := include "cqrsflow.autoscaling" $role -}}
{{- $most := int $role.replicas -}}
{{- if ne $scaling "none" -}}
{{- $most = int $role.autoscaling.maxReplicas -}}
{{- if eq $role.kind "StatefulSet" -}}
{{- fail (printf "%s.autoscaling.type is %s: a StatefulSet is not scaled automatically, since each step moves and restores partitions; set it to none and choose %s.replicas" $at $scaling $at) -}}
{{- end -}}
{{- if gt (int $role.autoscaling.minReplicas) $most -}}
{{- fail (printf "%s.autoscaling.minReplicas is %d, more than its maxReplicas, %d: swap them" $at (int $role.autoscaling.minReplicas) $most) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $scaling "hpa") (lt (int $role.autoscaling.minReplicas) 1) -}}
{{- fail (printf "%s.autoscaling.minReplicas is 0: an hpa keeps at least 1; only keda scales to none" $at) -}}
{{- end -}}
{{- if and (eq $scaling "hpa") (not (dig "resources" "requests" "cpu" "" $role)) -}}
{{- fail (printf "%s.autoscaling.type is hpa, which compares with the requested CPU: set %s.resources.requests.cpu" $at $at) -}}
{{- end -}}
{{- if and (eq $scaling "keda") (not $role.autoscaling.groups) -}}
{{- fail (printf "%s.autoscaling.type is keda: name under %s.autoscaling.groups the consumer groups and topics to look at" $at $at) -}}
{{- end -}}
{{- if and (eq $scaling "keda") $role.autoscaling.activationLagThreshold (lt (int $role.autoscaling.activationLagThreshold) $partitions) -}}
{{- fail (printf "%s.autoscaling.activationLagThreshold is %d: a transaction's marker leaves a lag of 1 in each of %d partitions, which would wake it for nothing; set at least %d, or 0" $at (int $role.autoscaling.activationLagThreshold) $partitions $partitions) -}}
{{- end -}}
{{- if and (not $role.http) (gt $most $partitions) -}}
{{- fail (printf "%s would have %d pods, but each topic has %d partitions (topics.partitions): at most %d can work; set %s to that" $at $most $partitions $partitions (ternary "replicas" "autoscaling.maxReplicas" (eq $scaling "none"))) -}}
{{- end -}}
{{- if and $role.ingress.enabled (not $role.http) -}}
{{- fail (printf "%s.ingress is enabled, but the role serves no HTTP: enable that of a role with http: true, such as query" $at) -}}
{{- end -}}
{{- if and $role.ingress.enabled (not $role.ingress.hosts) -}}
{{- fail (printf "%s.ingress is enabled: set %s.ingress.hosts" $at $at) -}}
{{- end -}}
{{- range $own, $instead := dict "kafka" "kafka" "postgres" "postgres" "elasticsearch" "elasticsearch" "roles" "roles" "prefix" "prefix" "partitions" "topics.partitions" "replication" "topics.replication" "command_retention" "topics.commandRetention" "data" "roles.command.storage" "ops" "ops" "token" "ops.existingSecret" "start_wait" "startWaitSeconds" "log" "logLevel" -}}
{{- range $where, $config := dict "config" $values.config (printf "%s.config" $at) $role.config -}}
{{- if hasKey $config $own -}}
{{- fail (printf "%s.%s: the chart has a value for that; use %s" $where $own $instead) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $values.monitoring.serviceMonitor.enabled $values.networkPolicy.enabled (not $values.networkPolicy.opsFrom) -}}
{{- fail "monitoring.serviceMonitor is enabled, but the network policy lets nobody scrape: name Prometheus in networkPolicy.opsFrom, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" -}}
{{- end -}}
{{- end -}}
