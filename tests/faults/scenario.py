"""One fault from its beginning to its end: replicas, balancer, load, and what became of the requests."""

import pathlib
import shutil
import tempfile
import time

import balancers
import faults
import load
from replicas import Replicas

SETTLED = 200  # answers before the fault begins
DRAIN = ("--drain-delay", "3", "--drain-timeout", "5")  # a stream that never ends keeps a replica for all of it


class Plan:
    """What every fault is run with. away: seconds between the end of a process and its next start. stopped: seconds for which
    a process is stopped, or a store away. rest: seconds of load from the beginning of the fault on, at least. kinds: of
    clients."""

    def __init__(self, model, away=5, stopped=10, rest=20, kinds=("cpp", "python", "once"), flags=DRAIN):
        self.model, self.away, self.stopped, self.rest, self.kinds, self.flags = model, away, stopped, rest, kinds, flags


def play(fault, kind, plan):
    """One fault behind one balancer."""
    with tempfile.TemporaryDirectory(prefix="midlayer-") as folder:
        folder = pathlib.Path(folder)
        model = shutil.copytree(plan.model, folder / "model") if fault.own_model else plan.model
        store = fault.store(folder) if fault.store else None
        try:
            flags = (*plan.flags, *fault.flags, *(("--selection-store", store.url) if store else ()))
            with Replicas(model, *flags) as replicas:
                return {"fault": fault.name, "balancer": kind, **play_with(fault, kind, plan, folder, replicas, store)}
        finally:
            if store:
                store.close()


def play_with(fault, kind, plan, folder, replicas, store):
    servers = [replicas.start(place) for place in (0, 1)]
    selection = promote(servers[0], folder) if store else None
    deepest = int(servers[0].facts["layers"])
    asked = load.questions(servers[0], [None] if store else [1, deepest // 2, deepest])
    with balancers.KINDS[kind](balancers.find_program(kind), replicas) as balancer:
        balancer.wait()
        with load.Load(folder, balancer.target, asked, plan.kinds) as clients:
            clients.wait_for_answers(SETTLED)
            run = faults.Run(replicas, clients, folder, store, plan)
            fault.act(run)
            time.sleep(max(0.0, run.injected + plan.rest - time.monotonic()))
            clients.stop()
        balancer.stop()
        calls = balancer.calls()
    result = load.summary(clients, run.injected, selection)
    result["retried_by_clients"] = load.client_retries(clients, calls)
    result["retried_by_balancer"] = None if calls is None else sum(call.retries for call in calls)
    result["notes"] = run.notes
    return result


def promote(server, folder):
    """The id of a selection that was scored and promoted, which the other servers have too by then."""
    code, selection = faults.score(server, folder / "promoted.jsonl", "--promote")
    assert code == 0, selection
    time.sleep(2)  # a poll, and a reading
    return selection
