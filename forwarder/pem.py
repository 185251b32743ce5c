"""Says why a text is not the PEM that it should be. No message shows a part of the text."""

import re
from typing import Literal

_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
PUBLIC = "is a public key; write the private key of the same pair"
"""What is wrong with a public key in place of a private key, and what to do."""

_OTHER_KEYS = {
    r"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED": "has a password; write the key without one: openssl pkey "
    "-in KEY -out NEW",
    "-----BEGIN OPENSSH PRIVATE KEY-----": "is a key in the format of OpenSSH; convert a copy of it: ssh-keygen -p -m PEM -N '' "
    "-f COPY",
}
"""What is wrong with a key and what to do, by a regular expression that the key contains."""


def wrong_kind(text: str, wanted: Literal["PRIVATE KEY", "CERTIFICATE"]) -> str | None:
    """Return why `text` has no PEM of the kind `wanted` that can be used, and what to do; None if no reason is found.

    The text continues a sentence that begins with the name of the file or setting.
    """
    if re.search(r"-----BEGIN [A-Z0-9 ]+-----\\[nr]", text):
        return r"has `\n` in place of line breaks; write real line breaks, as the original file has them"
    what = "the private key" if wanted == "PRIVATE KEY" else "the certificate"
    kinds = sorted(set(_BEGIN.findall(text)))
    if not kinds:
        return f"{'is not PEM' if text.strip() else 'is empty'}; write {what} in PEM, which begins with -----BEGIN"
    for beginning, problem in _OTHER_KEYS.items():
        if wanted == "PRIVATE KEY" and re.search(beginning, text):
            return problem
    if any(kind.endswith(wanted) for kind in kinds):
        return None
    if wanted == "PRIVATE KEY" and kinds == ["CERTIFICATE"]:
        return "is a certificate; write the private key that belongs to it"
    if wanted == "PRIVATE KEY" and kinds[-1].endswith("PUBLIC KEY"):
        return PUBLIC
    return f"contains {kinds[0]}, and no {wanted}; write {what} in PEM"
