"""Download URLs that need no credentials and expire."""

import hashlib
import hmac
from typing import Literal
from urllib.parse import quote, urlencode

Disposition = Literal["attachment", "inline"]


class Signer:
    """Makes and checks signed URLs of files.

    :param secret: what is signed with.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def url(self, base: str, location: str, path: str, *, disposition: Disposition, expires: int) -> str:
        """Make the URL of a file.

        :param base: URL of the emulator, ending in a slash.
        :param location: where the file is.
        :param path: its path there.
        :param disposition: `attachment` to download, `inline` to look at.
        :param expires: until when it is valid, Unix seconds.
        :returns: an absolute URL.
        """
        query = {
            "disposition": disposition,
            "expires": expires,
            "signature": self.signature(location, path, disposition, expires),
        }
        return f"{base}storage/{quote(location)}/{quote(path)}?{urlencode(query)}"

    def signature(self, location: str, path: str, disposition: str, expires: int) -> str:
        """Sign what a URL stands for.

        :param location: where the file is.
        :param path: its path there.
        :param disposition: how it is served.
        :param expires: until when it is valid, Unix seconds.
        :returns: the signature, hexadecimal.
        """
        signed = "\n".join((location, disposition, str(expires), path))
        return hmac.new(self._secret, signed.encode(), hashlib.sha256).hexdigest()

    def valid(self, signature: str, location: str, path: str, disposition: str, expires: int) -> bool:
        """Check a signature.

        :param signature: the one given.
        :param location: where the file is.
        :param path: its path there.
        :param disposition: how it is served.
        :param expires: until when it is valid, Unix seconds.
        :returns: whether it is the right one; whether it has expired is another matter.
        """
        return hmac.compare_digest(
            signature.encode(), self.signature(location, path, disposition, expires).encode()
        )
