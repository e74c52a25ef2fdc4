"""The printer's certificate, as a Bambu printer has it: its own root, and a leaf that names nothing but the serial."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_LIFE = timedelta(days=3650)


@dataclass(frozen=True)
class Certificates:
    """PEM files. `chain`: leaf and root, as the servers send it."""

    ca: Path
    chain: Path
    key: Path


def certificates(folder: Path, serial: str) -> Certificates:
    """Those of the folder; made when it has none."""
    files = Certificates(ca=folder / "ca.pem", chain=folder / "printer.pem", key=folder / "printer.key")
    if not all(path.exists() for path in (files.ca, files.chain, files.key)):
        folder.mkdir(parents=True, exist_ok=True)
        _make(files, serial)
    return files


def _make(files: Certificates, serial: str) -> None:
    root_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    root_name = _name("Sandbox printers CA")
    root = (
        _builder(root_name, root_name, root_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    leaf = _builder(_name(serial), root_name, leaf_key).sign(root_key, hashes.SHA256())
    root_pem = root.public_bytes(serialization.Encoding.PEM)
    files.ca.write_bytes(root_pem)
    files.chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM) + root_pem)
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        leaf_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    """No subject alternative name: the printers have none, which is why clients compare the CN."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFE)
    )
