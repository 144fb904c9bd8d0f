"""Draw and tabulate where the best value of each strength lies, from ``benchmarks/scaling.csv``.

    python benchmarks/scaling_report.py

Writes ``docs/scaling.png``, ``docs/scaling_transfer.png``, and the tables between the two marks in
``docs/scaling.md``; what is said around them is written by hand.
"""

from pathlib import Path

import pandas as pd
from scaling import ARMS, DATA, recipe_and_task
from scaling_optimum import Curve
from scaling_picture import draw

from spaces.anchors import scaled_strengths
from spaces.ranges import strength_axes
from spaces.strengths import STRENGTH_NAMES
from spaces.units import plain, to_raw

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- begin of the tables -->", "<!-- end of the tables -->"
