{{- define "midlayer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 53 characters leave room for what is put behind it. */}}
{{- define "midlayer.fullname" -}}
{{- $name := include "midlayer.name" . }}
{{- default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- end }}

{{/* By these services, budgets and policies find the servers; they may never change. */}}
{{- define "midlayer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "midlayer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "midlayer.testLabels" -}}
app.kubernetes.io/name: {{ include "midlayer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{- define "midlayer.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "midlayer.labels" -}}
{{ include "midlayer.selectorLabels" . }}
{{ include "midlayer.commonLabels" . }}
{{- end }}

{{- define "midlayer.image" -}}
{{- with .Values.image }}
{{- $tag := default (printf "%s-%s" $.Chart.AppVersion (ternary "cuda" "cpu" $.Values.gpu.enabled)) .tag }}
{{- ternary (printf "%s@%s" .repository .digest) (printf "%s:%s" .repository $tag) (ne .digest "") }}
{{- end }}
{{- end }}

{{- define "midlayer.serviceAccountName" -}}
{{- default (ternary (include "midlayer.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "midlayer.tlsSecretName" -}}
{{- default (printf "%s-tls" (include "midlayer.fullname" .)) .Values.tls.secretName }}
{{- end }}

{{/* The name that clients in the cluster call, and that certificates have. */}}
{{- define "midlayer.host" -}}
{{ include "midlayer.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "midlayer.modelDirectory" -}}
/models/{{ .Values.model.name }}
{{- end }}

{{/* What Pod Security calls restricted, of a container. */}}
{{- define "midlayer.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "midlayer.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Asks whether the server can compute: by gRPC, and by HTTP where gRPC wants TLS, which Kubernetes' probes cannot. */}}
{{- define "midlayer.aliveProbe" -}}
{{- if .Values.tls.enabled -}}
httpGet:
  path: /healthz
  port: http
{{- else -}}
grpc:
  port: 50051
{{- end }}
timeoutSeconds: 5
{{- end }}

{{/* Asks whether it should be sent calls: not while it ends, and not before it has read the store of selections. */}}
{{- define "midlayer.readyProbe" -}}
{{- if .Values.tls.enabled -}}
httpGet:
  path: /readyz
  port: http
{{- else -}}
grpc:
  port: 50051
  service: midlayer.v1.EmbeddingService
{{- end }}
timeoutSeconds: 5
{{- end }}
