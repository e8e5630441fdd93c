{{/* The address of the selection store, as --selection-store takes it. */}}
{{- define "midlayer.selectionStore" -}}
{{- with .Values.selections }}
{{- if eq .store "redis" }}
{{- $options := list }}
{{- if .redis.passwordSecret.name }}{{ $options = append $options (printf "password_file=/etc/midlayer/redis-password/%s" .redis.passwordSecret.key) }}{{ end }}
{{- if and .redis.tls.enabled .redis.tls.caSecret.name }}{{ $options = append $options (printf "ca=/etc/midlayer/redis-ca/%s" .redis.tls.caSecret.key) }}{{ end }}
{{- $user := ternary "" (printf "%s@" (urlquery .redis.user)) (eq .redis.user "") }}
{{- ternary "rediss" "redis" .redis.tls.enabled }}://{{ $user }}{{ .redis.host }}:{{ .redis.port }}/{{ .redis.database }}
{{- if $options }}?{{ join "&" $options }}{{ end }}
{{- else if eq .store "file" -}}
file:/var/lib/midlayer/selections
{{- else -}}
{{ .store }}
{{- end }}
{{- end }}
{{- end }}

{{/* GPUs by number, where there are several. */}}
{{- define "midlayer.device" -}}
{{- if not .Values.gpu.enabled -}}
cpu
{{- else if eq (int .Values.gpu.count) 1 -}}
cuda
{{- else -}}
{{- $devices := list }}
{{- range until (int .Values.gpu.count) }}{{ $devices = append $devices (printf "cuda:%d" .) }}{{ end }}
{{- join "," $devices }}
{{- end }}
{{- end }}

{{- define "midlayer.args" -}}
- --model={{ include "midlayer.modelDirectory" . }}
- --device={{ include "midlayer.device" . }}
- --dtype={{ .Values.model.dtype }}
- --max-layer={{ .Values.model.maxLayer }}
- --selection-store={{ include "midlayer.selectionStore" . }}
{{- with .Values.selections.scope }}
- --selection-scope={{ . }}
{{- end }}
- --max-connection-age={{ .Values.maxConnectionAgeSeconds }}
- --drain-delay={{ .Values.drain.delaySeconds }}
- --drain-timeout={{ .Values.drain.timeoutSeconds }}
- --log-level={{ .Values.log.level }}
- --log-format={{ .Values.log.format }}
{{- if .Values.tls.enabled }}
- --tls-cert=/etc/midlayer/tls/tls.crt
- --tls-key=/etc/midlayer/tls/tls.key
{{- with .Values.tls.clientCaSecret }}
{{- if .name }}
- --tls-client-ca=/etc/midlayer/client-ca/{{ .key }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.auth.tokenSecret }}
{{- if .name }}
- --token-file=/etc/midlayer/tokens/{{ .key }}
{{- end }}
{{- end }}
{{- range $flag, $value := .Values.flags }}
- {{ printf "--%s=%v" $flag (ternary (toJson $value) (toString $value) (kindIs "float64" $value)) | quote }}
{{- end }}
{{- end }}

{{/* Secrets that are mounted at /etc/midlayer/NAME: all of one, or one key. */}}
{{- define "midlayer.secrets" -}}
{{- with .Values.selections }}
{{- if eq .store "redis" }}
{{- with .redis.passwordSecret }}
{{- if .name }}
- {name: redis-password, secret: {{ .name }}, key: {{ .key }}}
{{- end }}
{{- end }}
{{- with .redis.tls }}
{{- if and .enabled .caSecret.name }}
- {name: redis-ca, secret: {{ .caSecret.name }}, key: {{ .caSecret.key }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.tls.enabled }}
- {name: tls, secret: {{ include "midlayer.tlsSecretName" . }}}
{{- with .Values.tls.clientCaSecret }}
{{- if .name }}
- {name: client-ca, secret: {{ .name }}, key: {{ .key }}}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.auth.tokenSecret }}
{{- if .name }}
- {name: tokens, secret: {{ .name }}, key: {{ .key }}}
{{- end }}
{{- end }}
{{- end }}

{{/* Given such a list. */}}
{{- define "midlayer.secretVolumes" -}}
{{- range . }}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    {{- with .key }}
    items: [{key: {{ . }}, path: {{ . }}}]
    {{- end }}
{{- end }}
{{- end }}

{{- define "midlayer.secretMounts" -}}
{{- range . }}
- {name: {{ .name }}, mountPath: /etc/midlayer/{{ .name }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "midlayer.volumes" -}}
{{- with .Values.model }}
{{- if eq .source "persistentVolumeClaim" }}
- name: model
  persistentVolumeClaim: {claimName: {{ .persistentVolumeClaim.claimName }}, readOnly: true}
{{- else if eq .source "imageVolume" }}
- name: model
  image: {reference: {{ .imageVolume.reference | quote }}, pullPolicy: {{ .imageVolume.pullPolicy }}}
{{- else if eq .source "hostPath" }}
- name: model
  hostPath: {path: {{ .hostPath.path | quote }}, type: Directory}
{{- else if eq .source "initContainer" }}
- name: model
  emptyDir: {sizeLimit: {{ .initContainer.sizeLimit }}}
{{- end }}
{{- end }}
{{- with .Values.selections }}
{{- if eq .store "file" }}
- name: selections
  persistentVolumeClaim: {claimName: {{ default (printf "%s-selections" (include "midlayer.fullname" $)) .file.existingClaim }}}
{{- end }}
{{- end }}
{{- with include "midlayer.secrets" . | fromYamlArray }}
{{ include "midlayer.secretVolumes" . }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "midlayer.modelMount" -}}
- name: model
  mountPath: {{ include "midlayer.modelDirectory" . }}
  {{- with .Values.model.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end }}

{{- define "midlayer.volumeMounts" -}}
{{- if ne .Values.model.source "image" }}
{{ include "midlayer.modelMount" . }}
  readOnly: true
{{- end }}
{{- if eq .Values.selections.store "file" }}
- {name: selections, mountPath: /var/lib/midlayer}
{{- end }}
{{- with include "midlayer.secrets" . | fromYamlArray }}
{{ include "midlayer.secretMounts" . }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
