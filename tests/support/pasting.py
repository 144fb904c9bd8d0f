"""Pastes a printed command into a shell, and shows which words the program would get."""

import os
import subprocess
import sys
from pathlib import Path

from search.records.provenance import ROOT

ODD = '-bob\'s $HOME `echo hi` (x) #1 ünï "q" & a  b'
"""A folder's name with everything that a shell or make interprets; its commands do no harm."""
_SHOW = """\
import sys
sys.stdout.buffer.write(b"\\0".join(word.encode(errors="surrogateescape") for word in sys.argv))
"""


def pasted(line: str, tmp_path: Path, *, cwd: Path = ROOT) -> list[str]:
    """The words after ``-m search`` that a line gives to the program.

    Args:
        line: A call of make or of an interpreter, as it was printed.
        tmp_path: Where a stand-in for the interpreter is put.
        cwd: Where the line is typed.
    """
    show = tmp_path / "show-words"
    show.write_text(f"#!{sys.executable}\n{_SHOW}")
    show.chmod(0o755)
    if line.startswith("make "):
        # What belongs to make is there already: only the line is tried.
        line = line.replace("make ", f"make -o setup RUN_PYTHON={show} ", 1)
    else:
        _, rest = line.split(" -m search ", 1)
        line = f"{show} -m search {rest}"
    # A shell of one's own is not inside the make that runs the tests: make hands its level and its
    # flags on, and one that finds them prints the directory it enters and leaves.
    inherited = {"MAKELEVEL", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "GNUMAKEFLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    result = subprocess.run(
        ["bash", "-c", line], cwd=cwd, env=environment, capture_output=True, check=True
    )
    words = result.stdout.decode(errors="surrogateescape").split("\0")[1:]
    assert words[:2] == ["-m", "search"]
    return words[2:]
