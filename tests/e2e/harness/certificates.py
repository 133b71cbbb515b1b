"""Authorities and certificates, made with the openssl program."""

import subprocess
from pathlib import Path


def _openssl(*arguments, directory):
    done = subprocess.run(["openssl", *arguments], cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, f"openssl {arguments}: {done.stdout.decode()}"
    return done.stdout.decode()


class Certificate:
    """Files of a certificate and its key."""

    def __init__(self, certificate, key, serial):
        self.certificate, self.key, self.serial = Path(certificate), Path(key), str(serial)

    @property
    def pair(self):
        """As an element of tls.certificates."""
        return {"certFile": str(self.certificate), "keyFile": str(self.key)}

    @property
    def inline(self):
        """The same with what the files hold."""
        return {"certFile": self.certificate.read_text(), "keyFile": self.key.read_text()}

    @property
    def der(self):
        import ssl
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())


class Authority:
    """Signs certificates; its own is in `file`, signed by itself or by `above`, another authority."""

    def __init__(self, directory, name="authority", subject=None, above=None):
        self.directory, self.name = Path(directory), name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file, self.key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        self.count = 0
        signer = ("-CA", str(above.file), "-CAkey", str(above.key)) if above is not None else ()
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-utf8",
                 "-subj", subject or f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", str(self.key),
                 "-out", str(self.file), *signer, directory=self.directory)

    def issue(self, common_name, *alternatives, days=20, key=("ec", "ec_paramgen_curve:P-256"), extra=(), subject=None, chain=()):
        """`alternatives` as in "DNS:a.example" or "IP:127.0.0.1"; without any the name is one. Negative `days`: expired.
        `subject` as in "/C=DE/CN=x"; `chain`: authorities whose certificates follow in the file."""
        self.count += 1
        stem = self.directory / f"{self.name}-{self.count}"
        names = ",".join(alternatives or (f"DNS:{common_name}",))
        extensions = stem.with_suffix(".ext")
        extensions.write_text("\n".join((f"subjectAltName={names}", *extra)) + "\n")
        algorithm, option = key
        options = ("-pkeyopt", option) if option else ()
        _openssl("req", "-newkey", algorithm, *options, "-nodes", "-utf8", "-multivalue-rdn", "-subj",
                 subject or f"/CN={common_name}", "-keyout", f"{stem}.key", "-out", f"{stem}.csr", directory=self.directory)
        until = ("-days", str(days))
        _openssl("x509", "-req", "-in", f"{stem}.csr", "-CA", str(self.file), "-CAkey", str(self.key), "-set_serial",
                 str(1000 + self.count), *until, "-extfile", str(extensions), "-out", f"{stem}.pem",
                 directory=self.directory)
        with open(f"{stem}.pem", "a", encoding="ascii") as file:
            file.writelines(authority.file.read_text() for authority in chain)
        return Certificate(f"{stem}.pem", f"{stem}.key", 1000 + self.count)
