"""HTTP/2 by hand (RFC 9113, RFC 7541): what no client library would send."""

import contextlib
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS = 4
BOUND = 60  # seconds, which only something broken takes


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value, prefix_bits, first=0):
    """An HPACK integer behind the bits of `first`."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    coded, value = [first | most], value - most
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    return bytes([*coded, value])


def header(name, value, kept=False):
    """A literal field; `kept`: the receiver puts it into its dynamic table."""
    fields = b"".join(integer(len(text), 7) + text for text in (name.encode(), value.encode()))
    return (b"\x40" if kept else b"\x00") + fields


def request(path, *more, token=None):
    """The header block of a gRPC call, with further (name, value) behind it."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "127.0.0.1"), ("te", "trailers"),
              ("content-type", "application/grpc"), *([("authorization", f"Bearer {token}")] if token else []), *more]
    return b"".join(header(*field) for field in fields)


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=BOUND)


class Connection:
    """A connection that has greeted the server. A context manager."""

    def __init__(self, address, settings=b""):
        self.socket = connect(address)
        self.socket.sendall(PREFACE + frame(SETTINGS, payload=settings))
        self._received = b""

    def send(self, *frames):
        """Whether they were all taken: false once the other side has ended the connection."""
        try:
            self.socket.sendall(b"".join(frames))
            return True
        except ConnectionError:
            return False

    def frames(self, bound=BOUND):
        """What the other side sends, (kind, flags, stream, payload) each, until it ends the connection or sends nothing for `bound` seconds."""
        self.socket.settimeout(bound)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while True:
                while len(self._received) >= 9 and len(self._received) >= 9 + (size := int.from_bytes(self._received[:3])):
                    kind, flags, stream = struct.unpack(">BBI", self._received[3:9])
                    payload, self._received = self._received[9:9 + size], self._received[9 + size:]
                    yield kind, flags, stream, payload
                if not (part := self.socket.recv(1 << 16)):
                    return
                self._received += part

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
