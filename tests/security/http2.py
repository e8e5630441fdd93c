"""HTTP/2 by hand (RFC 9113, RFC 7541): what no client library would send."""

import contextlib
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
NAMES = {RST_STREAM: "RST_STREAM", GOAWAY: "GOAWAY"}
END_STREAM = ACK = 1
END_HEADERS = 4
BOUND = 60  # seconds, which only something broken takes


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value, prefix_bits):
    """An HPACK integer."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([value])
    coded, value = [most], value - most
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    return bytes([*coded, value])


def field(name, value, kept=False):
    """A literal header field; `kept`: the receiver puts it into its dynamic table."""
    texts = (text.encode() if isinstance(text, str) else text for text in (name, value))
    return (b"\x40" if kept else b"\x00") + b"".join(integer(len(text), 7) + text for text in texts)


def call(path, *more, token=None):
    """The header block of a gRPC call, with further (name, value) behind it."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "127.0.0.1"), ("te", "trailers"),
              ("content-type", "application/grpc"), *([("authorization", f"Bearer {token}")] if token else []), *more]
    return b"".join(field(*one) for one in fields)


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=BOUND)


class Connection:
    """A connection that has greeted the server, and has taken its settings. A context manager."""

    def __init__(self, address):
        self.socket = connect(address)
        self.socket.sendall(PREFACE + frame(SETTINGS))
        self._received = b""
        self.refusals = set()  # how the other side has said no: "GOAWAY too_many_pings", …
        self.statuses = set()  # of gRPC, where a header block states them in plain text
        while not any(kind == SETTINGS for kind, *_ in self.frames(1)):
            pass
        self.socket.sendall(frame(SETTINGS, ACK))

    def send(self, *frames):
        """Sends them, and takes what has come meanwhile. Whether the other side still listens."""
        self.socket.settimeout(BOUND)
        try:
            self.socket.sendall(b"".join(frames))
        except OSError:
            return False
        self.read(0)
        return True

    def read(self, bound):
        """Takes in what comes until there is nothing for `bound` seconds."""
        for kind, _, _, payload in self.frames(bound):
            if kind == GOAWAY:
                self.refusals.add(f"GOAWAY {payload[8:].decode(errors='replace')}".strip())
            elif kind == RST_STREAM:
                self.refusals.add(f"RST_STREAM {int.from_bytes(payload)}")
            elif kind == HEADERS and (at := payload.find(b"grpc-status")) >= 0:
                size = payload[at + 11]
                self.statuses.add(int(payload[at + 12:at + 12 + size]))

    def frames(self, bound=BOUND):
        """(kind, flags, stream, payload) of what comes until there is nothing for `bound` seconds, or the other side ends the connection."""
        while len(self._received) < 9 or len(self._received) < 9 + int.from_bytes(self._received[:3]):
            self.socket.settimeout(bound or 1e-6)
            with contextlib.suppress(OSError):
                if part := self.socket.recv(1 << 20):
                    self._received += part
                    continue
            return
        yield from self._whole()
        yield from self.frames(bound)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
