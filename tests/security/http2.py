"""HTTP/2 by hand (RFC 9113, RFC 7541): what no client library would send."""

import contextlib
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM = ACK = 1
END_HEADERS = 4
BOUND = 60  # seconds, which only something broken takes
ATTACKER = "127.0.0.2"  # an address of its own, as limits by address are to keep others out of it


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
    return socket.create_connection((host, int(port)), timeout=BOUND, source_address=(ATTACKER, 0))


class Connection:
    """A connection that has greeted the server, and has taken its settings, unless not `acknowledges`. A context manager."""

    def __init__(self, address, acknowledges=True):
        self.refusals = set()  # how the other side has said no: "GOAWAY too_many_pings", "RST_STREAM 11", …
        self.statuses = set()  # of gRPC, as far as they came as plain text
        self._received = b""
        self.socket = connect(address)
        self.socket.sendall(PREFACE + frame(SETTINGS))
        while SETTINGS not in self.receive(BOUND):
            pass
        if acknowledges:
            self.socket.sendall(frame(SETTINGS, ACK))

    def send(self, *frames):
        """Whether they were all taken: not once the other side has ended the connection. Takes in what has come meanwhile."""
        self.socket.settimeout(BOUND)
        try:
            self.socket.sendall(b"".join(frames))
            self.receive(0)
        except ConnectionError:
            return False
        return True

    def receive(self, bound):
        """The kinds of the frames that come until there is nothing for `bound` seconds, at most a MiB of them."""
        self.socket.settimeout(bound)
        with contextlib.suppress(BlockingIOError, TimeoutError):
            part = self.socket.recv(1 << 20)
            if not part:
                raise ConnectionResetError("the other side has ended the connection")
            self._received += part
        kinds = []
        while len(self._received) >= (size := 9 + int.from_bytes(self._received[:3])) >= 9 and len(self._received) >= 9:
            kinds.append(self._received[3])
            self._note(kinds[-1], self._received[9:size])
            self._received = self._received[size:]
        return kinds

    def ending(self, bound=0.5):
        """What the other side says until it has said nothing for `bound` seconds: the refusals and statuses of this connection."""
        with contextlib.suppress(ConnectionError):
            while self.receive(bound):
                pass
        return sorted(self.refusals) + [f"grpc-status {status}" for status in sorted(self.statuses)]

    def _note(self, kind, payload):
        if kind == GOAWAY:
            self.refusals.add(f"GOAWAY {payload[8:].decode(errors='replace')}")
        elif kind == RST_STREAM:
            self.refusals.add(f"RST_STREAM {int.from_bytes(payload)}")
        elif kind == HEADERS and (at := payload.find(b"grpc-status")) >= 0:
            size = payload[at + 11]
            self.statuses.add(int(payload[at + 12:at + 12 + size]))

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
