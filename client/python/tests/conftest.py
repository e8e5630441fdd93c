from collections.abc import Iterator

import pytest

from midlayer import Client
from tests.harness import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that no test changes."""
    with Server() as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client
