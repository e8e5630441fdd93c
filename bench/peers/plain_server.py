#!/usr/bin/env python3
"""What one writes without a server of one's own: grpcio and sentence-transformers, no batching, midlayer's own proto.

Runs under the Python that has both: plain_server.py MODEL THREADS MAX_TOKENS PROTO_FOLDER STUBS_FOLDER. Prints its port. The layer and other
options of a request are ignored.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import torch
from grpc_tools import protoc
from sentence_transformers import SentenceTransformer


def main() -> None:
    model, threads, max_tokens, protos, stubs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
    files = [str(file) for file in Path(protos, "midlayer/v1").glob("*.proto")]
    if protoc.main(["protoc", f"-I{protos}", f"--python_out={stubs}", f"--grpc_python_out={stubs}", *files]):
        raise SystemExit("no stubs")
    sys.path.insert(0, stubs)
    from midlayer.v1 import embedding_pb2, embedding_pb2_grpc

    torch.set_num_threads(threads)
    transformer = SentenceTransformer(model, device="cpu")
    transformer.max_seq_length = max_tokens

    class Service(embedding_pb2_grpc.EmbeddingServiceServicer):
        def Embed(self, request, context):  # noqa: ANN001, ANN202, ARG002, N802
            vectors = transformer.encode(list(request.texts), show_progress_bar=False)
            made = [embedding_pb2.Embedding(vectors=[embedding_pb2.Vector(values=vector.tolist())]) for vector in vectors]
            about = embedding_pb2.OutputInfo(normalized=True, dimensions=vectors.shape[1])
            return embedding_pb2.EmbedResponse(embeddings=made, outputs=[about])

        def EmbedStream(self, requests: Iterator, context):  # noqa: ANN001, ANN202, N802
            for message in requests:
                yield embedding_pb2.EmbedStreamResponse(response=self.Embed(message.request, context))

    server = grpc.server(ThreadPoolExecutor(max_workers=threads))
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    transformer.encode(["a first text"])
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
