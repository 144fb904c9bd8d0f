"""Quick check whether a download is possible, before one that could hang is started."""

import threading
import urllib.error
import urllib.request


def is_reachable(url: str, *, timeout_s: float = 5.0) -> bool:
    """Whether a server answers a request for ``url`` in any way.

    Args:
        url: Address of the file, ``http`` or ``https``.
        timeout_s: Seconds after which the answer is no.
    """
    answers: list[bool] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=timeout_s).close()
        except urllib.error.HTTPError:
            pass  # An answer too: some servers refuse to be asked for the head alone.
        except OSError:
            return
        answers.append(True)

    # In a thread, because no timeout covers the look-up of the host's name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return bool(answers)
