{{- define "okta-forwarder.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "okta-forwarder.fullname" -}}
{{- $name := include "okta-forwarder.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "okta-forwarder.selector" -}}
app.kubernetes.io/name: {{ include "okta-forwarder.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "okta-forwarder.labels" -}}
{{ include "okta-forwarder.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "okta-forwarder.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- ternary (printf "%s@%s" .Values.image.repository .Values.image.digest) (printf "%s:%s" .Values.image.repository $tag) (ne .Values.image.digest "") -}}
{{- end -}}

{{- define "okta-forwarder.serviceAccount" -}}
{{- default (ternary (include "okta-forwarder.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{/* The forwarder's configuration: what the chart decides, what values say, and what makes an empty one start. */}}
{{- define "okta-forwarder.config" -}}
{{- $receiver := dict "listen" (printf "%s:8080" .Values.listenAddress) -}}
{{- if .Values.tls.existingSecret -}}
{{- $_ := set $receiver "tls" (dict "cert" "/run/secrets/tls/tls.crt" "key" "/run/secrets/tls/tls.key") -}}
{{- end -}}
{{- $config := dict "receiver" $receiver "ops" (dict "listen" (printf "%s:9464" .Values.listenAddress)) "store" (dict "path" "/var/lib/forwarder/forwarder.db") -}}
{{- range $section, $keys := dict "receiver" (list "listen" "tls") "ops" (list "listen" "tls") "store" (list "path") -}}
{{- range $key := $keys -}}
{{- if hasKey (default dict (get $.Values.config $section)) $key -}}
{{- fail (printf "config.%s.%s: the chart decides it; take it out (see `listenAddress`, `tls` and `persistence`)" $section $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $config = mergeOverwrite $config (deepCopy .Values.config) -}}
{{- if not $config.orgs -}}
{{- $_ := set $config "orgs" (dict "okta" (dict "secrets" (list (dict "file" "/run/secrets/okta-forwarder/hook-secret")))) -}}
{{- end -}}
{{- if not $config.sinks -}}
{{- $_ := set $config "sinks" (dict "archive" (dict "kind" "file" "path" "/var/lib/forwarder/archive/okta.ndjson")) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The paths that Okta posts to, each once, and that of the public keys. */}}
{{- define "okta-forwarder.paths" -}}
{{- $config := include "okta-forwarder.config" . | fromYaml -}}
{{- $paths := list -}}
{{- range $org := $config.orgs -}}
{{- $paths = append $paths (default "/okta/events" $org.path) -}}
{{- end -}}
{{- if eq (default "" (($config.reactions).set).jwks) "serve" -}}
{{- $paths = append $paths "/.well-known/jwks.json" -}}
{{- end -}}
{{- $paths | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* Refuse a stop that Kubernetes would cut off: `receiver.grace`, then 10 s for the sinks. */}}
{{- define "okta-forwarder.checkGrace" -}}
{{- $grace := dig "receiver" "grace" "5s" .Values.config -}}
{{- $factors := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 -}}
{{- $unit := regexFind "[a-z]+$" $grace -}}
{{- if hasKey $factors $unit -}}
{{- $seconds := mulf (trimSuffix $unit $grace | float64) (get $factors $unit) -}}
{{- if ge (addf $seconds 10.0) (float64 .Values.terminationGracePeriodSeconds) -}}
{{- fail (printf "terminationGracePeriodSeconds: %v s are too short for config.receiver.grace (%s) and the 10 s that sinks may take; raise it" .Values.terminationGracePeriodSeconds $grace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
