"""A host on https that serves client metadata documents, and a gateway that believes its certificate."""

import os
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from processes import DEADLINE

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Document:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))


@dataclass
class MetadataHost:
    url: str
    bundle: Path
    """The system's certificates, and the one that vouches for this host."""
    documents: dict[str, Document] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Paths, as they were asked for."""

    def trusted_by(self, command: Sequence[str]) -> list[str]:
        """The same command, seeing the bundle in the place of the system's. It stays one process."""
        namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
        script = f'mount --bind "$0" {SYSTEM_BUNDLE} && exec "$@"'
        return [*namespace, "sh", "-c", script, str(self.bundle), *command]


@contextmanager
def metadata_host(directory: Path) -> Iterator[MetadataHost]:
    directory.mkdir(parents=True)
    authority, certificate, key = certificates()
    bundle, chain = directory / "bundle.pem", directory / "host.pem"
    bundle.write_bytes(SYSTEM_BUNDLE.read_bytes() + authority)
    chain.write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)

    class Handler(BaseHTTPRequestHandler):
        timeout = DEADLINE

        def do_GET(self) -> None:
            host.asked.append(self.path)
            document = host.documents.get(self.path, Document(b"{}", 404))
            self.send_response(document.status)
            for name, value in document.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(document.body)))
            self.end_headers()
            self.wfile.write(document.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that does not trust the certificate hangs up

    server = Server(("127.0.0.1", 0), Handler)
    # Each connection's handshake belongs to its own thread: a client that hangs keeps nobody else out.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    host = MetadataHost(f"https://localhost:{server.server_port}", bundle)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)


def certificates() -> tuple[bytes, bytes, bytes]:
    """An authority's certificate, and that of `localhost` with its key; in PEM, for a day."""
    now = datetime.now(UTC)
    authority_key, host_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer, subject = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("Interop", "localhost"))

    def build(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        lifetime = now - timedelta(hours=1), now + timedelta(days=1)
        return x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number(), *lifetime)

    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    authority = build(issuer, authority_key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    host = build(subject, host_key).add_extension(names, critical=False)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return (
        authority.sign(authority_key, hashes.SHA256()).public_bytes(pem),
        host.sign(authority_key, hashes.SHA256()).public_bytes(pem),
        host_key.private_bytes(pem, form, serialization.NoEncryption()),
    )
