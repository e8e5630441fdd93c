"""A plain gRPC server that answers GetModel, for what the tests need of TLS, tokens and refusals."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import grpc

from midlayer.v1.embedding_pb2 import GetModelRequest, GetModelResponse


class FakeServer(grpc.GenericRpcHandler):
    """Remembers the metadata of the last call. A context manager."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.metadata: dict[str, str | bytes] = {}
        self.calls = 0
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.refused_calls = math.inf  # how many of the first calls it is for
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        if credentials is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[GetModelRequest, GetModelResponse] | None:
        if handler_call_details.method != "/midlayer.v1.EmbeddingService/GetModel":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._answer, GetModelRequest.FromString, GetModelResponse.SerializeToString
        )

    def _answer(self, _: GetModelRequest, context: grpc.ServicerContext) -> GetModelResponse:
        self.calls += 1
        self.metadata = {item[0]: item[1] for item in context.invocation_metadata()}
        if self.refusal is not None and self.calls <= self.refused_calls:
            context.abort(*self.refusal)
        return GetModelResponse(name="fake")

    def __enter__(self) -> FakeServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None)
