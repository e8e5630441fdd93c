"""Load with answers that are known beforehand, and what became of it."""

import collections
import itertools
import json
import os
import pathlib
import subprocess
import threading
import time

import harness

HERE = pathlib.Path(__file__).parent
CPP = harness.BINARY / "faults_client"
PYTHON = pathlib.Path(os.environ.get("MIDLAYER_PYTHON_VENV", harness.SOURCE / ".deps/python-client")) / "bin/python"
TOLERANCE = 1e-6  # of values: the same text beside others may differ in the last bits
SLOW = 1.0        # seconds; a request that takes longer was disturbed
POOLINGS = ("cls", "mean", "max")
WORDS = "the layer model small server vector text token last middle reads weights of a and runs every device".split()


def texts(count):
    """Texts of 3 to 20 words, all different."""
    return [" ".join(WORDS[(7 * i + j * (i + 3)) % len(WORDS)] for j in range(3 + i % 18)) + f" {i}" for i in range(count)]


def questions(server, layers, count=96):
    """Texts, each with a layer (None: the selected one) and a pooling (its own, where the layer is selected), and the vector
    that a server without load gives for it."""
    asked = []
    for i, text in enumerate(texts(count)):
        layer = layers[i % len(layers)]
        pooling = "" if layer is None else POOLINGS[(i // len(layers)) % len(POOLINGS)]
        asked.append({"text": text, "layer": layer, "pooling": pooling})
    for options in {(one["layer"], one["pooling"]) for one in asked}:
        same = [one for one in asked if (one["layer"], one["pooling"]) == options]
        flags = [] if options[0] is None else [f"--layer={options[0]}", f"--pooling={options[1]}"]
        done = harness.client("embed", *flags, "-", server=server, input="".join(one["text"] + "\n" for one in same))
        assert done.returncode == 0, done.stderr
        for one, line in zip(same, done.stdout.splitlines(), strict=True):
            one["values"] = json.loads(line)["embedding"]
    return asked


class Request:
    """A text that was given to a client; `code` is None while the client has not answered for it."""

    def __init__(self, client, event):
        self.client, self.begun, self.kind = client, event["begun"], event["kind"]
        self.ended = self.code = self.difference = self.message = self.selection = None
        self.answers = 0

    def answer(self, event):
        self.answers += 1
        self.ended, self.code = event["ended"], event["code"]
        self.difference, self.message, self.selection = map(event.get, ("difference", "message", "selection"))

    def is_wrong(self, selection):
        """Whether it has another vector, or was answered by another selection than the promoted one (None: none is)."""
        return self.code == "OK" and (self.difference > TOLERANCE or (self.selection or None) != selection)


class Program:
    """One client program at work."""

    def __init__(self, name, command):
        self.name = name
        self.requests = {}
        self.streams = 0
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=harness.environment())
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if "opened" in event:
                self.streams += 1
            elif "begun" in event:
                self.requests[event["id"]] = Request(self.name, event)
            else:
                self.requests[event["id"]].answer(event)

    def stop(self, bound):
        """Lets it end what is under way; what it has not ended after `bound` seconds is lost."""
        self.process.stdin.close()
        try:
            self.process.wait(bound)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._reader.join(harness.BOUND)
        self.process.stdout.close()


class Load:
    """Clients that ask until stop(). With their defaults they try again; of kind "once" they do not. A context manager."""

    def __init__(self, directory, target, asked, kinds=("cpp", "python", "once")):
        path = pathlib.Path(directory) / "questions.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in asked))
        commands = {"cpp": [CPP, target, path, 4, 1, 5], "python": [PYTHON, "-B", HERE / "client.py", target, path, 4, 1, 5],
                    "once": [CPP, target, path, 2, 0, 1]}
        self.programs = [Program(kind, commands[kind]) for kind in kinds]
        self.began = time.monotonic()

    def requests(self):
        return [request for program in self.programs for request in list(program.requests.values())]

    def answered(self, since=0.0):
        """How many answers came after `since`."""
        return sum(request.code == "OK" and request.ended >= since for request in self.requests())

    def wait_for_answers(self, count, since=0.0):
        assert harness.eventually(lambda: self.answered(since) >= count), f"{self.answered(since)} answers, not {count}"

    def stop(self):
        # A call takes 60 s at most, by the clients' default.
        for program in self.programs:
            program.stop(60 + harness.BOUND)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in self.programs:
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None


def errors(requests):
    """How many ended with which error, by client and kind."""
    failed = [request for request in requests if request.code not in (None, "OK")]
    return dict(collections.Counter(f"{request.client} {request.kind} {request.code}" for request in failed))


def summary(load, injected, selection):
    """What became of the requests. injected: when the fault began. selection: the promoted one, if there is one."""
    found = load.requests()
    tried_again = [request for request in found if request.client != "once"]
    once = [request for request in found if request.client == "once"]
    good = sorted(request.ended for request in tried_again if request.code == "OK")
    later = [request for request in tried_again if request.ended and request.ended >= injected]
    disturbed = [request.ended for request in later if request.code != "OK" or request.ended - request.begun > SLOW]
    seconds = [request.ended - request.begun for request in tried_again if request.code == "OK"]
    return {
        "requests": len(found),
        "retrying": len(tried_again),
        "errors": errors(tried_again),
        "once": len(once),
        "errors_once": errors(once),
        "messages": dict(collections.Counter(request.message for request in found if request.message).most_common(5)),
        "lost": sum(request.code is None for request in found),
        "twice": sum(request.answers > 1 for request in found),
        "wrong": sum(request.is_wrong(selection) for request in found),
        "largest_difference": max((request.difference for request in found if request.code == "OK"), default=None),
        "p50_seconds": percentile(seconds, 0.5),
        "p99_seconds": percentile(seconds, 0.99),
        "slowest_seconds": max(seconds, default=None),
        "longest_gap_seconds": max((after - before for before, after in itertools.pairwise(good)), default=None),
        "recovered_seconds": max((end - injected for end in disturbed), default=0.0),
    }


def client_retries(load, calls):
    """How often clients tried again, by what the balancer saw: calls that say so, and streams beyond those opened."""
    if calls is None:
        return None
    streams = sum(call.method == "EmbedStream" for call in calls)
    opened = sum(program.streams for program in load.programs)
    return sum(call.client_attempt > 0 for call in calls) + max(0, streams - opened)
