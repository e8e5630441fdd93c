"""The Helm chart: what it renders, what each value changes, what it refuses, and that the server takes what it is given.

tests/kubernetes/run.sh installs it in a real API server besides.
"""

import functools
import json
import pathlib
import re
import shutil
import tempfile
import unittest

import harness
from harness import SOURCE, Server, run

CHART = SOURCE / "helm/midlayer"
EXAMPLES = sorted((SOURCE / "deploy/examples").glob("*.yaml"))
VERSIONS = ("1.30", "1.34", "1.37")  # the oldest that Chart.yaml allows, and newer ones
OWN_KINDS = {"monitoring.coreos.com", "cert-manager.io", "keda.sh"}  # groups that Kubernetes itself does not know
NAME = "embed-midlayer"

SPEC = "Deployment/embed-midlayer:spec."
POD = SPEC + "template.spec."
SERVER = POD + "containers[server]."
ARGS = SERVER + "args"
PROBES = [f"{SERVER}{probe}Probe." for probe in ("startup", "readiness", "liveness")]
GRACE = POD + "terminationGracePeriodSeconds"
TEST = "Pod/embed-midlayer-test:spec."
SERVICE = "Service/embed-midlayer:"
HEADLESS = "Service/embed-midlayer-headless:"
POLICY = "NetworkPolicy/embed-midlayer:spec."
ACCOUNT = "ServiceAccount/embed-midlayer"
HPA = "HorizontalPodAutoscaler/embed-midlayer"
CERTIFICATE = "Certificate/embed-midlayer"
VOLUME = POD + "volumes"
MOUNT = SERVER + "volumeMounts"
ALL = ...  # "something", where the table need not say what

REDIS = ("selections.store=redis", "selections.redis.host=redis")
CLAIM = ("model.source=persistentVolumeClaim", "model.persistentVolumeClaim.claimName=models")
IMAGE_VOLUME = ("model.source=imageVolume", "model.imageVolume.reference=models/bge-m3:1")
HOST_PATH = ("model.source=hostPath", "model.hostPath.path=/srv/model")
INIT = ("model.source=initContainer", "model.initContainer.image=fetch:1")
LOADER = POD + "initContainers[model]."
TLS = ("tls.enabled=true", "tls.secretName=embed")
CERT_MANAGER = ("tls.enabled=true", "tls.certManager.enabled=true", "tls.certManager.issuerRef.name=internal")
TEST_TLS = {TEST + "volumes": ALL, TEST + "containers[embed].volumeMounts": ALL, TEST + "containers[embed].args": "--tls-ca=/etc/midlayer/tls/ca.crt"}
SCALED = ("autoscaling.enabled=true",)
KEDA = (*SCALED, "autoscaling.kind=ScaledObject", "autoscaling.metric=queueWait")
KEDA_OBJECT = "ScaledObject/embed-midlayer:spec."
RULES = "PrometheusRule/embed-midlayer"
BOARD = "ConfigMap/embed-midlayer-dashboard"
MONITOR = "ServiceMonitor/embed-midlayer"
FILE = ("selections.store=file", "replicaCount=1")
STORE_CLAIM = "PersistentVolumeClaim/embed-midlayer-selections"

# What is set before, what is then set, and all that this changes: each path with its new value (of a list: an element that is new in it).
CHANGES = [
    ((), "replicaCount=5", {SPEC + "replicas": 5}),
    ((), "image.repository=registry.example/m", {SERVER + "image": "registry.example/m:0.1.0-cpu", TEST + "containers[embed].image": ALL}),
    ((), "image.tag=v7", {SERVER + "image": "midlayer:v7", TEST + "containers[embed].image": ALL}),
    ((), "image.digest=sha256:" + "0" * 64, {SERVER + "image": "midlayer@sha256:" + "0" * 64, TEST + "containers[embed].image": ALL}),
    ((), "image.pullPolicy=Always", {SERVER + "imagePullPolicy": "Always", TEST + "containers[embed].imagePullPolicy": "Always"}),
    ((), "imagePullSecrets[0].name=pull", {POD + "imagePullSecrets": {"name": "pull"}, TEST + "imagePullSecrets": {"name": "pull"}}),
    ((), "model.name=other", {ARGS: "--model=/models/other"}),
    ((), ",".join(CLAIM), {VOLUME: {"name": "model", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
                           MOUNT: {"name": "model", "mountPath": "/models/all-MiniLM-L6-v2", "readOnly": True}}),
    (CLAIM, "model.subPath=a/b", {MOUNT + "[model].subPath": "a/b"}),
    (CLAIM, "model.persistentVolumeClaim.claimName=other", {VOLUME + "[model].persistentVolumeClaim.claimName": "other"}),
    ((), ",".join(IMAGE_VOLUME), {VOLUME: {"name": "model", "image": {"reference": "models/bge-m3:1", "pullPolicy": "IfNotPresent"}}, MOUNT: ALL}),
    (IMAGE_VOLUME, "model.imageVolume.reference=other:2", {VOLUME + "[model].image.reference": "other:2"}),
    (IMAGE_VOLUME, "model.imageVolume.pullPolicy=Never", {VOLUME + "[model].image.pullPolicy": "Never"}),
    ((), ",".join(HOST_PATH), {VOLUME: {"name": "model", "hostPath": {"path": "/srv/model", "type": "Directory"}}, MOUNT: ALL}),
    (HOST_PATH, "model.hostPath.path=/other", {VOLUME + "[model].hostPath.path": "/other"}),
    ((), ",".join(INIT), {VOLUME: {"name": "model", "emptyDir": {"sizeLimit": "20Gi"}}, MOUNT: ALL, POD + "initContainers": ALL}),
    (INIT, "model.initContainer.image=fetch:2", {LOADER + "image": "fetch:2"}),
    (INIT, "model.initContainer.command={sh,-c}", {LOADER + "command": "-c"}),
    (INIT, "model.initContainer.args={a}", {LOADER + "args": "a"}),
    (INIT, "model.initContainer.env[0].name=A", {LOADER + "env": {"name": "A"}}),
    (INIT, "model.initContainer.envFrom[0].secretRef.name=s", {LOADER + "envFrom": {"secretRef": {"name": "s"}}}),
    (INIT, "model.initContainer.resources.limits.memory=1Gi", {LOADER + "resources": {"limits": {"memory": "1Gi"}}}),
    (INIT, "model.initContainer.sizeLimit=1Gi", {VOLUME + "[model].emptyDir.sizeLimit": "1Gi"}),
    ((), "model.dtype=bfloat16", {ARGS: "--dtype=bfloat16"}),
    ((), "model.maxLayer=3", {ARGS: "--max-layer=3"}),
    ((), "flags.max-texts=1000000", {ARGS: "--max-texts=1000000"}),
    ((), "flags.health-timeout=0.5", {ARGS: "--health-timeout=0.5"}),
    ((), "flags.cpu-kernels=false", {ARGS: "--cpu-kernels=false"}),
    ((), "log.level=debug", {ARGS: "--log-level=debug"}),
    ((), "log.format=text", {ARGS: "--log-format=text"}),
    (("replicaCount=1",), "selections.store=memory", {ARGS: "--selection-store=memory"}),
    ((), "selections.scope=a", {ARGS: "--selection-scope=a"}),
    ((), ",".join(REDIS), {ARGS: "--selection-store=redis://redis:6379/0", POLICY + "egress": {"ports": [{"port": 6379, "protocol": "TCP"}]}}),
    (REDIS, "selections.redis.host=other", {ARGS: "--selection-store=redis://other:6379/0"}),
    (REDIS, "selections.redis.port=7", {ARGS: "--selection-store=redis://redis:7/0", POLICY + "egress[1].ports[0].port": 7}),
    (REDIS, "selections.redis.database=2", {ARGS: "--selection-store=redis://redis:6379/2"}),
    ((*REDIS, "selections.redis.passwordSecret.name=s"), "selections.redis.user=a@b",
     {ARGS: "--selection-store=redis://a%40b@redis:6379/0?password_file=/etc/midlayer/redis-password/password"}),
    (REDIS, "selections.redis.passwordSecret.name=s", {ARGS: "--selection-store=redis://redis:6379/0?password_file=/etc/midlayer/redis-password/password",
                                                       VOLUME: ALL, MOUNT: ALL}),
    ((*REDIS, "selections.redis.passwordSecret.name=s"), "selections.redis.passwordSecret.key=k",
     {ARGS: "--selection-store=redis://redis:6379/0?password_file=/etc/midlayer/redis-password/k", VOLUME + "[redis-password].secret.items[0].key": "k",
      VOLUME + "[redis-password].secret.items[0].path": "k"}),
    (REDIS, "selections.redis.tls.enabled=true", {ARGS: "--selection-store=rediss://redis:6379/0"}),
    ((*REDIS, "selections.redis.tls.enabled=true"), "selections.redis.tls.caSecret.name=s,selections.redis.tls.caSecret.key=k",
     {ARGS: "--selection-store=rediss://redis:6379/0?ca=/etc/midlayer/redis-ca/k", VOLUME: ALL, MOUNT: ALL}),
    (("replicaCount=1",), "selections.store=file",
     {ARGS: "--selection-store=file:/var/lib/midlayer/selections", SPEC + "strategy.type": "Recreate", SPEC + "strategy.rollingUpdate": None,
      MOUNT: {"name": "selections", "mountPath": "/var/lib/midlayer"}, STORE_CLAIM: ALL,
      VOLUME: {"name": "selections", "persistentVolumeClaim": {"claimName": "embed-midlayer-selections"}}}),
    (FILE, "selections.file.existingClaim=mine", {VOLUME + "[selections].persistentVolumeClaim.claimName": "mine", STORE_CLAIM: None}),
    (FILE, "selections.file.size=2Gi", {STORE_CLAIM + ":spec.resources.requests.storage": "2Gi"}),
    (FILE, "selections.file.storageClassName=fast", {STORE_CLAIM + ":spec.storageClassName": "fast"}),
    ((), "gpu.enabled=true", {ARGS: "--device=cuda", SERVER + "resources.limits.nvidia.com/gpu": 1, SERVER + "image": "midlayer:0.1.0-cuda",
                              TEST + "containers[embed].image": "midlayer:0.1.0-cuda"}),
    (("gpu.enabled=true",), "gpu.count=2", {ARGS: "--device=cuda:0,cuda:1", SERVER + "resources.limits.nvidia.com/gpu": 2}),
    (("gpu.enabled=true",), "gpu.resourceName=nvidia.com/mig-1g", {SERVER + "resources.limits.nvidia.com/gpu": None,
                                                                   SERVER + "resources.limits.nvidia.com/mig-1g": 1}),
    ((), "resources.requests.cpu=8", {SERVER + "resources.requests.cpu": 8}),
    ((), "resources.requests.memory=3Gi", {SERVER + "resources.requests.memory": "3Gi"}),
    ((), "resources.limits.memory=4Gi", {SERVER + "resources.limits.memory": "4Gi"}),
    ((), "service.type=LoadBalancer", {SERVICE + "spec.type": "LoadBalancer", SERVICE + "spec.ports": [],
                                       "Service/embed-midlayer-metrics": ALL}),
    ((), "service.port=443", {SERVICE + "spec.ports[grpc].port": 443,
                              TEST + "containers[embed].args": "--target=embed-midlayer.default.svc:443"}),
    ((), "service.httpPort=80", {SERVICE + "spec.ports[http].port": 80}),
    ((), "service.appProtocol=grpc", {SERVICE + "spec.ports[grpc].appProtocol": "grpc", HEADLESS + "spec.ports[grpc].appProtocol": "grpc"}),
    ((), "service.annotations.a=b", {SERVICE + "metadata.annotations": {"a": "b"}}),
    ((), "service.headless.enabled=false", {HEADLESS[:-1]: None}),
    ((), "maxConnectionAgeSeconds=0", {ARGS: "--max-connection-age=0"}),
    ((), "drain.preStopSeconds=0", {SERVER + "lifecycle": None, GRACE: 45}),
    ((), "drain.preStopSeconds=9", {SERVER + "lifecycle.preStop.sleep.seconds": 9, GRACE: 54}),
    ((), "drain.delaySeconds=8", {ARGS: "--drain-delay=8", GRACE: 53}),
    ((), "drain.timeoutSeconds=90", {ARGS: "--drain-timeout=90", GRACE: 110}),
    ((), "probes.startup.timeoutSeconds=60", {PROBES[0] + "failureThreshold": 12, SPEC + "progressDeadlineSeconds": 360}),
    ((), "probes.readiness.periodSeconds=2", {PROBES[1] + "periodSeconds": 2}),
    ((), "probes.liveness.timeoutSeconds=300", {PROBES[2] + "failureThreshold": 30}),
    ((), ",".join(TLS), {ARGS: "--tls-cert=/etc/midlayer/tls/tls.crt", VOLUME: {"name": "tls", "secret": {"secretName": "embed", "defaultMode": 0o440}},
                         MOUNT: {"name": "tls", "mountPath": "/etc/midlayer/tls", "readOnly": True},
                         **{probe + "grpc": None for probe in PROBES}, **{probe + "httpGet": {"path": path, "port": "http"} for probe, path in zip(PROBES, ("/healthz", "/readyz", "/healthz"))},
                         SERVICE + "spec.ports[grpc].appProtocol": None, HEADLESS + "spec.ports[grpc].appProtocol": None, **TEST_TLS}),
    (TLS, "tls.secretName=other", {VOLUME + "[tls].secret.secretName": "other", TEST + "volumes[tls].secret.secretName": "other"}),
    (TLS, "tls.clientCaSecret.name=c,tls.clientCaSecret.key=k", {ARGS: "--tls-client-ca=/etc/midlayer/client-ca/k", VOLUME: ALL, MOUNT: ALL}),
    (TLS, ",".join(CERT_MANAGER), {CERTIFICATE: ALL}),
    (CERT_MANAGER, "tls.certManager.issuerRef.name=other", {CERTIFICATE + ":spec.issuerRef.name": "other"}),
    (CERT_MANAGER, "tls.certManager.issuerRef.kind=ClusterIssuer", {CERTIFICATE + ":spec.issuerRef.kind": "ClusterIssuer"}),
    (CERT_MANAGER, "tls.certManager.issuerRef.group=g", {CERTIFICATE + ":spec.issuerRef.group": "g"}),
    (CERT_MANAGER, "tls.certManager.dnsNames={a.example}", {CERTIFICATE + ":spec.dnsNames": "a.example"}),
    (CERT_MANAGER, "tls.certManager.duration=24h", {CERTIFICATE + ":spec.duration": "24h"}),
    ((), "auth.tokenSecret.name=t", {ARGS: "--token-file=/etc/midlayer/tokens/tokens", VOLUME: ALL, MOUNT: ALL}),
    (("auth.tokenSecret.name=t",), "auth.tokenSecret.key=k", {ARGS: "--token-file=/etc/midlayer/tokens/k", VOLUME + "[tokens].secret.items[0].key": "k",
                                                              VOLUME + "[tokens].secret.items[0].path": "k"}),
    ((), ",".join(SCALED), {SPEC + "replicas": None, HPA: ALL}),
    (SCALED, "autoscaling.minReplicas=3", {HPA + ":spec.minReplicas": 3}),
    (SCALED, "autoscaling.maxReplicas=30", {HPA + ":spec.maxReplicas": 30}),
    (SCALED, "autoscaling.targetCpuUtilizationPercentage=50", {HPA + ":spec.metrics[0].containerResource.target.averageUtilization": 50}),
    (SCALED, "autoscaling.scaleDownStabilizationSeconds=60", {HPA + ":spec.behavior.scaleDown.stabilizationWindowSeconds": 60}),
    (SCALED, "autoscaling.metric=queueWait", {
        HPA + ":spec.metrics[0].type": "Pods", HPA + ":spec.metrics[0].containerResource": None, HPA + ":spec.metrics[0].pods": {
            "metric": {"name": "midlayer_queue_wait_seconds"}, "target": {"type": "AverageValue", "averageValue": "50m"}}}),
    ((*SCALED, "autoscaling.metric=queueWait"), "autoscaling.targetQueueWaitSeconds=2",
     {HPA + ":spec.metrics[0].pods.target.averageValue": "2000m"}),
    ((*SCALED, "autoscaling.metric=queueWait"), "autoscaling.kind=ScaledObject", {HPA: None, KEDA_OBJECT[:-6]: ALL}),
    (KEDA, "autoscaling.prometheusAddress=http://p:1", {KEDA_OBJECT + "triggers[0].metadata.serverAddress": "http://p:1"}),
    (KEDA, "autoscaling.targetQueueWaitSeconds=2", {KEDA_OBJECT + "triggers[0].metadata.threshold": "2"}),
    ((), "podDisruptionBudget.enabled=false", {"PodDisruptionBudget/embed-midlayer": None}),
    ((), "podDisruptionBudget.maxUnavailable=25%", {"PodDisruptionBudget/embed-midlayer:spec.maxUnavailable": "25%"}),
    ((), "networkPolicy.enabled=false", {POLICY[:-6]: None}),
    ((), "networkPolicy.clients[0].podSelector.matchLabels.a=b", {POLICY + "ingress[0].from": ALL}),
    ((), "networkPolicy.scrapers[0].podSelector.matchLabels.a=b", {POLICY + "ingress[1].from": {"podSelector": {"matchLabels": {"a": "b"}}}}),
    ((), "networkPolicy.egress[0].ports[0].port=443", {POLICY + "egress": {"ports": [{"port": 443}]}}),
    ((), "serviceAccount.create=false", {ACCOUNT: None, POD + "serviceAccountName": "default", TEST + "serviceAccountName": "default"}),
    ((), "serviceAccount.name=a", {ACCOUNT: None, "ServiceAccount/a": ALL, POD + "serviceAccountName": "a", TEST + "serviceAccountName": "a"}),
    ((), "serviceAccount.annotations.a=b", {ACCOUNT + ":metadata.annotations": {"a": "b"}}),
    ((), "metrics.serviceMonitor.enabled=true", {MONITOR: ALL}),
    (("metrics.serviceMonitor.enabled=true",), "metrics.serviceMonitor.labels.a=b", {MONITOR + ":metadata.labels.a": "b"}),
    (("metrics.serviceMonitor.enabled=true",), "metrics.serviceMonitor.interval=30s", {MONITOR + ":spec.endpoints[0].interval": "30s"}),
    ((), "metrics.prometheusRule.enabled=true", {RULES: ALL}),
    (("metrics.dashboard.enabled=true",), "metrics.runbooksUrl=https://a", {BOARD + ":data.midlayer.json": ALL}),
    (("metrics.prometheusRule.enabled=true",), "metrics.prometheusRule.labels.a=b", {RULES + ":metadata.labels.a": "b"}),
    ((), "metrics.dashboard.enabled=true", {BOARD: ALL}),
    (("metrics.dashboard.enabled=true",), "metrics.dashboard.labels.grafana_dashboard=two", {BOARD + ":metadata.labels.grafana_dashboard": "two"}),
    (("metrics.dashboard.enabled=true",), "metrics.dashboard.annotations.a=b", {BOARD + ":metadata.annotations": {"a": "b"}}),
    ((), "test.layer=2", {TEST + "containers[embed].args": "--layer=2"}),
    ((), "test.tokenSecret.name=t,test.tokenSecret.key=k", {TEST + "volumes": ALL, TEST + "containers[embed].volumeMounts": ALL,
                                                            TEST + "containers[embed].args": "--bearer-token-file=/etc/midlayer/token/k"}),
    (TLS, "test.serverRoots=system", {TEST + "volumes": None, TEST + "containers[embed].volumeMounts": None,
                                      TEST + "containers[embed].args": "--tls"}),
    (TLS, "test.clientCertificateSecret=c", {TEST + "volumes": ALL, TEST + "containers[embed].volumeMounts": ALL,
                                             TEST + "containers[embed].args": "--tls-client-cert=/etc/midlayer/client/tls.crt"}),
    ((), "strategy.type=Recreate", {SPEC + "strategy.type": "Recreate", SPEC + "strategy.rollingUpdate": None}),
    ((), "podAnnotations.a=b", {SPEC + "template.metadata.annotations.a": "b"}),
    ((), "podLabels.a=b", {SPEC + "template.metadata.labels.a": "b"}),
    ((), "priorityClassName=high", {POD + "priorityClassName": "high"}),
    ((), "runtimeClassName=nvidia", {POD + "runtimeClassName": "nvidia"}),
    ((), "nodeSelector.a=b", {POD + "nodeSelector": {"a": "b"}}),
    ((), "tolerations[0].key=a", {POD + "tolerations": {"key": "a"}}),
    ((), "affinity.podAffinity.a=b", {POD + "affinity": ALL}),
    ((), "topologySpreadConstraints[0].maxSkew=2", {POD + "topologySpreadConstraints": {"maxSkew": 2}}),
    ((), "extraEnv[0].name=A", {SERVER + "env": {"name": "A"}}),
    ((), "extraVolumes[0].name=v", {VOLUME: {"name": "v"}}),
    ((), "extraVolumeMounts[0].name=v", {MOUNT: {"name": "v"}}),
    ((), "extraContainers[0].name=c", {POD + "containers": {"name": "c"}}),
]
# These change names or labels of everything.
EVERYWHERE = {"nameOverride", "fullnameOverride", "commonLabels"}

# What is set, and what the message says.
REFUSED = [
    (("replicaCount=two",), "at '/replicaCount': got string, want integer"),
    (("replicas=2",), "additional properties 'replicas' not allowed"),
    (("model.dtype=fp16",), "at '/model/dtype': value must be one of 'auto', 'float32', 'bfloat16', 'float16', 'int8'"),
    (("model.source=persistentVolumeClaim",), "at '/model/persistentVolumeClaim/claimName': minLength: got 0, want 1"),
    (("model.source=imageVolume",), "at '/model/imageVolume/reference': minLength: got 0, want 1"),
    (("model.source=hostPath",), "at '/model/hostPath/path': minLength: got 0, want 1"),
    (("model.source=initContainer",), "at '/model/initContainer/image': minLength: got 0, want 1"),
    ((*CLAIM, "model.subPath=../other"), "at '/model/subPath'"),
    (("model.name=a/b",), "at '/model/name': 'a/b' does not match pattern"),
    (("image.digest=latest",), "at '/image/digest'"),
    (("selections.store=postgres",), "at '/selections/store': value must be one of 'none', 'redis', 'file', 'memory'"),
    (("selections.store=redis",), "at '/selections/redis/host': minLength: got 0, want 1"),
    ((*REDIS, "selections.redis.user=u"), "selections.redis.passwordSecret.name: expected a secret with the password of user u, found none"),
    (("selections.store=memory",), "selections.store: expected redis or none for more than one replica, found memory"),
    (("selections.store=file", "autoscaling.enabled=true", "replicaCount=1"), "selections.store: expected redis or none for more than one replica"),
    (("flags.listen=0.0.0.0:1",), "flags: expected flags that the chart does not set by values of its own, found listen"),
    (("flags.maxTexts=1",), "flags: expected flags of midlayer-server without dashes in front, as max-texts, found maxTexts"),
    (("tls.enabled=true",), "at '/tls/secretName': minLength: got 0, want 1"),
    (("tls.certManager.enabled=true",), "at '/tls/certManager/issuerRef/name': minLength: got 0, want 1"),
    (("resources.limits.memory=plenty",), "at '/resources/limits/memory': 'plenty' does not match pattern"),
    (("service.port=70000",), "at '/service/port': maximum: got 70,000, want 65,535"),
    (("probes.startup.timeoutSeconds=0",), "at '/probes/startup/timeoutSeconds': minimum: got 0, want 5"),
    (("autoscaling.enabled=true", "gpu.enabled=true"), "autoscaling.metric: expected queueWait where gpu.enabled, found cpu"),
    (("autoscaling.enabled=true", "autoscaling.kind=ScaledObject"), "autoscaling.metric: expected queueWait for a ScaledObject, found cpu"),
    (("autoscaling.maxReplicas=1",), "autoscaling.maxReplicas: expected at least minReplicas, 2, found 1"),
    (("metrics.serviceMonitor.interval=15",), "at '/metrics/serviceMonitor/interval'"),
    (("gpu.count=0",), "at '/gpu/count': minimum: got 0, want 1"),
]


class ChartCase(harness.PackagesCase):
    packages = ("yaml", "kubernetes_validate")
    maxDiff = None

    def helm(self, *arguments):
        return run([harness.require(self, "helm"), *arguments])

    def template(self, values=(), examples=()):
        flags = [part for example in examples for part in ("--values", example)] + [part for value in values for part in ("--set", value)]
        return self.helm("template", "embed", CHART, "--kube-version", VERSIONS[-1], *flags)

    def render(self, values=(), examples=()):
        """{"Kind/name": object}."""
        import yaml
        done = self.template(values, examples)
        self.assertEqual(done.returncode, 0, done.stderr)
        objects = [document for document in yaml.safe_load_all(done.stdout) if document]
        named = {f"{found['kind']}/{found['metadata']['name']}": found for found in objects}
        self.assertEqual(len(named), len(objects))
        return named


def leaves(values, path=""):
    """Paths of all values that are no mappings, or empty ones."""
    if not isinstance(values, dict) or not values:
        return [path]
    return [leaf for key, value in values.items() for leaf in leaves(value, f"{path}.{key}" if path else key)]


def keyed(items):
    """A list as a mapping: by name where all its elements have one of their own, else by position; of plain values none."""
    if not all(isinstance(item, dict) for item in items):
        return None
    names = [item.get("name") for item in items]
    return {f"[{name}]": item for name, item in zip(names if len(set(names) - {None}) == len(items) else range(len(items)), items)}


def changes(before, after, path=""):
    """{path: new value} of all that differs: None for what is gone; of a list that got or lost elements, those that are new."""
    if before == after:
        return {}
    if isinstance(before, list) and isinstance(after, list):
        old, new = keyed(before), keyed(after)
        if old is not None and new is not None and old.keys() == new.keys():
            before, after = old, new
        else:
            return {path: [item for item in after if item not in before]}
    if isinstance(before, dict) and isinstance(after, dict):
        found = {}
        for key in before.keys() | after.keys():
            dot = "" if key.startswith("[") or not path else ":" if ":" not in path else "."
            found |= changes(before.get(key), after.get(key), f"{path}{dot}{key}")
        return found
    return {path: after}


class Chart(ChartCase):
    def test_helm_finds_nothing_to_say(self):
        for example in (None, *EXAMPLES):
            with self.subTest(example=example):
                done = self.helm("lint", "--strict", "--quiet", CHART, *(["--values", example] if example else []))
                self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_kubernetes_knows_every_field(self):
        import kubernetes_validate
        for example in (None, *EXAMPLES):
            objects = self.render(examples=[example] if example else [])
            for version in VERSIONS:
                for name, found in objects.items():
                    if found["apiVersion"].split("/")[0] in OWN_KINDS:
                        continue
                    if name.startswith("Deployment") and version == "1.30" and example and "image_volume" in example.name:
                        continue  # newer than that
                    with self.subTest(example=example, version=version, object=name):
                        self.assertEqual(kubernetes_validate.validate(found, version, strict=True), version)

    def test_a_value_changes_what_it_should_and_nothing_else(self):
        bases = functools.cache(self.render)
        for before, value, expected in CHANGES:
            with self.subTest(value=value, before=before):
                found = changes(bases(before), self.render((*before, *value.split(",")) if "{" not in value else (*before, value)))
                self.assertEqual(found.keys(), expected.keys())
                for path, new in expected.items():
                    if new is ALL:
                        self.assertTrue(found[path])
                    elif isinstance(found[path], list) and not isinstance(new, list):
                        self.assertIn(new, found[path])
                    else:
                        self.assertEqual(found[path], new, path)

    def test_every_value_is_in_the_table(self):
        import yaml
        values = leaves(yaml.safe_load((CHART / "values.yaml").read_text()))
        named = {re.sub(r"\[.*", "", part.partition("=")[0]) for _, value, _ in CHANGES for part in re.split(r",(?=[a-zA-Z.]+=)", value)}
        tested = {leaf for leaf in values for name in named if name == leaf or name.startswith(leaf + ".")}
        self.assertEqual(set(values) - tested, EVERYWHERE)

    def test_names_and_labels(self):
        for values, name in [((), NAME), (("nameOverride=a",), "embed-a"), (("fullnameOverride=b",), "b"), (("nameOverride=emb",), "embed")]:
            self.assertIn(f"Deployment/{name}", self.render(values))
        labelled = self.render(("commonLabels.team=search",))
        self.assertEqual({found["metadata"]["labels"].get("team") for found in labelled.values()}, {"search"})

    def test_wrong_values_are_refused_by_name(self):
        for values, message in REFUSED:
            with self.subTest(values=values):
                done = self.template(values)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(message, done.stderr)

    def test_what_selects_pods_selects_the_servers_and_them_alone(self):
        objects = self.render(("metrics.serviceMonitor.enabled=true",))
        pod = objects[f"Deployment/{NAME}"]["spec"]["template"]
        ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        services = [objects[f"Service/{NAME}"], objects[f"Service/{NAME}-headless"]]
        selectors = [service["spec"]["selector"] for service in services]
        for kind, field in [("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"), ("Deployment", "selector")]:
            selectors.append(objects[f"{kind}/{NAME}"]["spec"][field]["matchLabels"])
        other = objects[f"Pod/{NAME}-test"]["metadata"]["labels"]
        for selector in selectors:
            self.assertLessEqual(selector.items(), pod["metadata"]["labels"].items())
            self.assertFalse(selector.items() <= other.items())
        for service in services:
            self.assertLessEqual({port["targetPort"] for port in service["spec"]["ports"]}, ports)
        monitor = objects[MONITOR]["spec"]
        scraped = [service["metadata"]["name"] for service in services
                   if monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
                   and monitor["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}]
        self.assertEqual(scraped, [NAME])

    def test_the_dashboard_and_the_alerts_are_those_of_deploy(self):
        import yaml
        objects = self.render(("metrics.prometheusRule.enabled=true", "metrics.dashboard.enabled=true"))
        alerts = yaml.safe_load((SOURCE / "deploy/prometheus/alerts.yaml").read_text())
        self.assertEqual(objects[RULES]["spec"], alerts)
        dashboard = json.loads((SOURCE / "deploy/grafana/midlayer.json").read_text())
        self.assertEqual(json.loads(objects[BOARD]["data"]["midlayer.json"]), dashboard)

    def test_the_readme_is_what_the_values_say(self):
        docs = harness.require(self, "helm-docs")
        done = run([docs, "--chart-search-root", CHART, "--dry-run", "--log-level", "error", "--sort-values-order", "file"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.strip(), (CHART / "README.md").read_text().strip(), "helm-docs --chart-search-root helm/midlayer --sort-values-order file writes it")


class Given(ChartCase):
    """The server and the client, started as the chart starts them: with its arguments, but for paths and addresses of here."""

    def start(self, values=(), examples=(), at=None, model="bert"):
        """The server of the Deployment, and the arguments of the client of `helm test`. at: a folder for /etc/midlayer and /var/lib/midlayer."""
        objects = self.render(values, examples)
        place = lambda argument: argument.replace("/etc/midlayer", str(at)).replace("/var/lib/midlayer", str(at))
        arguments = [place(argument) for argument in objects[f"Deployment/{NAME}"]["spec"]["template"]["spec"]["containers"][0]["args"]]
        flags = dict(argument.split("=", 1) for argument in arguments if not argument.startswith("--model="))
        server = Server(model, *[part for flag in flags.items() for part in flag])
        self.addCleanup(server.close)
        client = objects[f"Pod/{NAME}-test"]["spec"]["containers"][0]
        self.assertEqual(client["command"], ["midlayer", "embed"])
        return server, [place(argument) for argument in client["args"] if not argument.startswith("--target=")]

    def expect_embeds(self, server, arguments):
        done = run([harness.CLI, "embed", f"--target={server.address}", *arguments])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Hello, middle layers.", done.stdout)

    def test_defaults(self):
        server, client = self.start()
        self.expect_embeds(server, client)
        self.assertEqual(server.facts["selections"], "none")

    def test_a_store_on_a_volume(self):
        at = tempfile.TemporaryDirectory()
        self.addCleanup(at.cleanup)
        server, client = self.start(examples=[SOURCE / "deploy/examples/one_replica.yaml"], at=at.name)
        self.expect_embeds(server, client)
        self.assertTrue((pathlib.Path(at.name) / "selections").is_dir())

    def test_mutual_tls_and_tokens(self):
        at = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        certificates = harness.Certificates(self, at)
        certificates.make_ca("ca")
        for secret, name, host in [("tls", "server", "IP:127.0.0.1"), ("client", "client", "DNS:client")]:
            certificates.make(name, "ca", host)
            self.secret(at / secret, {"tls.crt": at / f"{name}.pem", "tls.key": at / f"{name}.key", "ca.crt": at / "ca.pem"})
        self.secret(at / "client-ca", {"ca.crt": at / "ca.pem"})
        for secret, key, content in [("tokens", "tokens", "test 0123456789abcdef\n"), ("token", "token", "0123456789abcdef\n")]:
            (at / secret).mkdir()
            (at / secret / key).write_text(content)
        server, client = self.start(("auth.tokenSecret.name=t", "test.tokenSecret.name=t"), [SOURCE / "deploy/examples/mutual_tls.yaml"], at)
        self.assertEqual(server.facts["security"], "mutual TLS, tokens")
        self.expect_embeds(server, client)
        for flag, problem in [("--bearer-token-file", "expected Bearer and a token of this server, found none"), ("--tls-client", "cannot reach")]:
            done = run([harness.CLI, "embed", f"--target={server.address}", *[part for part in client if not part.startswith(flag)]])
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(problem, done.stderr)

    def secret(self, folder, files):
        folder.mkdir()
        for key, file in files.items():
            shutil.copy(file, folder / key)


if __name__ == "__main__":
    unittest.main()
