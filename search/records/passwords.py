"""Handling of passwords in addresses, which are used but never written to files or logs.

`--tracking-uri` may hold one (``http://user:password@host``). Files, logs, messages and the store
get ``***`` in its place, so a run that is resumed needs it again, from the flag or from the
environment.
"""

import os
import re
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from spaces.errors import InputError

MASK = "***"
_USER_INFO = re.compile(
    # The lookahead excludes ports: `host:5000/...` has no password.
    r"(://[^\s/:@?#]*:)(?!\d{1,5}(?:[/?#\s]|$))\S*@"
)
_NAMED = re.compile(
    r"(?<![\w-])((?:[\w-]*(?:passw|pwd|secret|token|signature|credential)[\w-]*|[\w-]*[_-]key|key|sig)"
    r"=)[^\s&#;]+",
    re.IGNORECASE,
)


def without_passwords(text: str) -> str:
    """Replace passwords of addresses in a text, and values as in ``secret=...``, by `MASK`."""
    return _NAMED.sub(rf"\1{MASK}", _USER_INFO.sub(rf"\1{MASK}@", text))


def refuse_passwords(name: str, address: str | None) -> None:
    """Raise if an address holds a password that another program would write to its files.

    Raises:
        InputError: If it holds one.
    """
    if address is not None and without_passwords(address) != address:
        raise InputError(
            f"`{name}` must hold no password or key, for Ray writes it into files of its own; give "
            "them in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3), but got "
            f"{without_passwords(address)}."
        )


def require_address(name: str, address: str | None) -> None:
    """Raise if the end of the password in an address is ambiguous.

    Raises:
        InputError: If its parts cannot be told apart.
    """
    if address is None or "://" not in address:
        return
    try:
        parts = urlsplit(address)
        is_clear = parts.port is None or parts.port > 0
        is_clear = is_clear and parts.netloc.count("@") <= 1
    except ValueError:  # Such as a port that is no number, or an open bracket.
        is_clear = False
    if not is_clear:
        raise InputError(
            f"`{name}` must be scheme://user:password@host:port/..., with @ : / in a password "
            f"written as %40 %3A %2F, but got {without_passwords(address)}."
        )


def with_password(address: str | None) -> str | None:
    """Put the password that `without_passwords` removed back into a store's address.

    Raises:
        InputError: If the environment does not have it.
    """
    if address is None or MASK not in address:
        return address
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if without_passwords(given) == address and MASK not in given:
        return given
    bare = _without_user(address)
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    if address.startswith("http") and MASK not in bare and all(os.environ.get(n) for n in names):
        user, password = (quote(os.environ[name], safe="") for name in names)
        parts = urlsplit(bare)
        return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc}"))
    raise InputError(
        f"The password of {address} is kept nowhere: give `--tracking-uri` with it again, or set "
        "MLFLOW_TRACKING_URI (for http also MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)."
    )


def hand_to_mlflow(address: str) -> str:
    """Pass user and password of an HTTP address to MLflow by environment; return the rest.

    MLflow prints the whole address in messages of failed requests, but not the environment.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.password is None:
        return address
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username or "")
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    return _without_user(address)


def _without_user(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
