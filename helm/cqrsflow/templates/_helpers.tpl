{{- define "cqrsflow.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 36 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 36 characters: with a role's 15, the hash that a StatefulSet adds to a label leaves 52. */}}
{{- define "cqrsflow.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 36 | trimSuffix "-" -}}
{{- else if contains (include "cqrsflow.name" .) .Release.Name -}}
{{- .Release.Name | trunc 36 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "cqrsflow.name" .) | trunc 36 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cqrsflow.selector" -}}
app.kubernetes.io/name: {{ include "cqrsflow.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cqrsflow.labels" -}}
{{ include "cqrsflow.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "cqrsflow.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "cqrsflow.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "cqrsflow.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The enabled roles by name, each over the defaults, as YAML. What is not valid ends here. */}}
{{- define "cqrsflow.roles" -}}
{{- $absent := dict "http" false "config" dict "sessionTimeoutSeconds" 0
    "storage" (dict "size" "" "className" "")
    "service" (dict "type" "ClusterIP" "port" 80 "annotations" dict)
    "ingress" (dict "enabled" false "className" "" "annotations" dict "hosts" list "tls" list)
    "autoscaling" (dict "type" "none" "minReplicas" 1 "maxReplicas" .Values.topics.partitions "targetCPU" 70 "lagThreshold" 5000
      "activationLagThreshold" 0 "authenticationRef" "" "groups" list) -}}
{{- $roles := dict -}}
{{- range $name, $role := .Values.roles -}}
{{- if and $role (dig "enabled" true $role) -}}
{{- $_ := set $roles $name (mergeOverwrite (deepCopy $absent) (deepCopy $.Values.defaults) (deepCopy $role)) -}}
{{- end -}}
{{- end -}}
{{- include "cqrsflow.validate" (dict "root" . "roles" $roles) -}}
{{- $roles | toYaml -}}
{{- end -}}

{{/* none, hpa or keda. */}}
{{- define "cqrsflow.autoscaling" -}}
{{- .autoscaling.type -}}
{{- end -}}

{{/* What reaches Kafka, as settings. */}}
{{- define "cqrsflow.config.kafka" -}}
prefix: {{ .Values.prefix }}
kafka:
  brokers: {{ .Values.kafka.brokers | toJson }}
  {{- with .Values.kafka.tls }}
  {{- if .enabled }}
  tls:
    enabled: true
    {{- with .serverName }}
    server_name: {{ . | quote }}
    {{- end }}
    {{- if .existingSecret }}
    {{- with .caKey }}
    ca_file: /etc/cqrsflow/kafka-tls/{{ . }}
    {{- end }}
    {{- if .certKey }}
    cert_file: /etc/cqrsflow/kafka-tls/{{ .certKey }}
    key_file: /etc/cqrsflow/kafka-tls/{{ .keyKey }}
    {{- end }}
    {{- end }}
  {{- end }}
  {{- end }}
  {{- with .Values.kafka.sasl }}
  {{- if ne .mechanism "none" }}
  sasl:
    mechanism: {{ .mechanism }}
    {{- if eq .mechanism "oauthbearer" }}
    token_file: /etc/cqrsflow/kafka-sasl/{{ .tokenKey }}
    {{- else }}
    username: {{ .username | quote }}
    {{- end }}
  {{- end }}
  {{- end }}
{{- end -}}

{{/* The settings of a role. Called with root, name, role. */}}
{{- define "cqrsflow.config" -}}
{{- $config := include "cqrsflow.config.kafka" .root | fromYaml -}}
{{- $_ := set $config "roles" (list .name) -}}
{{- $_ := set $config "log" (dict "level" .root.Values.logLevel "format" "json") -}}
{{- $_ := set $config "data" "/data" -}}
{{- $_ := set $config "http" (dict "addr" ":8080") -}}
{{- $_ := set $config "ops" (dict "addr" ":9080") -}}
{{- $_ := set $config "start_wait" (printf "%ds" (int .root.Values.startWaitSeconds)) -}}
{{- $_ := set $config "partitions" .root.Values.topics.partitions -}}
{{- if has "postgres" .role.needs -}}
{{- $_ := set $config "postgres" (dict "max_conns" .root.Values.postgres.maxConns) -}}
{{- end -}}
{{- if has "elasticsearch" .role.needs -}}
{{- $es := dict "url" .root.Values.elasticsearch.urls -}}
{{- if .root.Values.elasticsearch.caSecret -}}
{{- $_ := set $es "ca_file" (printf "/etc/cqrsflow/elasticsearch-ca/%s" .root.Values.elasticsearch.caKey) -}}
{{- end -}}
{{- $_ := set $config "elasticsearch" $es -}}
{{- end -}}
{{- if has "identity" .role.needs -}}
{{- with .root.Values.identity -}}
{{- $users := dict "issuer" .issuer "audience" .audience "public_url" .publicURL "product" .product "token_keys" "/etc/cqrsflow/token-keys" "mail_from" .mailFrom -}}
{{- with .smtp -}}
{{- if .addr -}}
{{- $_ := set $users "smtp" (dict "addr" .addr "encryption" .encryption "username" .username) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "identity" $users -}}
{{- end -}}
{{- end -}}
{{- if and (eq .name "query") .root.Values.identity.issuer .root.Values.identity.publicURL -}}
{{- with .root.Values.identity -}}
{{- $_ := set $config "identity" (dict "issuer" .issuer "audience" .audience "jwks_url" (printf "%s/.well-known/jwks.json" (trimSuffix "/" .publicURL))) -}}
{{- end -}}
{{- end -}}
{{- if eq .role.kind "StatefulSet" -}}
{{- $_ := set $config "processor" (dict "static" true "session_timeout" (printf "%ds" (int .role.sessionTimeoutSeconds))) -}}
{{- end -}}
{{- mergeOverwrite $config (deepCopy .root.Values.config) (deepCopy .role.config) | toYaml -}}
{{- end -}}

{{/* Called with root and needs: what a container must have in its environment. */}}
{{- define "cqrsflow.env" -}}
{{- if and (has "kafka" .needs) (has .root.Values.kafka.sasl.mechanism (list "plain" "scram-sha-256" "scram-sha-512")) }}
- name: CQRSFLOW_KAFKA_SASL_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .root.Values.kafka.sasl.existingSecret | quote }}, key: {{ .root.Values.kafka.sasl.passwordKey | quote }}}
{{- end }}
{{- if has "postgres" .needs }}
- name: CQRSFLOW_POSTGRES_URL
  valueFrom:
    secretKeyRef: {name: {{ .root.Values.postgres.existingSecret | quote }}, key: {{ .root.Values.postgres.urlKey | quote }}}
{{- end }}
{{- if and (has "elasticsearch" .needs) .root.Values.elasticsearch.existingSecret }}
- name: CQRSFLOW_ELASTICSEARCH_API_KEY
  valueFrom:
    secretKeyRef: {name: {{ .root.Values.elasticsearch.existingSecret | quote }}, key: {{ .root.Values.elasticsearch.apiKeyKey | quote }}}
{{- end }}
{{- if and (has "principals" .needs) .root.Values.principals.existingSecret }}
- name: CQRSFLOW_PRINCIPAL_KEYS
  valueFrom:
    secretKeyRef: {name: {{ .root.Values.principals.existingSecret | quote }}, key: {{ .root.Values.principals.keysKey | quote }}}
{{- end }}
{{- if has "identity" .needs }}
{{- with .root.Values.identity }}
- name: CQRSFLOW_IDENTITY_KEKS
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret | quote }}, key: {{ .keksKey | quote }}}
- name: CQRSFLOW_IDENTITY_INDEX_KEY
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret | quote }}, key: {{ .indexKeyKey | quote }}}
{{- if .smtp.existingSecret }}
- name: CQRSFLOW_IDENTITY_SMTP_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .smtp.existingSecret | quote }}, key: {{ .smtp.passwordKey | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "cqrsflow.mounts" -}}
- {name: config, mountPath: /etc/cqrsflow/config, readOnly: true}
- {name: tmp, mountPath: /tmp}
- {name: data, mountPath: /data}
{{- if and .root.Values.kafka.tls.enabled .root.Values.kafka.tls.existingSecret }}
- {name: kafka-tls, mountPath: /etc/cqrsflow/kafka-tls, readOnly: true}
{{- end }}
{{- if eq .root.Values.kafka.sasl.mechanism "oauthbearer" }}
- {name: kafka-sasl, mountPath: /etc/cqrsflow/kafka-sasl, readOnly: true}
{{- end }}
{{- if and (has "elasticsearch" .needs) .root.Values.elasticsearch.caSecret }}
- {name: elasticsearch-ca, mountPath: /etc/cqrsflow/elasticsearch-ca, readOnly: true}
{{- end }}
{{- if has "identity" .needs }}
- {name: token-keys, mountPath: /etc/cqrsflow/token-keys, readOnly: true}
{{- end }}
{{- end -}}

{{/* Called with root, needs, config (name of the ConfigMap), scratch and claim (whether /data is one). */}}
{{- define "cqrsflow.volumes" -}}
- name: config
  configMap: {name: {{ .config }}}
- name: tmp
  emptyDir: {sizeLimit: {{ .scratch }}}
{{- if not .claim }}
- name: data
  emptyDir: {sizeLimit: {{ .scratch }}}
{{- end }}
{{- with .root.Values.kafka }}
{{- if and .tls.enabled .tls.existingSecret }}
- name: kafka-tls
  secret: {secretName: {{ .tls.existingSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- if eq .sasl.mechanism "oauthbearer" }}
- name: kafka-sasl
  secret: {secretName: {{ .sasl.existingSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- if and (has "elasticsearch" .needs) .root.Values.elasticsearch.caSecret }}
- name: elasticsearch-ca
  secret: {secretName: {{ .root.Values.elasticsearch.caSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- if has "identity" .needs }}
- name: token-keys
  secret: {secretName: {{ .root.Values.identity.tokenKeysSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{/* Of every pod: no token, no root, no variables of other Services. */}}
{{- define "cqrsflow.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "cqrsflow.container" -}}
image: {{ include "cqrsflow.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* The template of a role's pods. Called with root, name, role. */}}
{{- define "cqrsflow.podTemplate" -}}
{{- $full := include "cqrsflow.fullname" .root -}}
{{- $statefulSet := eq .role.kind "StatefulSet" -}}
metadata:
  labels:
    {{- include "cqrsflow.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
    {{- with .role.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "cqrsflow.config" . | sha256sum }}
    {{- with .role.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "cqrsflow.pod" .root | nindent 2 }}
  serviceAccountName: {{ include "cqrsflow.serviceAccount" .root }}
  terminationGracePeriodSeconds: {{ int .role.terminationGracePeriodSeconds }}
  {{- with .role.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .role.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .role.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .role.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .role.spreadOver }}
  topologySpreadConstraints:
    {{- range . }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "cqrsflow.selector" $.root | nindent 10 }}
          app.kubernetes.io/component: {{ $.name }}
    {{- end }}
  {{- end }}
  containers:
    - name: cqrsflow
      {{- include "cqrsflow.container" .root | nindent 6 }}
      args: [serve, --config, /etc/cqrsflow/config/config.yaml]
      env:
        - name: CQRSFLOW_PROCESSOR_INSTANCE
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- with include "cqrsflow.env" (dict "root" .root "needs" .role.needs) }}
        {{- . | trim | nindent 8 }}
        {{- end }}
        {{- if .root.Values.ops.existingSecret }}
        - name: CQRSFLOW_TOKEN
          valueFrom:
            secretKeyRef: {name: {{ .root.Values.ops.existingSecret | quote }}, key: {{ .root.Values.ops.tokenKey | quote }}}
        {{- end }}
        {{- with .role.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- if .role.http }}
        - {name: http, containerPort: 8080}
        {{- end }}
        - {name: ops, containerPort: 9080}
      # Ends with the start, which waits for servers and topics; killing a pod brings neither. Restoring comes after it.
      startupProbe:
        httpGet: {path: /startupz, port: ops}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: {{ div (add .root.Values.startWaitSeconds 300) 5 }}
      readinessProbe:
        httpGet: {path: /readyz, port: ops}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      # That the process answers, nothing more: no server it depends on, no restore.
      livenessProbe:
        httpGet: {path: /livez, port: ops}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      {{- if .role.http }}
      # Until Services have forgotten this pod.
      lifecycle: {preStop: {sleep: {seconds: 5}}}
      {{- end }}
      resources: {{- toYaml .role.resources | nindent 8 }}
      volumeMounts:
        {{- include "cqrsflow.mounts" (dict "root" .root "needs" .role.needs) | nindent 8 }}
  volumes:
    {{- include "cqrsflow.volumes" (dict "root" .root "needs" .role.needs "config" (printf "%s-%s" $full .name) "scratch" .role.scratchSize "claim" $statefulSet) | nindent 4 }}
{{- end -}}
