"""Certificates for servers on loopback, from an authority that lives as long as the world.

Nothing in the world switches verification off: the API server and the proxies get certificates
from an authority made on the spot, and clients get the authority's file.
"""

import dataclasses
import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import oid

_LIFETIME = datetime.timedelta(days=30)
# Clocks of the same machine, but worlds may be used with a clock that was set back.
_BACKDATED = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True)
class ServerFiles:
    """What a server needs to speak TLS, and what its clients need to trust it; or a client."""

    ca: pathlib.Path
    certificate: pathlib.Path
    key: pathlib.Path


def write_server(directory: pathlib.Path, name: str) -> ServerFiles:
    """Write `<name>-ca.crt`, `<name>.crt` and `<name>.key` for a server on loopback."""
    return _write(directory, name, oid.ExtendedKeyUsageOID.SERVER_AUTH)


def write_client(directory: pathlib.Path, name: str) -> ServerFiles:
    """The same for a client: its server trusts the authority."""
    return _write(directory, name, oid.ExtendedKeyUsageOID.CLIENT_AUTH)


def _write(directory: pathlib.Path, name: str, usage: x509.ObjectIdentifier) -> ServerFiles:
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(f"leaseholder test world {name}", authority_key)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _leaf(authority, authority_key, key, usage)
    files = ServerFiles(
        ca=directory / f"{name}-ca.crt",
        certificate=directory / f"{name}.crt",
        key=directory / f"{name}.key",
    )
    files.ca.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    write_key(files.key, key)
    return files


def write_signing_key(path: pathlib.Path) -> None:
    """Write the RSA key that signs the tokens of service accounts."""
    write_key(path, rsa.generate_private_key(public_exponent=65537, key_size=2048))


def write_key(path: pathlib.Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    """Write a private key that only its owner reads."""
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8
            if isinstance(key, ec.EllipticCurvePrivateKey)
            else serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _authority(name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, name)])
    return (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    usage: x509.ObjectIdentifier,
) -> x509.Certificate:
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    )
    subject = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, "localhost")])
    return (
        _builder(subject, authority.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .add_extension(names, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
