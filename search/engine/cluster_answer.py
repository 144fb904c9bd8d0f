"""Check that a Ray cluster answers, by a separate process that can be ended.

If nothing listens at an address, or something that is not Ray, `ray.init` waits without end in a
call that no signal interrupts, and fills the terminal meanwhile.
"""

import subprocess
import sys

from spaces.errors import InputError

WAIT_S = 40.0
"""Seconds that a head node, possibly just being started, may take to answer."""
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
    """Raise if there is no usable cluster at an address.

    Raises:
        InputError: If there is none, or it requires a token that this process lacks.
    """
    asked = [sys.executable, "-c", _ASK, address]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=wait_s, check=False)
    except subprocess.TimeoutExpired as expired:
        # `TimeoutExpired` holds bytes in spite of `text=True`.
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
