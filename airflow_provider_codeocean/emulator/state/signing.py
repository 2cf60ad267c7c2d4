"""Signed download URLs, which need no credentials and expire."""

import hashlib
import hmac
from typing import Literal
from urllib.parse import quote, urlencode

Disposition = Literal["attachment", "inline"]


class UrlSigner:
    """Signs and verifies URLs of files.

    :param secret: the signing key.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def sign_url(
        self, base_url: str, location: str, path: str, *, disposition: Disposition, expires_at: int
    ) -> str:
        """Build the signed URL of a file.

        :param base_url: URL of the emulator, with a trailing slash.
        :param location: location of the file.
        :param path: path of the file in the location.
        :param disposition: `attachment` to download, `inline` to view.
        :param expires_at: expiration time, in Unix seconds.
        :returns: an absolute URL.
        """
        query = {
            "disposition": disposition,
            "expires": expires_at,
            "signature": self.compute_signature(location, path, disposition, expires_at),
        }
        return f"{base_url}storage/{quote(location)}/{quote(path)}?{urlencode(query)}"

    def compute_signature(self, location: str, path: str, disposition: str, expires_at: int) -> str:
        """Compute the signature of a URL.

        :param location: location of the file.
        :param path: path of the file in the location.
        :param disposition: `attachment` or `inline`.
        :param expires_at: expiration time, in Unix seconds.
        :returns: the signature, in hexadecimal.
        """
        signed = "\n".join((location, disposition, str(expires_at), path))
        return hmac.new(self._secret, signed.encode(), hashlib.sha256).hexdigest()

    def is_valid(self, signature: str, location: str, path: str, disposition: str, expires_at: int) -> bool:
        """Verify a signature, but not the expiration.

        :param signature: the signature to verify.
        :param location: location of the file.
        :param path: path of the file in the location.
        :param disposition: `attachment` or `inline`.
        :param expires_at: expiration time, in Unix seconds.
        :returns: whether the signature is valid.
        """
        return hmac.compare_digest(
            signature.encode(), self.compute_signature(location, path, disposition, expires_at).encode()
        )
