{{/* What no single value shows to be wrong: values.schema.json checks the rest. */}}
{{- define "midlayer.validate" -}}
{{- $own := list "model" "device" "dtype" "max-layer" "selection-store" "selection-scope" "max-connection-age" "drain-delay" "drain-timeout" "log-level" "log-format" "tls-cert" "tls-key" "tls-client-ca" "token-file" "listen" "metrics-listen" }}
{{- range $flag := keys .Values.flags | sortAlpha }}
{{- if not (regexMatch "^[a-z][a-z-]*$" $flag) }}
{{- fail (printf "flags: expected flags of midlayer-server without dashes in front, as max-texts, found %s" $flag) }}
{{- end }}
{{- if has $flag $own }}
{{- fail (printf "flags: expected flags that the chart does not set by values of its own, found %s" $flag) }}
{{- end }}
{{- end }}
{{- $store := .Values.selections.store }}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}
{{- if and $several (has $store (list "file" "memory")) }}
{{- fail (printf "selections.store: expected redis or none for more than one replica, found %s: replicas that share no store answer with different layers once one of them promotes a selection" $store) }}
{{- end }}
{{- with .Values.selections.redis }}
{{- if and .user (not .passwordSecret.name) }}
{{- fail (printf "selections.redis.passwordSecret.name: expected a secret with the password of user %s, found none" .user) }}
{{- end }}
{{- end }}
{{- if and .Values.gpu.enabled .Values.autoscaling.enabled (eq .Values.autoscaling.metric "cpu") }}
{{- fail "autoscaling.metric: expected queueWait where gpu.enabled, found cpu: a busy GPU keeps no CPU busy" }}
{{- end }}
{{- if and (eq .Values.autoscaling.kind "ScaledObject") .Values.autoscaling.enabled (eq .Values.autoscaling.metric "cpu") }}
{{- fail "autoscaling.metric: expected queueWait for a ScaledObject, found cpu, which a HorizontalPodAutoscaler scales by" }}
{{- end }}
{{- if lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas) }}
{{- fail (printf "autoscaling.maxReplicas: expected at least minReplicas, %d, found %d" (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- end }}
{{- end }}
