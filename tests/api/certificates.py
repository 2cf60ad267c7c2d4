"""Certificates for real TLS servers: of an authority of the test's own, and of nobody's."""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
_KEY_USAGE = dict.fromkeys(
    (
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


class Authority:
    """Signs certificates, its own too."""

    def __init__(self, name="authority.test"):
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._own = self._sign(self._name, self._key, [LOOPBACK], days=1, ca=True)

    def write(self, folder):
        """Write its certificate, in a file named as OpenSSL finds it in a folder, and return the path."""
        folder.mkdir(parents=True, exist_ok=True)
        # OpenSSL's hash is that of the name in one form: lower case, UTF8String.
        name = f"{_subject_hash(self._own):08x}.0"
        (folder / name).write_bytes(self._own.public_bytes(serialization.Encoding.PEM))
        return folder / name

    def write_with_key(self, path):
        """Write its certificate and key into one file, for a server that nobody else vouches for."""
        return _write(path, self._own, self._key)

    def issue(self, path, name=LOOPBACK, days=1):
        """Write a certificate for a server and its key into one file, and return its path."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server.test")])
        return _write(path, self._sign(subject, key, [name], days=days, ca=False), key)

    def _sign(self, subject, key, names, *, days, ca):
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=3))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=True, key_cert_sign=ca, **_KEY_USAGE), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )


def _subject_hash(certificate):
    """Return X509_NAME_hash: SHA-1 of the subject's parts in canonical form, its first bytes reversed."""
    text = certificate.subject.rfc4514_string().removeprefix("CN=").lower()
    value = b"\x0c" + bytes([len(text)]) + text.encode()
    oid = b"\x06\x03\x55\x04\x03"
    pair = b"\x30" + bytes([len(oid) + len(value)]) + oid + value
    canonical = b"\x31" + bytes([len(pair)]) + pair
    return int.from_bytes(hashlib.sha1(canonical).digest()[:4], "little")


def _write(path, certificate, key):
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path
