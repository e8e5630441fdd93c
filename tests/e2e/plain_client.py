"""The client of README: no generated code, only grpcio and grpcio-tools.

    python plain_client.py HOST:PORT TEXT
"""

import pathlib
import sys

# The .proto files are found on sys.path.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
import grpc

protos, services = grpc.protos_and_services("midlayer/v1/embedding.proto")
with grpc.insecure_channel(sys.argv[1]) as channel:
    embedder = services.EmbeddingServiceStub(channel)
    answer = embedder.Embed(protos.EmbedRequest(texts=[sys.argv[2]], layer=2))
    print(len(answer.embeddings[0].vectors[0].values), *answer.embeddings[0].vectors[0].values)
