"""Certificates for TLS servers, signed by a test authority or by themselves."""

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


class CertificateAuthority:
    """An authority that signs certificates."""

    def __init__(self, name="authority.test"):
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(self._name, self._key, [LOOPBACK], days=1, ca=True)

    def write_certificate(self, folder):
        """Write the authority's certificate, with the file name that OpenSSL expects in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        # The canonical form is lower case, as UTF8String.
        name = f"{_subject_hash(self._certificate):08x}.0"
        (folder / name).write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        return folder / name

    def write_with_key(self, path):
        """Write the authority's own certificate and key, for a server with a self-signed certificate."""
        return _write(path, self._certificate, self._key)

    def issue(self, path, name=LOOPBACK, days=1):
        """Write a server's certificate and key to one file."""
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
    """Return OpenSSL's X509_NAME_hash: SHA-1 of the canonical subject, with its first bytes reversed."""
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
