{{/* What everything is called: the release, and the chart where the release is not called so already. */}}
{{- define "springhead.name" -}}
{{- if contains "springhead" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-springhead" (.Release.Name | trunc 39 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "springhead.selector" -}}
app.kubernetes.io/name: springhead
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "springhead.labels" -}}
{{ include "springhead.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* A size in bytes, of a setting ("200MiB", "10MB") or of a quantity ("1792Mi", "1.75Gi", "2G", and a plain number). */}}
{{- define "springhead.bytes" -}}
{{- if not (kindIs "string" .) -}}{{ int64 . }}{{- else -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" . -}}
{{- $unit := trimPrefix $number . -}}
{{- $units := dict "" 1 "B" 1
  "KB" 1000 "MB" 1000000 "GB" 1000000000 "TB" 1000000000000
  "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000
  "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 "TiB" 1099511627776
  "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if or (eq $number "") (not (hasKey $units $unit)) -}}
{{- fail (printf "%v is no size: write it like 200MiB in settings, 1792Mi in resources" .) -}}
{{- end -}}
{{- mulf $number (int64 (get $units $unit)) | int64 -}}
{{- end -}}
{{- end -}}

{{/* One value as TOML. Numbers come as fractions from YAML. */}}
{{- define "springhead.value" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}{{- $pairs = append $pairs (printf "%s = %s" $key (include "springhead.value" $value)) -}}{{- end -}}
{ {{- join ", " $pairs -}} }
{{- else if kindIs "slice" . -}}
{{- $values := list -}}
{{- range . -}}{{- $values = append $values (include "springhead.value" .) -}}{{- end -}}
[{{- join ", " $values -}}]
{{- else if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) -}}{{ int64 . }}
{{- else -}}{{ . | toJson }}
{{- end -}}
{{- end -}}

{{/* One setting, of its key and its value. YAML makes false of off. */}}
{{- define "springhead.setting" -}}
{{- $key := index . 0 -}}
{{- $value := index . 1 -}}
{{- if and (kindIs "bool" $value) (not $value) (has $key (list "durable" "gate" "hold" "mode" "output")) -}}
{{- $value = "off" -}}
{{- end -}}
{{ $key }} = {{ include "springhead.value" $value }}
{{- end -}}

{{/* The settings file. */}}
{{- define "springhead.toml" -}}
listen = ["0.0.0.0:8080"]
admin_listen = "0.0.0.0:8081"
data_dir = "/data"
metrics_open = {{ .Values.metrics.open }}
{{- range $key, $value := .Values.settings }}
{{- if not (kindIs "map" $value) }}
{{ include "springhead.setting" (list $key $value) }}
{{- end }}
{{- end }}
{{- if .Values.tls.existingSecret }}

[tls]
listen = ["0.0.0.0:8443"]
certificate = "/tls/tls.crt"
key = "/tls/tls.key"
{{- end }}
{{- range $table, $settings := .Values.settings }}
{{- if kindIs "map" $settings }}

[{{ $table }}]
{{- range $key, $value := $settings }}
{{ include "springhead.setting" (list $key $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $settings := .Values.namespaces }}

[namespaces.{{ $name | quote }}]
{{- range $key, $value := $settings }}
{{- if not (kindIs "map" $value) }}
{{ include "springhead.setting" (list $key $value) }}
{{- end }}
{{- end }}
{{- range $table, $inner := $settings }}
{{- if kindIs "map" $inner }}

[namespaces.{{ $name | quote }}.{{ $table }}]
{{- range $key, $value := $inner }}
{{ include "springhead.setting" (list $key $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The memory in bytes that the settings may take, as the server itself adds it up (docs/operating.md); nothing where a part is left to it. */}}
{{- define "springhead.memory" -}}
{{- $inFlight := default "auto" .Values.settings.max_in_flight -}}
{{- $connections := int64 (dig "connections" "total" 16384 .Values.settings) -}}
{{- $known := ne $inFlight "auto" -}}
{{- $sum := add (mul 40 1048576) (mul $connections 12288) -}}
{{- range .Values.namespaces -}}
{{- $hot := default "auto" .hot_capacity -}}
{{- if eq $hot "auto" -}}{{- $known = false -}}
{{- else -}}
{{- $bytes := include "springhead.bytes" $hot | int64 -}}
{{- $sum = add $sum $bytes (div $bytes 10) -}}
{{- if not (has (dig "durable" "disk" .) (list false "off")) -}}{{- $sum = add $sum (max (div $bytes 4) 67108864) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if $known -}}{{ add $sum (include "springhead.bytes" $inFlight | int64) }}{{- end -}}
{{- end -}}

{{/* What can't work is a sentence instead of manifests. */}}
{{- define "springhead.check" -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail (printf "replicas is %v: each pod would have its own memory, and a playlist that was uploaded to one is not in the other. Run one, or one release for each stream; of several nodes that share an engine (settings.cluster) one release for each node, all with the same signingKey.existingSecret." .Values.replicas) -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.open) (not .Values.metrics.keySecret.name) -}}
{{- fail "metrics.serviceMonitor has no way in: /metrics asks for an admin key here. Name a secret with one in metrics.keySecret.name, or set metrics.open and keep the network policy." -}}
{{- end -}}
{{- $delay := regexFind "^[0-9]+s$" (toString (default "0s" .Values.settings.drain_delay)) | trimSuffix "s" -}}
{{- $drain := regexFind "^[0-9]+s$" (toString (default "30s" .Values.settings.drain_timeout)) | trimSuffix "s" -}}
{{- if and $delay $drain -}}
{{- $least := add (int $delay) (int $drain) 10 -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (int $least) -}}
{{- fail (printf "terminationGracePeriodSeconds is %v, and the pod needs %v: settings.drain_delay, settings.drain_timeout, and ten seconds for what waits to be written." .Values.terminationGracePeriodSeconds $least) -}}
{{- end -}}
{{- end -}}
{{- $limit := dig "limits" "memory" "" .Values.resources -}}
{{- $sum := include "springhead.memory" . -}}
{{- if and $limit $sum -}}
{{- if lt (include "springhead.bytes" $limit | int64) (int64 $sum) -}}
{{- fail (printf "resources.limits.memory is %v, and the settings need %vMi: hot_capacity of all namespaces with a tenth more, a quarter of it (64 MiB at least) for what waits for a durable tier, max_in_flight, 12 KiB for each of connections.total, and 40 MiB for the program." $limit (div (add $sum 1048575) 1048576)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
