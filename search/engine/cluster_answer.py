"""Whether a Ray cluster answers, asked in a process that can be ended.

Where nothing listens, or something that is not Ray, `ray.init` waits without end in a call that no
signal interrupts, and fills the terminal meanwhile.
"""

import subprocess
import sys

from spaces.errors import InputError

WAIT_S = 40.0
"""Seconds that a head may take to answer, also one that is just being started."""
_ASK = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
except Exception as error:
    sys.exit(" ".join(["said:", *str(error).split()]))
"""
_TOKEN = (
    "it wants Ray's token: export RAY_AUTH_MODE=token here, and have the same ~/.ray/auth_token "
    "as on the machine where it was started, or RAY_AUTH_TOKEN."
)


def require_answer(address: str, *, wait_s: float = WAIT_S) -> None:
    """Refuse an address where no cluster is that this process may use.

    Raises:
        InputError: If there is none, or it wants a token that is not here.
    """
    asked = [sys.executable, "-c", _ASK, address]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=wait_s, check=False)
    except subprocess.TimeoutExpired as expired:
        # Without `text`, whatever was asked for.
        heard = (expired.stderr or b"").decode(errors="replace")
        reason = f"it did not answer within {wait_s:.0f} s."
    else:
        if done.returncode == 0:
            return
        heard = done.stderr
        reason = heard.rpartition("said: ")[2].strip() or "Ray ended without a word."
    if "InvalidAuthToken" in heard or "no authentication token" in heard:
        reason = _TOKEN
    raise InputError(
        f"`ray_address` must be that of a running cluster, but {address} is not: {reason}"
    )
