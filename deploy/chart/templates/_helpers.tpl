{{/* The name of all objects: the release's, with the chart's where the release's doesn't have it. */}}
{{- define "leaseholder.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* `-` and the shard where what is rendered is for one; the default one has no name. */}}
{{- define "leaseholder.shard" -}}
{{- with .shard }}-{{ . }}{{ end -}}
{{- end -}}

{{/* Each shard counts as an instance, so that no selector finds the pods of another. */}}
{{- define "leaseholder.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ printf "%s%s" .Release.Name (include "leaseholder.shard" .) | quote }}
{{- end -}}

{{/* Labels of every object, and `more` of one. Helm adds managed-by itself, so that kubectl's manifest
doesn't claim it. Each key is there once: the API server takes no other YAML. */}}
{{- define "leaseholder.labels" -}}
{{- $own := include "leaseholder.ownLabels" . | fromYaml -}}
{{- toYaml (merge $own (default dict .more) .Values.commonLabels) -}}
{{- end -}}

{{- define "leaseholder.ownLabels" -}}
{{ include "leaseholder.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "leaseholder.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "leaseholder.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.create is false: write the name of yours into serviceAccount.name" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "leaseholder.subjects" -}}
- kind: ServiceAccount
  name: {{ include "leaseholder.serviceAccount" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end -}}

{{/* The namespaces where a right is bound, separated by spaces; none: cluster-wide. */}}
{{- define "leaseholder.where" -}}
{{- $right := index .root.Values.rights .name -}}
{{- default .root.Values.namespaces $right.namespaces | uniq | join " " -}}
{{- end -}}

{{- define "leaseholder.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The settings that values set; extraEnv has the others. */}}
{{- define "leaseholder.env" -}}
- name: LEASEHOLDER_PROVIDER_HOSTS
  value: {{ join "," .Values.providerHosts | quote }}
- name: LEASEHOLDER_REQUIRE_AUTH_LABEL
  value: {{ .Values.requireAuthLabel | quote }}
- name: LEASEHOLDER_NAMESPACES
  value: {{ join "," .Values.namespaces | quote }}
- name: LEASEHOLDER_LEADER_ELECTION
  value: {{ .Values.leaderElection | quote }}
{{- with .Values.shards }}
- name: LEASEHOLDER_SHARDS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .shard }}
- name: LEASEHOLDER_SHARD
  value: {{ . | quote }}
{{- end }}
- name: LEASEHOLDER_METRICS_AUTH
  value: {{ .Values.metricsAuth | quote }}
- name: LEASEHOLDER_WORKERS
  value: {{ .Values.workers | quote }}
- name: LEASEHOLDER_LOG_FORMAT
  value: {{ .Values.logFormat | quote }}
- name: LEASEHOLDER_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
- name: LEASEHOLDER_STOP_GRACE_SECONDS
  value: {{ sub .Values.terminationGracePeriodSeconds 20 | quote }}
{{- end -}}

{{/* Helm takes a value that a user writes as null out of the values, with its default. */}}
{{- define "leaseholder.nulls" -}}
{{- range $path, $kind := .Files.Get "files/kinds.yaml" | fromYaml -}}
{{- $found := $.Values -}}
{{- $names := list -}}
{{- range $name := splitList "." $path -}}
{{- $names = append $names $name -}}
{{- $here := join "." $names -}}
{{- if kindIs "invalid" (index $found $name) -}}
{{- $write := ternary $kind "a map with what you want to change" (eq $here $path) -}}
{{- fail (printf "%s is null, which takes its default away: leave the line out, or write %s" $here $write) -}}
{{- end -}}
{{- $found = index $found $name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the schema can't say: values that are missing, or that don't go together. */}}
{{- define "leaseholder.check" -}}
{{- include "leaseholder.nulls" . -}}
{{- if eq (toString .Values.enabled) "false" -}}
{{- fail "enabled is false, which is for a chart that depends on this one: take it out" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection) -}}
{{- fail "replicas is more than 1, and leaderElection is false, so all would work at once: leave leaderElection true" -}}
{{- end -}}
{{- if has "default" .Values.shards -}}
{{- fail "shards has default, which there always is: take it out" -}}
{{- end -}}
{{- range .Values.shards -}}
{{- $name := len (printf "%s-%s" (include "leaseholder.fullname" $) .) -}}
{{- $label := len (printf "%s-%s" $.Release.Name .) -}}
{{- if gt $name 63 -}}
{{- fail (printf "shards has %s, and with it a name would have %d characters, where a Service may have 63: write a shorter shard or fullnameOverride" . $name) -}}
{{- end -}}
{{- if gt $label 63 -}}
{{- fail (printf "shards has %s, and with the release's name a label would have %d characters, where 63 may be: write a shorter shard, or install with a shorter name" . $label) -}}
{{- end -}}
{{- end -}}
{{- $own := include "leaseholder.ownLabels" . | fromYaml -}}
{{- $monitoring := .Values.monitoring -}}
{{- range $path, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels
  "monitoring.serviceMonitor.labels" $monitoring.serviceMonitor.labels
  "monitoring.prometheusRule.labels" $monitoring.prometheusRule.labels
  "monitoring.dashboard.labels" $monitoring.dashboard.labels -}}
{{- range $key, $_ := $labels -}}
{{- if hasKey $own $key -}}
{{- fail (printf "%s has %s, which the chart sets: take it out" $path $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $served := .Values.namespaces -}}
{{- $secrets := .Values.rights.secrets -}}
{{- if and $secrets.enabled $secrets.namespaces -}}
{{- if not $served -}}
{{- fail "rights.secrets.namespaces is set, and namespaces is empty, so all are served: write the served ones into namespaces, too" -}}
{{- end -}}
{{- range $served -}}
{{- if not (has . $secrets.namespaces) -}}
{{- fail (printf "namespaces has %s, and rights.secrets.namespaces hasn't: add it there, or leave rights.secrets.namespaces empty" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $set := list -}}
{{- range include "leaseholder.env" . | fromYamlArray -}}
{{- $set = append $set .name -}}
{{- end -}}
{{- $more := list -}}
{{- range .Values.extraEnv -}}
{{- if has .name (list "LEASEHOLDER_SHARD" "LEASEHOLDER_SHARDS") -}}
{{- fail (printf "extraEnv has %s, which would be the same for all Deployments: write shards instead" .name) -}}
{{- end -}}
{{- if has .name $set -}}
{{- fail (printf "extraEnv has %s, which a value of the chart sets: write that value instead" .name) -}}
{{- end -}}
{{- if has .name $more -}}
{{- fail (printf "extraEnv has %s twice: take one out" .name) -}}
{{- end -}}
{{- $more = append $more .name -}}
{{- end -}}
{{- end -}}
