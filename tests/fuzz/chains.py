"""Certificates that cost whoever checks them as much as OpenSSL lets them."""

import base64
import datetime
import pathlib
import secrets
import ssl
import typing

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import oid

from tests.world import certificates

LINKS: typing.Final = 40
"""Certificates of a chain: what fits into OpenSSL's bound of 100 KiB, and ours of 64 KiB."""
NAMES: typing.Final = 1500


def part(content: bytes) -> str:
    """A part of a JSON Web Token."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def context(name: str, directory: pathlib.Path) -> ssl.SSLContext:
    """What a server of that way speaks TLS with; its authority is written to ``<name>-ca.crt``."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    match name:
        case "a-chain-of-large-keys":
            files = _chain(directory, name, _large_key(), LINKS, names=0)
        case "a-chain-of-many-names":
            files = _chain(directory, name, ec.generate_private_key(ec.SECP256R1()), 2, names=NAMES)
        case _:
            files = certificates.write_server(directory, name)
    made.load_cert_chain(files.certificate, files.key)
    return made


def _large_key() -> rsa.RSAPrivateKey:
    """A key of 3072 bits, the most with which OpenSSL takes a public exponent of any size."""
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=3072).private_numbers()
    p, q = numbers.p, numbers.q
    while True:
        public = secrets.randbits(3071) | 1 | (1 << 3070)
        try:
            private = pow(public, -1, (p - 1) * (q - 1))
        except ValueError:
            continue
        break
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=private,
        dmp1=private % (p - 1),
        dmq1=private % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(public, p * q),
    ).private_key(unsafe_skip_rsa_key_validation=True)


def _chain(
    directory: pathlib.Path,
    name: str,
    authority: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    links: int,
    *,
    names: int,
) -> certificates.ServerFiles:
    """A chain whose certificates have one key but for the last, and that last many names."""
    subjects = [_name(f"{number}") for number in range(links)]
    made = []
    for issuer, subject in zip([subjects[0], *subjects], subjects, strict=False):
        made.append(
            _begun(issuer, subject)
            .public_key(authority.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(authority, hashes.SHA256())
        )
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = [x509.DNSName(f"{number}.example") for number in range(names)]
    alternatives.append(x509.DNSName("localhost"))
    server = (
        _begun(subjects[-1], _name("server"))
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(authority, hashes.SHA256())
    )
    files = certificates.ServerFiles(
        ca=directory / f"{name}-ca.crt",
        certificate=directory / f"{name}.crt",
        key=directory / f"{name}.key",
    )
    pem = serialization.Encoding.PEM
    chain = b"".join(one.public_bytes(pem) for one in [server, *reversed(made[1:])])
    files.certificate.write_bytes(chain)
    files.ca.write_bytes(made[0].public_bytes(pem))
    certificates.write_key(files.key, key)
    return files


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, text)])


def _begun(issuer: x509.Name, subject: x509.Name) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + 30 * day)
    )
