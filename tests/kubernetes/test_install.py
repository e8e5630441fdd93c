"""The chart, installed in a real API server: every example passes admission (Pod Security restricted enforced), schemas and scheduling.

Started by run.sh, which brings the programs: MIDLAYER_KUBERNETES names their folder.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import unittest

from control_plane import BOUND, ControlPlane

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CHART = SOURCE / "helm/midlayer"
EXAMPLES = {path.stem: path for path in sorted((SOURCE / "deploy/examples").glob("*.yaml"))}
TOOLS = os.environ["MIDLAYER_KUBERNETES"]
NAME = "embed-midlayer"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
# What clusters bring that examples speak of.
RUNTIME_CLASS = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"}
ON_THE_HOST = "gpu_70b"  # has its model on the host's disk, which restricted Pod Security forbids


def setUpModule():
    global plane
    plane = ControlPlane(TOOLS)
    unittest.enterModuleContext(plane)
    plane.kubectl("apply", "--server-side", *[part for file in sorted((pathlib.Path(TOOLS) / "../crds").glob("*.yaml")) for part in ("-f", file)])
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    plane.apply(RUNTIME_CLASS)


class InstallCase(unittest.TestCase):
    def namespace(self, name, labels=RESTRICTED):
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        return name

    def helm(self, *arguments):
        done = subprocess.run(["helm", *map(str, arguments)], env=plane.environment(), text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def install(self, namespace, *flags, command=("install",)):
        return self.helm(*command, "embed", CHART, "--namespace", namespace, "--wait", "--timeout", f"{BOUND}s", *flags)

    def pods(self, namespace):
        return plane.get("pods", "--namespace", namespace, "--selector=app.kubernetes.io/component=server")["items"]

    def eventually(self, condition, what):
        end = time.monotonic() + BOUND
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.2)


class Examples(InstallCase):
    def test_each_installs_where_pod_security_is_restricted(self):
        for name, path in EXAMPLES.items():
            if name == ON_THE_HOST:
                continue
            with self.subTest(example=name):
                namespace = self.namespace(name.replace("_", "-"))
                for claim in ("models",):
                    self.claim(namespace, claim)
                done = self.install(namespace, "--values", path)
                self.assertNotIn("Warning", done.stderr)
                wanted = self.replicas(namespace)
                self.eventually(lambda: len(self.pods(namespace)) == wanted, f"{wanted} pods")
                for pod in self.pods(namespace):
                    self.assertFalse([volume for volume in pod["spec"].get("volumes", []) if "projected" in volume], "no token of the service account")
                for service in (NAME, f"{NAME}-headless"):
                    self.eventually(lambda: self.addresses(namespace, service) == wanted, f"{service}: the addresses of {wanted} replicas")

    def replicas(self, namespace):
        """How many there should be: a Deployment that is scaled starts with one, and its autoscaler knows nothing to go by but its least."""
        scaled = plane.get("horizontalpodautoscalers", "--namespace", namespace)["items"]
        return scaled[0]["spec"]["minReplicas"] if scaled else plane.get("deployment", NAME, "--namespace", namespace)["spec"]["replicas"]

    def claim(self, namespace, name):
        plane.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{namespace}-{name}"},
                     "spec": {"capacity": {"storage": "1Ti"}, "accessModes": ["ReadOnlyMany"], "nfs": {"server": "nfs", "path": "/"}, "storageClassName": "models",
                              "claimRef": {"namespace": namespace, "name": name}}},
                    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": namespace},
                     "spec": {"accessModes": ["ReadOnlyMany"], "storageClassName": "models", "resources": {"requests": {"storage": "1Gi"}}}},
                    # What a storage class with a provisioner would do for the chart's own claim.
                    {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{namespace}-selections"},
                     "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "nfs": {"server": "nfs", "path": "/"},
                              "claimRef": {"namespace": namespace, "name": f"{NAME}-selections"}}})

    def addresses(self, namespace, service):
        slices = plane.get("endpointslices", "--namespace", namespace, f"--selector=kubernetes.io/service-name={service}")["items"]
        return sum(len(endpoint["addresses"]) for found in slices for endpoint in found.get("endpoints") or [])

    def test_a_model_on_the_host_is_refused_there_and_runs_elsewhere(self):
        flags = ["--values", EXAMPLES[ON_THE_HOST]]
        namespace = self.namespace("host-restricted")
        self.helm("install", "embed", CHART, "--namespace", namespace, *flags)
        self.eventually(lambda: "violates PodSecurity" in plane.kubectl("get", "events", "--namespace", namespace), "an event that says why")
        self.assertEqual(self.pods(namespace), [])
        namespace = self.namespace("host-privileged", {"pod-security.kubernetes.io/enforce": "privileged"})
        self.install(namespace, *flags)
        self.assertEqual(self.pods(namespace)[0]["spec"]["nodeName"], "gpu-a")

    def test_the_server_knows_every_field(self):
        for name, path in EXAMPLES.items():
            with self.subTest(example=name):
                namespace = self.namespace(f"dry-{name.replace('_', '-')}", {} if name == ON_THE_HOST else RESTRICTED)
                # Pods are not admitted without it, and a dry run makes none.
                plane.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": namespace}})
                rendered = self.helm("template", "embed", CHART, "--namespace", namespace, "--kube-version", "1.36.0", "--values", path).stdout
                done = plane.try_kubectl("apply", "--dry-run=server", "--validate=strict", "--namespace", namespace, "-f", "-", input=rendered)
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_an_unknown_field_would_be_found(self):
        rendered = self.helm("template", "embed", CHART, "--kube-version", "1.36.0").stdout.replace("revisionHistoryLimit", "revisionHistory")
        done = plane.try_kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=rendered)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('unknown field "spec.revisionHistory"', done.stderr)


class Life(InstallCase):
    def test_upgrade_rollback_and_uninstall(self):
        namespace = self.namespace("life")
        self.install(namespace)
        before = {pod["metadata"]["name"] for pod in self.pods(namespace)}
        self.install(namespace, "--set", "log.level=debug", "--set", "replicaCount=3", command=("upgrade",))
        self.eventually(lambda: len(self.pods(namespace)) == 3, "three replicas")
        after = self.pods(namespace)
        self.assertTrue(before.isdisjoint(pod["metadata"]["name"] for pod in after))
        self.assertTrue(all("--log-level=debug" in pod["spec"]["containers"][0]["args"] for pod in after))
        self.helm("rollback", "embed", "1", "--namespace", namespace, "--wait", "--timeout", f"{BOUND}s")
        self.eventually(lambda: len(self.pods(namespace)) == 2, "two replicas")
        self.helm("uninstall", "embed", "--namespace", namespace, "--wait", "--timeout", f"{BOUND}s")
        left = lambda: plane.kubectl("get", "all,networkpolicy,poddisruptionbudget,serviceaccount", "--namespace", namespace, "--output=name").split()
        self.eventually(lambda: left() == ["serviceaccount/default"], "nothing is left")

    def test_selections_stay_when_the_release_goes(self):
        namespace = self.namespace("kept")
        self.helm("install", "embed", CHART, "--namespace", namespace, "--set", "selections.store=file,replicaCount=1")
        self.helm("uninstall", "embed", "--namespace", namespace)
        self.assertIn(f"{NAME}-selections", plane.kubectl("get", "persistentvolumeclaims", "--namespace", namespace))

    def test_the_disruption_budget_lets_one_go_at_a_time(self):
        namespace = self.namespace("budget")
        self.install(namespace, "--set", "replicaCount=3")
        # Every node but this one can take no pod: an evicted replica finds no place, and is missed.
        nodes = [found["metadata"]["name"] for found in plane.get("nodes")["items"]]
        for node in nodes:
            plane.kubectl("cordon", node)
        self.addCleanup(lambda: [plane.kubectl("uncordon", node) for node in nodes])
        budget = lambda: plane.get("poddisruptionbudget", NAME, "--namespace", namespace)["status"]
        self.eventually(lambda: budget().get("disruptionsAllowed") == 1, "one disruption allowed")
        first, second = (pod["metadata"]["name"] for pod in self.pods(namespace)[:2])
        self.assertEqual(self.evict(namespace, first).returncode, 0)
        self.eventually(lambda: budget()["disruptionsAllowed"] == 0, "no more disruption allowed")
        refused = self.evict(namespace, second)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("would violate the pod's disruption budget", refused.stderr)

    def evict(self, namespace, pod):
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        return plane.try_kubectl("create", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", "-f", "-", input=json.dumps(eviction))


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=2).result
    sys.exit(not result.wasSuccessful())
