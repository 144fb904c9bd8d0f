"""``make ui`` on a store with three searches, of which the newest has no trial yet.

    python -m tests.support.programs.served_store <directory of the store>

It first prints the address that it expects to be named, on a server ``http://expected``.
"""

import sys
from pathlib import Path

from search.commands.ui import serve
from search.tracking.open_store import embedded_uri
from search.tracking.tracker import Tracker
from search.tracking.view import chart_url
from tests.support.finished_run import search_trials


def main(store_dir: Path) -> None:
    for name in ("older", "newer", "without a trial"):
        tracker = Tracker(None, store_dir=store_dir, experiment="mine", run_name=name)
        tracker.open_search(params={}, tags={}, dataset=None)
        tracker.sync([] if name == "without a trial" else search_trials()[:1])
    print(chart_url("1", "newer", base_url="http://expected"), flush=True)
    serve(embedded_uri(store_dir), "127.0.0.1", 5970)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
