"""What calls fail with: one class for each code of gRPC."""

from typing import ClassVar

from grpc import StatusCode


class MidlayerError(Exception):
    """A call that failed. Its message is the server's own, one line.

    Attributes:
        code: The code of gRPC.
        texts: The places in the input of the texts that got no vectors, where one message of several failed; else None.
    """

    code: ClassVar[StatusCode] = StatusCode.UNKNOWN
    texts: range | None = None


class Cancelled(MidlayerError):
    """close() ended the call."""

    code = StatusCode.CANCELLED


class InvalidArgument(MidlayerError, ValueError):
    """A field is out of its range; the message names it, what was expected, and what came."""

    code = StatusCode.INVALID_ARGUMENT


class DeadlineExceeded(MidlayerError, TimeoutError):
    """No answer within the timeout."""

    code = StatusCode.DEADLINE_EXCEEDED


class NotFound(MidlayerError):
    """No selection, data set or service of that name."""

    code = StatusCode.NOT_FOUND


class AlreadyExists(MidlayerError):
    """What was to be made is there."""

    code = StatusCode.ALREADY_EXISTS


class PermissionDenied(MidlayerError):
    """The token is known, and does not allow this."""

    code = StatusCode.PERMISSION_DENIED


class ResourceExhausted(MidlayerError):
    """The server is full, or the message too large. Try again later, or elsewhere."""

    code = StatusCode.RESOURCE_EXHAUSTED


class FailedPrecondition(MidlayerError):
    """Not the expected selection or model, or a promotion that is refused."""

    code = StatusCode.FAILED_PRECONDITION


class Aborted(MidlayerError):
    """Something changed meanwhile. Call again."""

    code = StatusCode.ABORTED


class OutOfRange(MidlayerError):
    """Beyond the end."""

    code = StatusCode.OUT_OF_RANGE


class Unimplemented(MidlayerError):
    """The server does not know the call: it is older than this client, or no midlayer-server."""

    code = StatusCode.UNIMPLEMENTED


class Internal(MidlayerError):
    """A defect of the server or of this client."""

    code = StatusCode.INTERNAL


class Unavailable(MidlayerError, ConnectionError):
    """The server cannot be reached, went away, or shuts down."""

    code = StatusCode.UNAVAILABLE


class DataLoss(MidlayerError):
    """The store of selections holds other bytes than were written."""

    code = StatusCode.DATA_LOSS


class Unauthenticated(MidlayerError):
    """The server wants a token, or another one."""

    code = StatusCode.UNAUTHENTICATED


_BY_CODE: dict[StatusCode, type[MidlayerError]] = {kind.code: kind for kind in MidlayerError.__subclasses__()}
_BY_NUMBER: dict[int, StatusCode] = {code.value[0]: code for code in StatusCode}


def make_error(code: StatusCode, message: str) -> MidlayerError:
    """The error of a code, with its message made one line."""
    line = "".join(char if char.isprintable() else " " for char in message)
    return _BY_CODE.get(code, MidlayerError)(line)


def code_of(number: int) -> StatusCode:
    """The code of a number of the wire; UNKNOWN for one that this gRPC does not know."""
    return _BY_NUMBER.get(number, StatusCode.UNKNOWN)
