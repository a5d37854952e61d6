{{- /* A value as the agent reads it. Helm has numbers as floats, and would write 1e+06. */}}
{{- define "rainbow.text" }}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end }}
{{- end }}
