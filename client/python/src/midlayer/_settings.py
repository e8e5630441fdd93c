"""The settings of a client: what it makes its channel of, and how it tells of failures."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from importlib.metadata import version

from grpc import StatusCode

from midlayer._methods import RETRIED
from midlayer.errors import InvalidArgument, MidlayerError, make_error
from midlayer.tls import Tls

RETRY_SECONDS = 0.1  # before the first new try; then twice as long each time
MAX_RETRY_SECONDS = 2.0
MAX_ATTEMPTS = 5  # gRPC takes no more
MIN_KEEPALIVE_SECONDS = 30.0
_KEEPALIVE_TIMEOUT_SECONDS = 20.0
_RETRY_BUFFER_BYTES = 8 << 20  # larger requests are not tried again

# $http_proxy is for the way out; a server on this machine is not reached through it.
_LOCAL = re.compile(r"(dns:///|ipv4:|ipv6:)?(127\.|localhost\b|\[::1\])|unix:")
_CLOSED = re.compile(r"channel closed|locally cancelled", re.IGNORECASE)  # by this side
_CONNECTING = re.compile(r"last error: |failed to connect|resolv|resolution|empty address list", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """What Client and AsyncClient were made with; they say what each means."""

    target: str
    tls: Tls | None
    token: str | None = field(repr=False)
    timeout: float
    max_attempts: int
    keepalive: float

    def __post_init__(self) -> None:
        if not self.target:
            raise InvalidArgument("target: expected HOST:PORT or another address of gRPC, found nothing")
        if not 1 <= self.max_attempts <= MAX_ATTEMPTS:
            raise InvalidArgument(f"max_attempts: expected 1 to {MAX_ATTEMPTS}, found {self.max_attempts}")
        if not self.keepalive >= MIN_KEEPALIVE_SECONDS:
            raise InvalidArgument(f"keepalive: expected {MIN_KEEPALIVE_SECONDS:g} s or more, found {self.keepalive}")
        # gRPC would show it in its own error.
        if self.token is not None and not re.fullmatch(r"[!-~]+", self.token):
            raise InvalidArgument("token: expected printable ASCII without blanks, found something else")
        self.seconds(self.timeout)

    def seconds(self, timeout: float | None) -> float | None:
        """A call's deadline in seconds for its `timeout`, as gRPC has it: None is none."""
        seconds = self.timeout if timeout is None else timeout
        if not seconds > 0:
            raise InvalidArgument(f"timeout: expected more than 0 s, found {seconds}")
        return None if math.isinf(seconds) else seconds

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call. Over TLS the token travels as call credentials of the channel instead."""
        if self.token is None or self.tls is not None:
            return ()
        return (("authorization", f"Bearer {self.token}"),)

    def channel_options(self) -> list[tuple[str, str | int]]:
        """Arguments of the channel."""
        options: list[tuple[str, str | int]] = [
            ("grpc.primary_user_agent", f"midlayer-python/{version('midlayer')}"),
            ("grpc.service_config", json.dumps(self.service_config())),
            ("grpc.max_receive_message_length", -1),
            ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
            ("grpc.initial_reconnect_backoff_ms", round(RETRY_SECONDS * 1000)),
            ("grpc.max_reconnect_backoff_ms", round(MAX_RETRY_SECONDS * 1000)),
        ]
        if not math.isinf(self.keepalive):
            options += [
                ("grpc.keepalive_time_ms", round(self.keepalive * 1000)),
                ("grpc.keepalive_timeout_ms", round(_KEEPALIVE_TIMEOUT_SECONDS * 1000)),
                # A ping by which gRPC measures the connection stands in for keepalive's: for 60 s otherwise.
                ("grpc.http2.ping_timeout_ms", round(_KEEPALIVE_TIMEOUT_SECONDS * 1000)),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.max_pings_without_data", 0),
            ]
        if _LOCAL.match(self.target):
            options.append(("grpc.enable_http_proxy", 0))
        if self.tls is not None and self.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options

    def service_config(self) -> dict[str, object]:
        """How calls are spread over servers, and which are tried again."""
        config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
        if self.max_attempts > 1:
            policy = {
                "maxAttempts": self.max_attempts,
                "initialBackoff": f"{RETRY_SECONDS}s",
                "maxBackoff": f"{MAX_RETRY_SECONDS}s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            }
            names = [{"service": method.service, "method": method.name} for method in RETRIED]
            config["methodConfig"] = [{"name": names, "retryPolicy": policy, "waitForReady": False}]
        return config

    def describe(self, code: StatusCode, details: str | None, seconds: float | None) -> MidlayerError:
        """The error for what gRPC says of a call with a deadline of `seconds`."""
        message = details or code.name
        if code is StatusCode.DEADLINE_EXCEEDED:
            within = f" within {seconds:g} s" if seconds is not None else ""
            message = f"no answer from {self.target}{within}: wait longer with timeout="
        # gRPC's servers cancel what comes while they begin to shut down.
        if code is StatusCode.CANCELLED and not _CLOSED.search(message):
            code, message = StatusCode.UNAVAILABLE, "it cancelled the call"
        # What gRPC makes of a proxy that resets a call whose server has gone.
        if code is StatusCode.INTERNAL and "RST_STREAM" in message:
            code, message = StatusCode.UNAVAILABLE, "the call was reset"
        if code is StatusCode.UNAVAILABLE:
            message = self._describe_unavailable(message)
        return make_error(code, message)

    def _describe_unavailable(self, message: str) -> str:
        if not _CONNECTING.search(message):
            return f"{self.target} is not available ({message}): try again later"
        # gRPC's messages are chains; the last link is the reason.
        reason = message.removesuffix(": OK").rsplit(": ", 1)[-1].strip("[]")
        return f"cannot reach {self.target} ({reason[:1].lower()}{reason[1:]}): {self._hint(reason)}"

    def _hint(self, reason: str) -> str:
        if self.tls is not None:
            return "check that it is there and uses TLS, and that its certificate is valid, for this name, and in tls="
        if "closed" in reason:
            return "does it use TLS? then give tls="
        return "is midlayer-server running? start it with midlayer-server --model=DIRECTORY, or name another target"
