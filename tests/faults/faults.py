"""What is done to a service under load. Each fault is a function of a Run, and its docstring is what the report says of it."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import harness
from replicas import free_port


class Run:
    """A fault's surroundings. `store` is None where the fault wants none."""

    def __init__(self, replicas, load, directory, store, plan):
        self.replicas, self.load, self.directory, self.store, self.plan = replicas, load, directory, store, plan
        self.injected = None
        self.notes = {}

    def inject(self):
        """The fault begins now."""
        self.injected = time.monotonic()

    def signal(self, place, number):
        self.replicas.servers[place].signal(number)

    def start(self, place):
        """Starts a replica, and waits until it answers calls."""
        self.replicas.start(place)
        back = harness.eventually(lambda: self.replicas.embedded()[place] > 0)
        self.notes["back_after_seconds"] = time.monotonic() - self.injected if back else None

    def share(self, place, seconds=None, before=None):
        """The part of all answers that came from a replica: in the next seconds, or since embedded() said `before`."""
        if before is None:
            before = self.replicas.embedded()
            time.sleep(seconds)
        after = self.replicas.embedded()
        counts = {one: count - before.get(one, 0) for one, count in after.items()}
        return counts[place] / max(1, sum(counts.values()))


class Redis:
    """A real one, on a port that stays its own. `url` is that of --selection-store."""

    def __init__(self, directory):
        self._directory, self._port = directory, free_port("127.0.0.1")
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.process = None
        self.start()

    def start(self):
        self.process = harness.start_redis(harness.SOURCE / ".deps/bin/redis-server", self._port, self._directory)

    def close(self):
        self.process.kill()
        self.process.wait()


class SmallDisk:
    """A file system of 1 MB, which takes root."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory) / "disk"
        self.path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "midlayer-faults", self.path], check=True)
        self.url = f"file:{self.path}/selections"

    def fill(self):
        with open(self.path / "filler", "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                for size in (4096, 1):
                    while file.write(bytes(size)):
                        pass
        assert os.statvfs(self.path).f_bavail == 0

    def make_room(self):
        (self.path / "filler").unlink()

    def close(self):
        subprocess.run(["umount", self.path], check=True)


def score(server, path, *flags):
    """`midlayer score` on a data set of pairs, which is written to `path`: (exit code, id of the selection or the error)."""
    pairs = [{"text": f"the server reads layer {i} {path.stem}", "paired_text": f"layer {i} is read", "score": i % 5}
             for i in range(40)]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    done = harness.client("score", "--output=json", "--metrics=pair_spearman", "--dataset", path, *flags, server=server)
    return done.returncode, json.loads(done.stdout)["selection"]["id"] if done.returncode == 0 else done.stderr.strip()


def list_selections(server):
    return harness.client("selections", "list", f"--target={server.address}")


def steady(run):
    """Nothing: what the others are compared with."""
    run.inject()


def kill(run):
    """One of two replicas is killed (SIGKILL), and started again 5 s later."""
    run.inject()
    run.replicas.servers[0].kill()
    time.sleep(run.plan.away)
    run.start(0)


def drain(run):
    """One of two replicas is told to end (SIGTERM), and started again 5 s after it has."""
    run.inject()
    run.signal(0, signal.SIGTERM)
    code, _ = run.replicas.servers[0].wait()
    run.notes["exit_code"] = code
    time.sleep(run.plan.away)
    run.start(0)


def rolling(run):
    """Both replicas in turn are told to end (SIGTERM) and started again, each when the other is ready: an upgrade."""
    run.inject()
    for place in (0, 1):
        run.signal(place, signal.SIGTERM)
        run.replicas.servers[place].wait()
        run.start(place)
        time.sleep(3)  # until everybody has seen it


def stop(run):
    """One of two replicas is stopped (SIGSTOP) for 10 s: its connections stay, and nothing answers."""
    run.inject()
    run.signal(0, signal.SIGSTOP)
    time.sleep(run.plan.stopped)
    run.signal(0, signal.SIGCONT)


def hang(run):
    """One of two replicas is stopped (SIGSTOP) for 90 s, longer than the clients wait for an answer (60 s)."""
    run.inject()
    run.signal(0, signal.SIGSTOP)
    time.sleep(90)
    run.signal(0, signal.SIGCONT)


def slow(run):
    """One of two replicas runs for 25 of every 250 ms only (SIGSTOP, SIGCONT), for 15 s."""
    before = run.replicas.embedded()
    run.inject()
    while time.monotonic() < run.injected + 15:
        run.signal(0, signal.SIGSTOP)
        time.sleep(0.225)
        run.signal(0, signal.SIGCONT)
        time.sleep(0.025)
    run.notes["share_of_slow_replica"] = run.share(0, before=before)


def all_down(run):
    """Both replicas are killed, and started again 5 s later."""
    run.inject()
    for place in (0, 1):
        run.replicas.servers[place].kill()
    time.sleep(run.plan.away)
    run.replicas.start(0)
    started = time.monotonic()
    run.load.wait_for_answers(1, since=started)
    run.notes["first_answer_after_start_seconds"] = time.monotonic() - started
    run.start(1)


def join(run):
    """A third replica starts beside two (--max-connection-age 10)."""
    run.inject()
    run.replicas.start(2)
    started = time.monotonic()
    fair = harness.eventually(lambda: run.share(2, seconds=1) > 1 / 6)
    run.notes["half_of_its_share_after_seconds"] = time.monotonic() - started if fair else None
    run.notes["share_of_new_replica"] = run.share(2, seconds=5)


def age(run):
    """Nothing fails, but replicas end each connection after 2 s (--max-connection-age 2)."""
    run.inject()


def redis_gone(run):
    """Redis, which has the selection that requests without a layer get, is killed, and started again 10 s later."""
    run.inject()
    run.store.close()
    time.sleep(run.plan.stopped)
    run.store.start()


def redis_slow(run):
    """Redis is stopped (SIGSTOP) for 10 s: it takes connections and answers nothing."""
    run.inject()
    run.store.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    done = list_selections(run.replicas.servers[0])
    run.notes["list"] = {"seconds": time.monotonic() - began, "error": done.stderr.strip()}
    time.sleep(max(0.0, run.injected + run.plan.stopped - time.monotonic()))
    run.store.process.send_signal(signal.SIGCONT)


def redis_late(run):
    """While Redis is away for 10 s, a third replica starts: it has never read the selection, and refuses requests without a
    layer."""
    run.inject()
    run.store.close()
    run.replicas.start(2)
    run.notes["is_ready_without_store"] = run.replicas.is_ready(2)
    time.sleep(run.plan.stopped)
    run.store.start()


def disk_full(run):
    """The disk of the file store is full for 10 s, while a data set is scored."""
    server = run.replicas.servers[0]
    run.store.fill()
    run.inject()
    run.notes["score"] = score(server, run.directory / "full.jsonl")[1]
    run.notes["list_exit_code"] = list_selections(server).returncode
    time.sleep(run.plan.stopped)
    run.store.make_room()
    run.notes["score_exit_code_with_room"] = score(server, run.directory / "full.jsonl")[0]


def model_deleted(run):
    """The file of the weights is deleted under both replicas."""
    run.inject()
    (run.directory / "model/model.safetensors").unlink()


def model_truncated(run):
    """The file of the weights is cut to nothing under both replicas."""
    run.inject()
    os.truncate(run.directory / "model/model.safetensors", 0)
    time.sleep(run.plan.stopped)
    run.notes["still_running"] = [server.process.poll() is None for server in run.replicas.servers[:2]]


class Fault:
    def __init__(self, act, flags=(), store=None, own_model=False, behind_all=True):
        """flags: of the replicas. store: makes the selection store; then requests name no layer. behind_all: whether the
        balancer matters."""
        self.act, self.flags, self.store, self.own_model, self.behind_all = act, flags, store, own_model, behind_all
        self.name = act.__name__.replace("_", "-")
        self.what = " ".join(act.__doc__.split())


FAULTS = {fault.name: fault for fault in (
    Fault(steady), Fault(kill), Fault(drain), Fault(rolling), Fault(stop), Fault(hang), Fault(slow), Fault(all_down),
    Fault(join, flags=("--max-connection-age", "10")), Fault(age, flags=("--max-connection-age", "2")),
    Fault(redis_gone, store=Redis, behind_all=False), Fault(redis_slow, store=Redis, behind_all=False),
    Fault(redis_late, store=Redis, behind_all=False), Fault(disk_full, store=SmallDisk, behind_all=False),
    Fault(model_deleted, own_model=True, behind_all=False), Fault(model_truncated, own_model=True, behind_all=False),
)}
