"""What the end-to-end tests share: the real programs, real tools beside them, and models damaged on purpose.

Environment (set by ctest): MIDLAYER_BINARY_DIR, where the programs were built. MIDLAYER_REQUIRE_TOOLS=1 makes an absent
tool a failure instead of a skip. MIDLAYER_TOOLS: a directory whose bin/ holds tools. MIDLAYER_TEST_PYTHON: a Python with
requirements.txt installed.
"""

import functools
import importlib.util
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("MIDLAYER_BINARY_DIR", SOURCE / "build/dev"))
SERVER = BINARY / "midlayer-server"
CLI = BINARY / "midlayer"
MODELS = SOURCE / "tests/golden/models"
TEXTS = json.loads((SOURCE / "tests/golden/texts.json").read_text())
EMBED = "midlayer.v1.EmbeddingService/Embed"
BOUND = 60  # seconds, which only something broken takes


def environment(extra=None):
    """The environment without what would configure the programs, and with `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIDLAYER_")}
    return kept | (extra or {})


def run(command, **options):
    """A program run to its end: returncode, stdout, stderr (text)."""
    options.setdefault("env", environment())
    options.setdefault("text", True)
    options.setdefault("timeout", BOUND)
    return subprocess.run([str(part) for part in command], capture_output=True, **options)


def eventually(condition, bound=BOUND):
    """Waits for `condition`; its value, false where it stays so."""
    end = time.monotonic() + bound
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return value


class Server:
    """midlayer-server on free ports. Ready once constructed; `facts` is its start-up block. A context manager.
    files: soft and hard limit of open files."""

    def __init__(self, model="bert", *flags, env=None, files=None):
        command = [SERVER, "--model", MODELS / model]
        defaults = {"--listen": "127.0.0.1:0", "--metrics-listen": "127.0.0.1:0", "--device": "cpu", "--threads": "1",
                    "--selection-store": "memory"}
        for flag, value in defaults.items():
            command += [flag, value] if flag not in flags else []
        command += flags
        self._errors = tempfile.TemporaryFile("w+")
        self._follower = None
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, files) if files else None
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=self._errors,
                                        text=True, env=environment(env), preexec_fn=limit)
        self.block = self._read_block()
        if self.block and self.block[0].startswith("{"):
            self.facts = json.loads(self.block[0])
        else:
            pairs = (line.split(None, 1) for line in self.block[1:])
            self.facts = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
        if "grpc" not in self.facts:
            message = f"no start-up block: {self.block} {self.errors()}"
            self.close()
            raise AssertionError(message)
        self.address = self.facts["grpc"]

    def _read_block(self):
        lines = []
        watchdog = threading.Timer(BOUND, self.process.kill)
        watchdog.start()
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if '"metrics":' in line or line.startswith("  metrics "):
                break
        watchdog.cancel()
        return lines

    def errors(self):
        """What it has written to standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def metrics(self):
        """The text of /metrics."""
        with urllib.request.urlopen(self.facts["metrics"], timeout=BOUND) as answer:
            return answer.read().decode()

    def metric(self, series):
        """A series' value; 0 where it is not there."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.metrics(), re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def series(self):
        """Every series of /metrics with its value: {(name, frozenset of (label, value)): float}."""
        values = {}
        for line in self.metrics().splitlines():
            if line and not line.startswith("#"):
                series, value = line.rsplit(" ", 1)
                name, _, labels = series.partition("{")
                values[name, frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))] = float(value)
        return values

    def memory(self):
        """Its resident memory, in bytes."""
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def files(self):
        """How many file descriptors it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self):
        """Processor time that it has taken, of all its threads."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number):
        self.process.send_signal(number)

    def follow(self):
        """Reads its standard output from now on: a log of many lines would fill the pipe, and the server would wait."""
        self._log = []
        self._follower = threading.Thread(target=lambda: self._log.extend(self.process.stdout), daemon=True)
        self._follower.start()

    def wait(self):
        """Its exit code, once it has ended, and the rest of its standard output."""
        if self._follower is not None:
            self.process.wait(BOUND)
            self._follower.join(BOUND)
            return self.process.returncode, "".join(self._log)
        rest, _ = self.process.communicate(timeout=BOUND)
        return self.process.returncode, rest

    def stop(self):
        """SIGTERM, and the same as wait()."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        self.process.kill()
        if self._follower is None:
            self.process.communicate()
        else:
            self.wait()

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self.process.stdout.close()
        self._errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def start_redis(program, port, directory):
    """The process of a Redis that answers, and keeps everything in `directory`."""
    process = subprocess.Popen([str(program), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", "",
                                "--appendonly", "yes", "--appendfsync", "always"], stdout=subprocess.DEVNULL)

    def answers():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    if not eventually(answers):
        process.kill()
        raise AssertionError("redis-server does not answer")
    return process


def require(test, name):
    """The path of a tool. Absent: a skip that says so, or a failure where MIDLAYER_REQUIRE_TOOLS is 1."""
    places = [os.environ.get("PATH", ""), str(pathlib.Path(os.environ.get("MIDLAYER_TOOLS") or "/nonexistent") / "bin"),
              str(SOURCE / ".deps/bin")]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        absent(test, f"{name} is neither on PATH nor in $MIDLAYER_TOOLS/bin nor in .deps/bin")
    return found


def absent(test, reason):
    if os.environ.get("MIDLAYER_REQUIRE_TOOLS") == "1":
        test.fail(f"{reason}, and MIDLAYER_REQUIRE_TOOLS is 1")
    test.skipTest(reason)


def grpcurl(test, server, *arguments, data=None):
    """grpcurl against `server`; `data` is the request, sent through standard input."""
    command = [require(test, "grpcurl"), "-plaintext", "-max-msg-sz", str(1 << 30)]
    if data is not None:
        command += ["-d", "@"]
    return run([*command, server.address, *arguments], input=None if data is None else json.dumps(data))


def client(*arguments, server=None, **options):
    """The command `midlayer` run to its end."""
    target = [f"--target={server.address}"] if server else []
    return run([CLI, arguments[0], *target, *arguments[1:]], **options)


def embed_lines(server, texts, *flags, layer=2):
    """The vectors that `midlayer embed` gives for texts on its standard input."""
    done = client("embed", f"--layer={layer}", "--batch=32", *flags, "-", server=server, input="".join(t + "\n" for t in texts))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Model:
    """A copy of a golden model to damage; gone at the end of the test."""

    def __init__(self, test, name="bert"):
        directory = tempfile.TemporaryDirectory(prefix="midlayer-")
        test.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name) / name
        shutil.copytree(MODELS / name, self.path)

    def set(self, file="config.json", **values):
        """Sets members of a JSON file; None takes one out."""
        content = json.loads((self.path / file).read_text()) | values
        content = {key: value for key, value in content.items() if value is not None}
        (self.path / file).write_text(json.dumps(content))

    def remove(self, file):
        (self.path / file).unlink()

    def truncate(self, file, size):
        os.truncate(self.path / file, size)

    def edit_json(self, file, change):
        content = json.loads((self.path / file).read_text())
        change(content)
        (self.path / file).write_text(json.dumps(content))

    def edit_header(self, change, file="model.safetensors"):
        """Changes the header of a safetensors file and leaves its data alone."""
        raw = (self.path / file).read_bytes()
        size = struct.unpack("<Q", raw[:8])[0]
        header = json.loads(raw[8:8 + size])
        change(header)
        new = json.dumps(header).encode()
        (self.path / file).write_bytes(struct.pack("<Q", len(new)) + new + raw[8 + size:])

    def rewrite(self, change, file="model.safetensors"):
        """Rewrites a safetensors file: `change` gets {name: [dtype, shape, bytes]}."""
        raw = (self.path / file).read_bytes()
        size = struct.unpack("<Q", raw[:8])[0]
        data = raw[8 + size:]
        tensors = {}
        for name, info in json.loads(raw[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = info["data_offsets"]
                tensors[name] = [info["dtype"], info["shape"], data[begin:end]]
        change(tensors)
        header, body = {}, b""
        for name, (dtype, shape, content) in tensors.items():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(content)]}
            body += content
        new = json.dumps(header).encode()
        (self.path / file).write_bytes(struct.pack("<Q", len(new)) + new + body)


class Certificates:
    """Authorities and certificates that openssl makes in a folder: NAME.pem and NAME.key."""

    def __init__(self, test, directory):
        self._openssl = require(test, "openssl")
        self._directory = pathlib.Path(directory)

    def make_ca(self, name):
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj",
                  f"/CN={name}", "-days", "2")

    def make(self, name, ca, host="IP:127.0.0.1", out=None, days="1"):
        """A certificate, signed by `ca` for `host`, and its key; as files of the name `out`."""
        out = out or name
        (self._directory / f"{name}.ext").write_text(f"subjectAltName={host}\n")
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{out}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        self._run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-out",
                  f"{out}.pem", "-extfile", f"{name}.ext", "-days", days)

    def _run(self, *arguments):
        subprocess.run([self._openssl, *arguments], cwd=self._directory, check=True, capture_output=True)


class TestCase(unittest.TestCase):
    def assertRefused(self, done, *parts):
        """The server did not start: exit code 2, one message with all of `parts`, nothing on standard output."""
        self.assertEqual(done.returncode, 2, done.stderr + done.stdout)
        messages = [line for line in done.stderr.splitlines() if line.startswith("midlayer-server: ")]
        self.assertEqual(len(messages), 1, done.stderr)
        self.assertEqual(done.stdout, "")
        for part in parts:
            self.assertIn(part, messages[0])
        return done.stderr


class PackagesCase(TestCase):
    """Tests that import `packages` of tests/e2e/requirements.txt. Where this Python has not all, each runs under
    MIDLAYER_TEST_PYTHON: so they start what they need themselves, not in setUpClass()."""
    packages = ()

    def run(self, result=None):
        if not all(importlib.util.find_spec(package) for package in self.packages):
            module = pathlib.Path(sys.modules[type(self).__module__].__file__).stem
            name = f"{module}.{type(self).__qualname__}.{self._testMethodName}"
            setattr(self, self._testMethodName, functools.partial(self._run_elsewhere, name))
            self.setUp = lambda: None
        return super().run(result)

    def _run_elsewhere(self, name):
        python = os.environ.get("MIDLAYER_TEST_PYTHON")
        if not python:
            absent(self, "MIDLAYER_TEST_PYTHON names no Python with tests/e2e/requirements.txt")
        done = subprocess.run([python, "-B", "-m", "unittest", "-v", name], cwd=pathlib.Path(__file__).parent, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if skipped := re.search(r"skipped '(.*)'", done.stderr):
            self.skipTest(skipped.group(1))
        sys.stderr.write("".join(line for line in done.stderr.splitlines(True) if line.startswith("figures: ")))
        self.assertEqual(done.returncode, 0, done.stderr)


class GrpcCase(PackagesCase):
    """Tests that call through grpcio."""
    packages = ("grpc", "grpc_tools")


@functools.cache
def proto(name):
    """The messages and the services of proto/midlayer/v1/NAME.proto."""
    import grpc
    if str(SOURCE / "proto") not in sys.path:
        sys.path.insert(0, str(SOURCE / "proto"))
    return grpc.protos_and_services(f"midlayer/v1/{name}.proto")


def figures(text):
    """A measured figure, for whoever reads the test's output."""
    print(f"\nfigures: {text}", file=sys.stderr, flush=True)
