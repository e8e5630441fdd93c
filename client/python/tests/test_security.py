"""TLS and tokens, against a plain gRPC server with certificates made here."""

from __future__ import annotations

import datetime
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from midlayer import AsyncClient, Client, InvalidArgument, PermissionDenied, Tls, Unauthenticated, Unavailable
from tests.fake_server import FakeServer
from tests.harness import BINARY, Server, environment

TOKEN = "a-secret-0123456789"
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


class Certificates:
    """A root, another one, and files of what they signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = trustme.CA()
        self.ca = folder / "ca.pem"
        self.other_ca = folder / "other.pem"
        self.root.cert_pem.write_to_path(self.ca)
        trustme.CA().cert_pem.write_to_path(self.other_ca)

    def server(self, *names: str, is_mutual: bool = False, **dates: Any) -> grpc.ServerCredentials:
        leaf = self.root.issue_cert(*names, **dates)
        chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        roots = self.root.cert_pem.bytes() if is_mutual else None
        return grpc.ssl_server_credentials([(leaf.private_key_pem.bytes(), chain)], roots, is_mutual)

    def client(self, signer: trustme.CA | None = None) -> tuple[Path, Path]:
        """The files of a certificate and its key."""
        leaf = (signer or self.root).issue_cert("client")
        certificate, key = self._folder / "client.pem", self._folder / "client.key"
        leaf.cert_chain_pems[0].write_to_path(certificate)
        leaf.private_key_pem.write_to_path(key)
        return certificate, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def fake(certificates: Certificates) -> Iterator[FakeServer]:
    with FakeServer(certificates.server("localhost", "127.0.0.1")) as fake:
        yield fake


def call(fake: FakeServer, tls: Tls | bool, token: str | None = None) -> str:
    """The model's name over TLS, from 127.0.0.1."""
    with Client(f"127.0.0.1:{fake.port}", tls=tls, token=token, max_attempts=1) as client:
        return client.model().name


def test_a_ca_of_ones_own(fake: FakeServer, certificates: Certificates) -> None:
    assert call(fake, Tls(ca=certificates.ca)) == "fake"
    assert call(fake, Tls(ca=str(certificates.ca))) == "fake"


def test_a_wrong_ca(fake: FakeServer, certificates: Certificates) -> None:
    for tls in (Tls(ca=certificates.other_ca), True):
        with pytest.raises(Unavailable, match="^cannot reach 127.0.0.1.*issuer certificate.*check that it .* uses TLS"):
            call(fake, tls)


def test_the_roots_of_the_system(fake: FakeServer, certificates: Certificates, tmp_path: Path) -> None:
    folder = tmp_path / "roots"
    folder.mkdir()
    (folder / "0123abcd.0").write_bytes(certificates.ca.read_bytes())
    script = f"import midlayer; print(midlayer.Client('127.0.0.1:{fake.port}', tls=True).model().name)"
    nowhere, here = str(tmp_path / "none"), str(certificates.ca)
    for file, directory, of_grpc in ((here, nowhere, ""), (nowhere, str(folder), ""), (nowhere, nowhere, here)):
        places = {"SSL_CERT_FILE": file, "SSL_CERT_DIR": directory, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": of_grpc}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True, timeout=60)
        assert done.stdout == "fake\n", done.stderr


def test_a_wrong_name(certificates: Certificates) -> None:
    with FakeServer(certificates.server("elsewhere.example")) as fake:
        with pytest.raises(Unavailable, match="^cannot reach .*its certificate is valid, for this name"):
            call(fake, Tls(ca=certificates.ca))
        assert call(fake, Tls(ca=certificates.ca, server_name="elsewhere.example")) == "fake"


def test_an_expired_certificate(certificates: Certificates) -> None:
    dates: dict[str, Any] = {"not_before": PAST, "not_after": PAST + datetime.timedelta(days=1)}
    with FakeServer(certificates.server("127.0.0.1", **dates)) as fake:
        with pytest.raises(Unavailable, match=r"certificate has expired\): check that"):
            call(fake, Tls(ca=certificates.ca))


def test_mutual_tls(certificates: Certificates) -> None:
    with FakeServer(certificates.server("127.0.0.1", is_mutual=True)) as fake:
        certificate, key = certificates.client()
        assert call(fake, Tls(certificates.ca, certificate, key)) == "fake"
        with pytest.raises(Unavailable, match="in tls="):
            call(fake, Tls(certificates.ca))
        certificate, key = certificates.client(trustme.CA())
        with pytest.raises(Unavailable, match="in tls="):
            call(fake, Tls(certificates.ca, certificate, key))


def test_files_that_are_not_what_they_should_be(certificates: Certificates, tmp_path: Path) -> None:
    certificate, key = certificates.client()
    with pytest.raises(FileNotFoundError, match="absent"):
        Client(tls=Tls(ca=tmp_path / "absent"))
    with pytest.raises(InvalidArgument, match=r"^tls\.ca: expected certificates in PEM, found .*client\.key$"):
        Client(tls=Tls(ca=key))
    with pytest.raises(InvalidArgument, match=r"^tls\.certificate, tls\.key: expected both or none"):
        Client(tls=Tls(certificate=certificate))
    with pytest.raises(
        InvalidArgument, match=r"^tls\.certificate, tls\.key: expected a certificate and its key"
    ) as caught:
        Client(tls=Tls(certificate=key, key=certificate))
    assert "BEGIN" not in "".join(traceback.format_exception(caught.value))


def test_one_side_without_tls(fake: FakeServer, certificates: Certificates) -> None:
    with pytest.raises(Unavailable, match=r"does it use TLS\? then give tls="):
        call(fake, tls=False)
    with FakeServer() as plain, pytest.raises(Unavailable, match="check that it is there and uses TLS"):
        call(plain, Tls(ca=certificates.ca))


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_a_token_goes_with_every_call(certificates: Certificates, is_encrypted: bool) -> None:
    tls = Tls(ca=certificates.ca) if is_encrypted else False
    with FakeServer(certificates.server("127.0.0.1") if is_encrypted else None) as fake:
        assert call(fake, tls) == "fake"
        assert "authorization" not in fake.metadata
        for token in (TOKEN, TOKEN + "2"):
            assert call(fake, tls, token) == "fake"
            assert fake.metadata["authorization"] == f"Bearer {token}"
        async with AsyncClient(f"127.0.0.1:{fake.port}", tls=tls, token=TOKEN) as client:
            assert (await client.model()).name == "fake"
            assert fake.metadata["authorization"] == f"Bearer {TOKEN}"
        assert str(fake.metadata["user-agent"]).startswith("midlayer-python/")


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_refused_token_is_shown_nowhere(
    certificates: Certificates, is_encrypted: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    tls = Tls(ca=certificates.ca) if is_encrypted else False
    with FakeServer(certificates.server("127.0.0.1") if is_encrypted else None) as fake:
        for code, kind in (
            (grpc.StatusCode.UNAUTHENTICATED, Unauthenticated),
            (grpc.StatusCode.PERMISSION_DENIED, PermissionDenied),
        ):
            fake.refusal = (code, "authorization: expected another")
            with pytest.raises(kind, match="^authorization: expected another$") as caught:
                call(fake, tls, TOKEN)
            assert TOKEN not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(Unavailable) as lost:
        call(fake, tls, TOKEN)
    assert TOKEN not in "".join(traceback.format_exception(lost.value))
    client = Client("127.0.0.1:1", tls=tls, token=TOKEN)
    assert TOKEN not in repr(vars(client)) + repr(vars(client._connection)) + repr(client)  # pyright: ignore[reportPrivateUsage]
    assert TOKEN not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("token", ["", "two words", "line\nend", "naïve"])
def test_a_token_that_cannot_be_sent_is_refused_unseen(token: str) -> None:
    with pytest.raises(InvalidArgument, match="^token: expected printable ASCII without blanks, found something else$"):
        Client(token=token)


def test_errors_can_be_pickled() -> None:
    error = Unavailable("one line")
    error.texts = range(3)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.texts, copy.code) == (Unavailable, "one line", range(3), error.code)


def test_a_server_with_tokens_and_tls(certificates: Certificates, tmp_path: Path) -> None:
    flags = subprocess.run(
        [BINARY / "midlayer-server", "--help"], capture_output=True, text=True, timeout=60, env=environment()
    ).stdout
    if "--token-file" not in flags:
        pytest.skip("this midlayer-server knows no tokens yet")
    leaf = certificates.root.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    (tmp_path / "tokens").write_text(f"user {TOKEN}\n")
    files = [
        "--tls-cert",
        tmp_path / "cert.pem",
        "--tls-key",
        tmp_path / "key.pem",
        "--token-file",
        tmp_path / "tokens",
    ]
    tls = Tls(ca=certificates.ca)
    with Server("bert", *files) as server, Client(server.address, tls=tls, token=TOKEN) as client:
        assert len(client.embed(["x"])) == 1
        assert sum(len(result) for result in client.embed_stream(["x"] * 100)) == 100
        with pytest.raises(PermissionDenied, match="^authorization: expected the token of an admin"):
            client.selections.promote("none")
        with Client(server.address, tls=tls) as stranger:
            assert stranger.health() == "SERVING"
            with pytest.raises(Unauthenticated, match="^authorization: expected Bearer"):
                stranger.embed(["x"])
            with pytest.raises(Unauthenticated, match="^authorization: expected Bearer"):
                list(stranger.embed_stream(["x"]))
            with pytest.raises(Unauthenticated, match="^authorization: expected Bearer"):
                stranger.score_layers(["x"])
