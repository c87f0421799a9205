"""Credentials in text: what looks like one, and what kind. Used on the repository and on every diff that is kept with a run.

A line that only looks like a secret ends with the comment ``not-a-secret``.
"""

from __future__ import annotations

import math
import re
from collections import Counter

ALLOWED = "not-a-secret"
KNOWN = {
    "cloud access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "source-forge token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{50,}\b"),
    "chat token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}\b"),
    "web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\b"),
    "password in an address": re.compile(r"\b[a-z][a-z0-9+]{2,}://[^\s:/@{}$]+:[^\s:/@{}$]{6,}@[\w.-]+"),
}
#: A name that promises a secret, given a value that looks random.
NAMED = re.compile(
    r"""(?i)["']?[\w.-]*(?:secret|passw(?:or)?d|api_?key|access_?key|auth_?token|credential)[\w.-]*["']?\s*[:=]\s*["']?"""
    r"""(?P<value>[A-Za-z0-9/+_=.-]{16,})"""
)
#: Bits per character above which a value is taken for random; English words stay under 3.6.
RANDOM_BITS = 3.6


def entropy(text: str) -> float:
    """Return the Shannon entropy of the characters of `text`, in bits per character."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())


def findings(line: str) -> list[str]:
    """Return what kinds of secret one line seems to hold.

    Examples
    --------
    >>> findings("postgresql://ann:" + "correct-horse" + "@host/db")
    ['password in an address']
    >>> findings("api_key = os.environ['API_KEY']")
    []
    """
    if ALLOWED in line:
        return []
    found = [kind for kind, pattern in KNOWN.items() if pattern.search(line)]
    for match in NAMED.finditer(line):
        value = match["value"]
        mixed = re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value)
        if mixed and entropy(value) > RANDOM_BITS and not re.fullmatch(r"[\w.]+\.[A-Za-z_]\w*", value):
            found.append("named secret with a random value")
            break
    return found
