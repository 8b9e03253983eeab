"""Encrypted connections: a proxy with a certificate of its own ends the encryption before a real server."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.contracts.harness import put, read
from tests.core.rollup_tables import row
from tests.valkey_cluster import server
from transforms.calls.valkey import Server, ValkeyCalls
from transforms.calls.waiting import Waiting
from transforms.core.backoff import Backoff
from transforms.core.errors import ServiceUnavailable
from transforms.stores import open_store


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate of 127.0.0.1 that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "proxy")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(days=1))
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(addresses, critical=False).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    path = folder / "proxy.pem"
    plain = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(plain + signed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def proxy(pem: Path, port: int) -> Iterator[int]:
    """The port on 127.0.0.1 at which the server at `port` answers encrypted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, context, port), daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listening.accept()
            with suppress(ssl.SSLError):
                encrypted = context.wrap_socket(plain, server_side=True)
                inner = socket.create_connection(("127.0.0.1", port))
                for source, target in ((encrypted, inner), (inner, encrypted)):
                    threading.Thread(target=_carry, args=(source, target), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError), source, target:
        while data := source.recv(1 << 16):
            target.sendall(data)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with server(tmp_path / "node") as running, proxy(certificate(tmp_path), running.port) as encrypted:
        yield encrypted


@pytest.mark.parametrize("scheme", ["valkeys", "rediss"])
def test_a_store_is_written_and_read_encrypted(port: int, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "proxy.pem"))
    put(open_store(f"{scheme}://127.0.0.1:{port}/0"), [row()])
    assert read(open_store(f"{scheme}://127.0.0.1:{port}/0")) == {("h1", 0): (1, 1.0, 1)}


def test_a_certificate_that_nobody_vouches_for_is_not_taken(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    calls = ValkeyCalls(Server("127.0.0.1", port, tls=True), waiting=Waiting(sleep=lambda _: None, backoff=Backoff(attempts=1)))
    with pytest.raises(ServiceUnavailable, match="certificate verify failed"):
        calls.nodes("listing nodes")
