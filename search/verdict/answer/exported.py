"""Words on the recipe that is written for training."""

from search.verdict.learning_curve import is_too_short
from search.verdict.schema import Verdict
from search.verdict.wording import exported_sentence


def export_note(verdict: Verdict) -> str:
    """Write which recipe is exported and why, and what was tested as advised if it is no advice.

    The advised recipe is tested together with the run of twice the length that may show that all
    runs were too short. Then nothing is to be turned, but the results of what was turned stay.
    """
    said = exported_sentence(verdict.exported, verdict.exported_because)
    found = verdict.confirmed
    if verdict.exported == "advised" or not is_too_short(verdict.fit) or found is None:
        return said
    if not found.advised or found.advised == found.reference:
        return said
    return f"{said} What is shown as advised has turns of before that was known."
