"""A certificate authority of our own, for servers of many names and for clients."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_PEM = serialization.Encoding.PEM


class Authority:
    """Signs what it is asked to, into files of its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("an authority")
        own = x509.BasicConstraints(ca=True, path_length=0)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._signed(self._name, self._key.public_key(), own))

    def server(self, *names: str) -> tuple[Path, Path]:
        """Certificate and key of a server of these names."""
        hosts = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return self._made(names[0].replace("*", "any"), names[0], hosts, usage)

    def client(self, address: str) -> tuple[str, str]:
        """Certificate and key of a client with this mail address."""
        mail = x509.SubjectAlternativeName([x509.RFC822Name(address)])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate, key = self._made(address, "a client", mail, usage)
        return str(certificate), str(key)

    def revoke(self, *certificates: str, days: int = 1) -> Path:
        """The list of all that are revoked, good for so many days."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - datetime.timedelta(days=2))
            .next_update(now + datetime.timedelta(days=days))
        )
        for file in certificates:
            serial = x509.load_pem_x509_certificate(Path(file).read_bytes()).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(serial)
            builder = builder.add_revoked_certificate(revoked.revocation_date(now).build())
        path = self._folder / "crl.pem"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM))
        return path

    def _made(
        self, stem: str, common_name: str, *extensions: x509.ExtensionType
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._folder / f"{stem}.pem"
        certificate.write_bytes(self._signed(_named(common_name), key.public_key(), *extensions))
        key_file = self._folder / f"{stem}.key"
        kind = serialization.PrivateFormat.PKCS8
        key_file.write_bytes(key.private_bytes(_PEM, kind, serialization.NoEncryption()))
        return certificate, key_file

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM)


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
