"""Certificates of one test, made by the openssl command, and connections that use them."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

import grpc

from espclient.channel import OPTIONS

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Certificates:
    """A folder with an authority `ca` and a server certificate `server` of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.make_authority("ca")
        self.issue("server", "/CN=first", "DNS:localhost,IP:127.0.0.1")

    def make_authority(self, name: str) -> None:
        self.openssl("req", "-x509", *NEW_KEY, "-days", "2", "-keyout", f"{name}.key", "-out", f"{name}.pem",
                     "-subj", f"/CN={name}")
        self.key(name).chmod(0o600)

    def issue(self, name: str, subject: str, names: str, by: str = "ca") -> None:
        """`name`.pem and `name`.key, signed by an authority. What was there is replaced."""
        self.openssl("req", "-x509", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", *NEW_KEY, "-days", "2",
                     "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", subject,
                     "-addext", "basicConstraints=critical,CA:FALSE", "-addext", f"subjectAltName={names}")
        self.key(name).chmod(0o600)

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def revoke(self, *names: str, by: str = "ca", days: float = 2) -> Path:
        """The list of an authority, `by`.crl, with these certificates; it runs out after `days`."""
        (self.folder / f"{by}.index").write_text("")
        (self.folder / f"{by}.cnf").write_text(
            f"[ca]\ndefault_ca = here\n[here]\ndatabase = {by}.index\ndefault_md = sha256\n"
            f"certificate = {by}.pem\nprivate_key = {by}.key\n")
        for name in names:
            self.openssl("ca", "-config", f"{by}.cnf", "-revoke", f"{name}.pem")
        self.openssl("ca", "-config", f"{by}.cnf", "-gencrl", "-crlsec", str(int(days * 86_400)), "-out", f"{by}.crl")
        return self.folder / f"{by}.crl"

    def settings(self, listen: str, *, client_authority: str | None = None) -> dict[str, str]:
        """The settings of an espd that uses them."""
        settings = {"ESP_TLS_LISTEN": listen, "ESP_TLS_CERT": str(self.certificate("server")),
                    "ESP_TLS_KEY": str(self.key("server"))}
        if client_authority:
            settings["ESP_TLS_CLIENT_CA"] = str(self.certificate(client_authority))
        return settings

    def open_channel(self, target: str, *, client: str | None = None, authority: str = "ca") -> grpc.Channel:
        """A gRPC channel that trusts an authority and, with `client`, shows a certificate."""
        credentials = grpc.ssl_channel_credentials(
            self.certificate(authority).read_bytes(),
            self.key(client).read_bytes() if client else None,
            self.certificate(client).read_bytes() if client else None)
        return grpc.secure_channel(target, credentials, options=OPTIONS)

    def subject(self, port: int) -> str:
        """The common name of the certificate that a new connection is shown."""
        with self.connect(port) as connection:
            return dict(part[0] for part in connection.getpeercert()["subject"])["commonName"]

    def connect(self, port: int, *protocols: str) -> ssl.SSLSocket:
        """A handshake by Python's ssl; h2 unless said otherwise."""
        context = ssl.create_default_context(cafile=str(self.certificate("ca")))
        context.set_alpn_protocols(protocols or ("h2",))
        return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname="localhost")

    def openssl(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        assert done.returncode == 0 or not check, done.stdout
        return done.stdout
