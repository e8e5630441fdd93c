"""A real Kubernetes control plane on loopback: etcd, API server with its admission, controllers, scheduler. Only the nodes are made up (kwok): pods are
scheduled and become ready, and nothing runs in them."""

import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
BOUND = 120  # seconds, which only something broken takes
NODES = [("cpu-a", "zone-a", {}, []), ("cpu-b", "zone-b", {}, []), ("cpu-c", "zone-c", {}, []),
         ("gpu-a", "zone-a", {"nvidia.com/gpu": "8"}, [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}])]


def node(name, zone, devices, taints):
    resources = {"cpu": "64", "memory": "512Gi", "pods": "110", **devices}
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}
    if devices:
        labels["nvidia.com/gpu.product"] = "NVIDIA-H100-80GB-HBM3"
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "spec": {"taints": taints}, "status": {"allocatable": resources, "capacity": resources}}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class ControlPlane:
    """Ready once entered. tools: the folder of the programs that tools/setup.sh --kubernetes makes."""

    def __init__(self, tools):
        self._tools = pathlib.Path(tools)
        self._directory = tempfile.TemporaryDirectory(prefix="midlayer-kubernetes-")
        self.path = pathlib.Path(self._directory.name)
        self.kubeconfig = self.path / "kubeconfig"
        self._processes = []

    def __enter__(self):
        try:
            self._start_api()
            self._start_the_rest()
            self.apply(*[node(*facts) for facts in NODES])
            self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
            self._until(lambda: self.try_kubectl("get", "serviceaccount", "default").returncode == 0, "the default service account")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):  # the API server before etcd, without which it hangs
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._directory.cleanup()

    def environment(self):
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": f"{self._tools}:{os.environ['PATH']}"}

    def try_kubectl(self, *arguments, input=None):
        return subprocess.run(["kubectl", *map(str, arguments)], env=self.environment(), input=input, text=True, capture_output=True)

    def kubectl(self, *arguments, input=None):
        done = self.try_kubectl(*arguments, input=input)
        if done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def apply(self, *objects):
        self.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def _run(self, *command):
        name = pathlib.Path(command[0]).name
        with open(self.path / f"{name}.log", "w") as log:
            self._processes.append(subprocess.Popen(list(map(str, command)), cwd=self.path, env=self.environment(), stdout=log, stderr=log))

    def _until(self, condition, what):
        end = time.monotonic() + BOUND
        while not condition():
            if time.monotonic() > end:
                logs = {log.name: log.read_text()[-500:] for log in self.path.glob("*.log")}
                raise AssertionError(f"{what}: not there after {BOUND} s: {logs}")
            time.sleep(0.25)

    def _start_api(self):
        etcd, peer, port = (free_port() for _ in range(3))
        self._run("etcd", "--data-dir", "etcd", "--listen-client-urls", f"http://127.0.0.1:{etcd}", "--advertise-client-urls", f"http://127.0.0.1:{etcd}",
                  "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                  "--initial-cluster", f"default=http://127.0.0.1:{peer}")
        for command in (["genrsa", "-out", "sa.key", "2048"], ["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"]):
            subprocess.run(["openssl", *command], cwd=self.path, check=True, capture_output=True)
        (self.path / "tokens.csv").write_text('admin,admin,admin,"system:masters"\n')
        self._run("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}", "--cert-dir=certs",
                  "--service-account-key-file=sa.pub", "--service-account-signing-key-file=sa.key", "--token-auth-file=tokens.csv",
                  "--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
                  "--endpoint-reconciler-type=none")
        url = f"https://127.0.0.1:{port}"
        self._until(lambda: self._answers(url + "/readyz"), "the API server")
        cluster = {"server": url, "certificate-authority": str(self.path / "certs/apiserver.crt")}
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "local", "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": "admin"}}], "contexts": [{"name": "local", "context": {"cluster": "local", "user": "admin"}}]}))

    def _answers(self, url):
        request = urllib.request.Request(url, headers={"Authorization": "Bearer admin"})
        try:
            with urllib.request.urlopen(request, timeout=5, context=ssl._create_unverified_context()) as answer:
                return answer.read() == b"ok"
        except (OSError, urllib.error.URLError):
            return False

    def _start_the_rest(self):
        self._run("kube-controller-manager", f"--kubeconfig={self.kubeconfig}", "--service-account-private-key-file=sa.key",
                  "--root-ca-file=certs/apiserver.crt", "--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={free_port()}")
        self._run("kube-scheduler", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={free_port()}")
        self._run("kwok", f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=true", "--cidr=10.0.1.1/24", "--node-ip=127.0.0.1",
                  f"--config={self._tools}/../stages.yaml", f"--server-address=127.0.0.1:{free_port()}")
