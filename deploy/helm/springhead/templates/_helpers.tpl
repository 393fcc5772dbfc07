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

{{/* A size in bytes, of a setting ("200MiB", "10MB") or of a quantity ("1792Mi", "2G"). */}}
{{- define "springhead.bytes" -}}
{{- $number := regexFind "^[0-9]+" (toString .) -}}
{{- $unit := regexFind "[A-Za-z]*$" (toString .) -}}
{{- $units := dict "" 1 "B" 1
  "KB" 1000 "MB" 1000000 "GB" 1000000000 "TB" 1000000000000
  "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000
  "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 "TiB" 1099511627776
  "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if or (eq $number "") (not (hasKey $units $unit)) -}}
{{- fail (printf "%v is no size: write it like 200MiB in settings, 1792Mi in resources" .) -}}
{{- end -}}
{{- mul (int64 $number) (int64 (get $units $unit)) -}}
{{- end -}}

{{/* One setting as TOML. Numbers come as fractions from YAML. */}}
{{- define "springhead.setting" -}}
{{- if kindIs "string" . -}}{{ . | toJson }}
{{- else if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) -}}{{ int64 . }}
{{- else -}}{{ . | toJson }}
{{- end -}}
{{- end -}}

{{/* The settings file. */}}
{{- define "springhead.toml" -}}
listen = ["0.0.0.0:8080"]
admin_listen = "0.0.0.0:8081"
data_dir = "/data"
metrics_open = {{ .Values.metrics.open }}
{{- range $key, $value := .Values.settings }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "springhead.setting" $value }}
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
{{ $key }} = {{ include "springhead.setting" $value }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $settings := .Values.namespaces }}

[namespaces.{{ $name | quote }}]
{{- range $key, $value := $settings }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "springhead.setting" $value }}
{{- end }}
{{- end }}
{{- range $table, $inner := $settings }}
{{- if kindIs "map" $inner }}

[namespaces.{{ $name | quote }}.{{ $table }}]
{{- range $key, $value := $inner }}
{{ $key }} = {{ include "springhead.setting" $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What can't work is a sentence instead of manifests. */}}
{{- define "springhead.check" -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail (printf "replicas is %v: each pod would have its own memory, and a playlist that was uploaded to one is not in the other. Run one, or one release for each stream." .Values.replicas) -}}
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
{{- $inFlight := toString (default "auto" .Values.settings.max_in_flight) -}}
{{- if and $limit (ne $inFlight "auto") -}}
{{- $sum := add (include "springhead.bytes" $inFlight | int64) (mul 256 1048576) -}}
{{- $known := true -}}
{{- range $name, $settings := .Values.namespaces -}}
{{- $hot := toString (default "auto" $settings.hot_capacity) -}}
{{- if eq $hot "auto" -}}{{- $known = false -}}
{{- else -}}{{- $sum = add $sum (div (mul (include "springhead.bytes" $hot | int64) 11) 10) -}}
{{- end -}}
{{- end -}}
{{- if and $known (lt (include "springhead.bytes" $limit | int64) (int64 $sum)) -}}
{{- fail (printf "resources.limits.memory is %v, and the settings need %vMi: hot_capacity of all namespaces and a tenth more, max_in_flight, and 256 MiB for the program and connections." $limit (add 1 (div $sum 1048576))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
