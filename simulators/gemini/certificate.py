"""A certificate for a server on loopback: google-genai only dials ``wss://``."""

import ipaddress
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LASTS_AT_LEAST = timedelta(days=7)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write ``certificate.pem`` and ``key.pem`` for 127.0.0.1 and localhost; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gemini stand-in")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].touch(mode=0o600)
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def kept_certificate(folder: Path) -> tuple[Path, Path]:
    """Return the certificate and key of ``folder``, made anew when they will not do.

    A client that trusts a server by its file goes on when that server is started again.
    """
    paths = folder / "certificate.pem", folder / "key.pem"
    try:
        kept = x509.load_pem_x509_certificate(paths[0].read_bytes())
        serialization.load_pem_private_key(paths[1].read_bytes(), password=None)
    except (OSError, ValueError):
        return write_certificate(folder)
    is_lasting = kept.not_valid_after_utc - datetime.now(UTC) > LASTS_AT_LEAST
    return paths if is_lasting else write_certificate(folder)


def contexts(folder: Path | None = None) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make the server's and the client's side of TLS on loopback."""
    with tempfile.TemporaryDirectory() as own:
        certificate, key = kept_certificate(folder or Path(own))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate, key)
        client = ssl.create_default_context(cafile=str(certificate))
    return server, client
