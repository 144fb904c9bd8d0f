"""The log of what a run tells while it goes: ``log.txt`` has it, wherever the terminal is."""

import logging

STORY = logging.getLogger("search.story")
"""Logger of the lines that a person sees or, where a line changes in place, would see in a file."""
STORY.setLevel(logging.INFO)
