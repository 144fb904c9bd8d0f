"""The answer of a comparison as files: ``verdict.json`` and the advised configuration."""

from typing import Any

from search.commands.compare.answer.number_text import cut
from search.commands.compare.answer.remarks import ending
from search.commands.compare.answer.sentences import WORDS, sentence
from search.commands.compare.answer.verdict import Verdict
from search.commands.compare.asked.factors import BEST, REFERENCE
from search.recipes.strict_yaml import comment_block

SCHEMA = "compare/1"
TURNS = {"helps": "take", "hurts": "keep", "same": "leave", "open": "inconclusive"}
"""Turn for each outcome of a factor; people read `sentences.WORDS`."""


def advised_text(verdict: Verdict) -> str:
    """The advised configuration in the format of the reference, with the reason of each change."""
    text = verdict.advised.text()
    if verdict.advised.format == "json":
        return text
    lines = [f"Advised by the comparison {verdict.request.run_name}: {sentence(verdict)}"]
    better = verdict.confirmation.better if verdict.confirmation else ""
    if better:
        lines.append(f"It is the {better} as a whole, which did better on fresh seeds.")
    for factor, found in verdict.factors:
        why = "" if better else f": {WORDS[found.outcome]}"
        lines.append(f"{found.name} = {cut(factor.words(verdict.levels[found.name]))}{why}")
    return comment_block(lines) + text


def to_dict(verdict: Verdict) -> dict[str, Any]:
    """Plain values as written to ``verdict.json``."""
    metric, request = verdict.metric, verdict.request
    found = verdict.confirmation
    return {
        "schema": SCHEMA,
        "run": request.run_name,
        "metric": {
            "name": metric.words,
            "read_from": request.metrics[0],
            "larger_is_better": metric.larger_is_better,
            "margin": metric.margin,
        },
        "sentence": sentence(verdict),
        "dials": [
            {
                "name": factor.name,
                "strength": factor.name,  # As in a search's, so that one reader serves both.
                "keys": list(factor.reference),
                "reference": factor.words(REFERENCE),
                "best": factor.words(BEST),
                "recommended": factor.words(verdict.levels[factor.name]),
                "turn": TURNS[known.outcome],
                "decided_by": None
                if known.outcome == "open"
                else ("runs without a result" if known.by_runs_that_fail else metric.words),
                "advised": "best" if verdict.levels[factor.name] == BEST else "reference",
                "effect": {
                    text: {"mean": effect.mean, "ci95": effect.ci95}
                    for text, effect in known.effects.items()
                    if effect.is_estimable
                },
                "selected": known.selected
                and {"mean": known.selected.mean, "ci95": known.selected.ci95},
                "beside_advised": (beside := verdict.beside.get(factor.name))
                and {"mean": beside.mean, "ci95": beside.ci95},
                "failed": known.failed
                and {"runs": known.failed.runs, "failed": known.failed.diverged},
                "more_runs": known.more_runs,
            }
            for factor, known in verdict.factors
        ],
        "advised": verdict.advised.values,
        "confirmed": found
        and {
            "means": found.means,
            "seeds": found.seeds,
            "same_as": found.same_as or None,
            "better": found.better or None,
            "best_minus_reference": found.gap and {"mean": found.gap.mean, "ci95": found.gap.ci95},
            "advised_minus": {
                other: {"mean": gain.mean, "ci95": gain.ci95}
                for other, gain in found.advised_minus.items()
            },
        },
        "interactions": [
            {
                "factor": joint.subject,
                "depends_on": joint.other,
                "effect_at_reference": joint.at_reference,
                "effect_at_best": joint.at_best,
            }
            for joint in verdict.finding.joints
        ],
        "looks": verdict.finding.looks,
        "rounds": verdict.finding.rounds,
        "ending": ending(verdict),
        "num_runs": verdict.finding.num_runs,
        "num_failed": verdict.num_failed,
        "limits": list(verdict.limits),
        "wall_s": verdict.seconds,
    }
