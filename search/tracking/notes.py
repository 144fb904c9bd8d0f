"""Descriptions of a search for MLflow in Markdown, and its verdict as metrics and tags."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from search.records.metrics import METRICS, NLL, TOP1, Metric, metric_of
from search.records.trials import Trial
from search.tracking.metric_keys import DECIMALS, RANK_METRIC, final_name, rounded
from search.verdict.answer.sureness import GROUPS, statements
from search.verdict.confirmation import FROZEN_ROLES
from search.verdict.readings import HOLDS_FOR, reading_sentences
from search.verdict.schema import Dial, Estimate, Verdict
from search.verdict.wording import (
    ROLE_WORDS,
    TURN_SIGNS,
    change_with_interval,
    pool_sentence,
    runs_range,
    target,
    value_text,
    with_interval,
)
from search.verdict.wording import count as counted

_PROMISES = {
    "": "which strengths to turn down, to what, and how sure that is",
    "ablation": "what each ingredient of the recipe is worth, and how sure that is",
    "optimizers": "which optimizers can be told apart, at equal epochs and in equal time",
}
_OTHER_STAGES = {
    "ablate": "run of the ablation",
    "tune": "run in search of a learning rate",
    "contest": "run of the contest",
}
_GAP = "&nbsp;&nbsp;&nbsp;"  # MLflow's tables have no borders and no room between columns.


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """Addresses that a description links to, all relative to MLflow's page.

    Attributes:
        charts: Address of the saved view of the search.
        artifacts: Addresses by name of the file.
        images: Addresses of images shown inside the description, by caption; at most 700 px wide,
            as wider ones push the column with status and children off the page.
        runs: Addresses of the most important child runs, by label.
        champion: Address of the registered model, empty without one.
    """

    charts: str
    artifacts: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)
    champion: str = ""


def open_note(
    title: str, state: str, *, charts: str, counts: str = "", kind: str = "", resume: str = ""
) -> str:
    """Write the description of a search that has no verdict.

    Args:
        title: Title of the search.
        state: State of the search, such as "interrupted".
        charts: Address of its charts.
        counts: Sentence on the number of its trials.
        kind: Kind of the run if it is no search, else empty.
        resume: Command that resumes it.
    """
    what = "run" if kind else "search"
    return (
        f"**{title}: {state}, no verdict yet.** [Charts of its trials]({charts}). {counts}\n\n"
        f"When the {what} is over, this text says {_PROMISES[kind]}. An interrupted {what} goes on "
        f"with {code_span(resume or 'make resume')}."
    )


def code_span(text: str) -> str:
    """Format a text as code in Markdown, even if it holds back quotes."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    gap = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{gap}{text}{gap}{fence}"


def verdict_note(verdict: Verdict, *, counts: str, links: Links) -> str:
    """Write the description of a search with a verdict: turns, sentence, evidence, links."""
    head = verdict.sentence or f"Turn down: {turned(verdict, 'down')}."
    first = {
        "report": links.artifacts.get("report.html", ""),
        "charts": links.charts,
        "champion model": links.champion,
    }
    pointers = _listed({name: address for name, address in first.items() if address})
    # MLflow folds all but about 100 pixels away: the turns, in a line for each group, come first.
    read = " ".join(reading_sentences(verdict.confirmed, METRICS[verdict.metric]))
    besides = f"{read} {HOLDS_FOR}" if read else ""
    curve = verdict.learning_curve
    more_images = " ".join(curve.sentences) if curve else ""
    parts = [answer_table(verdict), pointers, f"**{head}**", _confirmed(verdict), besides]
    parts.append(more_images)
    parts = [part for part in parts if part]
    parts.append(markdown(dial_table(verdict)))
    parts.append(_how(verdict, counts))
    parts += [f"![{caption}]({address})" for caption, address in links.images.items()]
    if links.runs:
        parts.append(f"**Runs that matter**: {_listed(links.runs)}")
    if links.artifacts:
        parts.append(f"**Files**: {_listed(links.artifacts)}")
    return "\n\n".join(parts)


def answer_table(verdict: Verdict) -> str:
    """Write a Markdown table with a row for each group of settings, the surest first.

    The first group is its head, for a head of its own would take the place of a row.
    """
    said = statements(verdict.dials)
    rows = []
    for group in GROUPS:
        of_group = [one for one in said if one.group == group]
        texts = [
            f"{one.strength} {one.value}" + (f": {one.why}" if group in _WITH_EFFECT else "")
            for one in of_group
        ]
        if texts:
            rows.append([f"{group}{_GAP}", "; ".join(texts)])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines[:1], "| --- | --- |", *lines[1:]]) if lines else ""


_WITH_EFFECT = ("sure", "likely")
"""Groups whose effects are worth the room."""


def count(trials: Iterable[Trial]) -> str:
    """Write a sentence on the number of runs of each stage and how they ended."""
    trials = list(trials)
    ends = Counter(t.status for t in trials if t.spec.stage == "search")
    stages = Counter(t.spec.stage for t in trials)
    others = [counted(stages[s], what) for s, what in _OTHER_STAGES.items() if stages[s]]
    if others:
        return ", ".join(others) + "."
    said = ", ".join(f"{number} {status}" for status, number in ends.most_common())
    parts = [f"{ends.total()} trials of the search ({said})" if said else "No trial of the search"]
    if stages["attribute"]:
        parts.append(f"{stages['attribute']} runs of the experiment behind the turns")
    if stages["confirm"]:
        parts.append(f"{stages['confirm']} confirmations")
    if stages["refine"]:
        parts.append(f"{stages['refine']} runs of values between")
    if stages["learning_curve"]:
        parts.append(f"{stages['learning_curve']} runs on half of the training images")
    return ", ".join(parts) + "."


def dial_table(verdict: Verdict) -> list[dict[str, str]]:
    """Build the rows of the table of dials, as text by column."""
    return [_dial_row(dial, METRICS[verdict.metric]) for dial in verdict.dials]


def _dial_row(dial: Dial, metric: Metric) -> dict[str, str]:
    # Mean and interval in two columns, as the viewer of tables cuts long cells off.
    effect = with_interval(metric.unit, dial.effect.get(metric.on("val")))
    mean, _, interval = effect.partition(" ")
    return {
        "strength": dial.strength,
        "turn": TURN_SIGNS[dial.turn],
        "from": value_text(dial.strength, dial.reference),
        "to": target(dial),
        f"val {metric.head}, {metric.unit.word}": mean or "—",
        "95 %": interval or "—",
        "decided by": _decided(dial, metric),
        "runs": str(dial.num_runs),
    }


def verdict_metrics(verdict: Verdict) -> dict[str, float]:
    """Collect a verdict's metrics: confirmed gain and effects with interval ends, and cost."""
    metric = METRICS[verdict.metric]
    found: dict[str, float] = {}
    # MLflow lists metrics in the order of their first point, so the most important come first.
    if verdict.confirmed is not None:
        gains = verdict.confirmed.best_minus_reference
        for name, gain in gains.items():
            found |= _rounded(metric_of(name), gain, f"confirmed/gain_{name.rpartition('/')[2]}")
        for role, of in verdict.confirmed.advised_minus.items():
            # Without interval ends, which are in the description: each name is one more chart.
            if (gain_over := of.get(metric.on("test"))) is not None:
                key = f"confirmed/advised_minus_{role}_{metric.name}"
                found[key] = rounded(metric.name, gain_over.mean)
        for role, shown in itertools.product(
            ("reference", "advised", "best", "off", "scaled", *FROZEN_ROLES),
            dict.fromkeys((metric, TOP1)),
        ):
            scores: Mapping[str, float] = getattr(verdict.confirmed, role)
            if (score := scores.get(shown.on("test"))) is not None:
                found[f"confirmed/{role}_{shown.name}"] = rounded(shown.name, score)
        for name, reading in verdict.confirmed.readings.items():
            shown = NLL if name == "temperature" else metric
            value = reading.change[shown.on("test")].mean
            found[f"reading/{name}_{shown.name}"] = rounded(shown.name, value)
    for dial in verdict.dials:
        if (effect := dial.effect.get(metric.on("val"))) is not None:
            found |= _rounded(metric, effect, f"effect/{dial.strength}")
    cost = {
        "cost/wall_s": verdict.cost.wall_s,
        "cost/core_s": verdict.cost.core_s,
        "cost/train_share": verdict.cost.train_share,
    }
    found |= {name: round(value, DECIMALS) for name, value in cost.items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _rounded(metric: Metric, estimate: Estimate, name: str) -> dict[str, float]:
    """Round an estimate and the ends of its interval for logging."""
    return {key: rounded(metric.name, x) for key, x in estimate.as_metrics(name).items()}


def verdict_tags(verdict: Verdict) -> dict[str, str]:
    """Return the tags by which ended searches can be filtered."""
    return {
        "fit.reference": verdict.fit.reference,
        "fit.best": verdict.fit.best,
        "turn_down": turned(verdict, "down"),
        "turn_up": turned(verdict, "up"),
    }


def turned(verdict: Verdict, turn: str) -> str:
    """Join the names of the strengths with that turn, or return ``none``."""
    return ", ".join(dial.strength for dial in verdict.dials if dial.turn == turn) or "none"


def answer(verdict: Verdict) -> str:
    """Summarise the turns of a verdict in a few words."""
    turns = {turn: turned(verdict, turn) for turn in ("down", "up")}
    said = [f"turn {turn} {names}" for turn, names in turns.items() if names != "none"]
    text = "; ".join(said) or "nothing to turn"
    return text[0].upper() + text[1:]


def experiment_note(
    *,
    title: str,
    charts: str,
    table: str,
    verdict: str,
    metric: Metric = TOP1,
    answer: str = "Which strengths to turn down",
) -> str:
    """Write the experiment's description, shown above all its tabs.

    It begins with plain words, as MLflow's list of experiments shows the beginning as text.

    Args:
        title: Title of the newest search.
        charts: Address of its charts.
        table: Address of its table.
        verdict: Address of its run.
        metric: The metric that decides first in it.
        answer: Result of the function `answer`, once there is a verdict.
    """
    return (
        f"{answer} · newest search: [{title}]({verdict}), [charts]({charts}), [table]({table})\n\n"
        "**How to read it.** Each search is one run with a description: the verdict, the turns, "
        "how sure they are. Below it lies one run per training: `t…` are trials of the search, "
        "`a…` runs of the experiment behind the turns, `c…` confirmations on the test split.\n\n"
        "* In the charts, `position.<strength>` is where a strength lies on its axis: 0 is off or "
        "its weakest end, 1 its strongest. Lines that end high and start low say: turn it down.\n"
        "* Grey trials were stopped early (`✂6`: after epoch 6), orange ones diverged, red ones "
        "failed. Bright green is a full-length trial that ended well.\n"
        "* Trials that ran to the end have a `place` by what the search goes by; ★ is its pick.\n"
        f"* `{final_name(metric)}` holds full-length trials only. `{RANK_METRIC}` compares a trial "
        "with all others at the epoch where it stopped: a picture, not a proof. The turns rest on "
        "full-length runs alone.\n"
        "* MLflow opens some pages in its layout for agents; one click on *Model training*, top "
        "left, and this browser stays in this one."
    )


def _listed(addresses: Mapping[str, str]) -> str:
    return " · ".join(f"[{name}]({address})" for name, address in addresses.items())


def _confirmed(verdict: Verdict) -> str:
    confirmed, metric = verdict.confirmed, METRICS[verdict.metric]
    name = metric.on("test")
    if confirmed is None or name not in confirmed.advised:
        return ""
    said = [
        f"{change_with_interval(name, of[name])} over {ROLE_WORDS[role]}"
        for role, of in sorted(
            confirmed.advised_minus.items(), key=lambda item: item[0] != confirmed.free
        )
        if name in of
    ]
    return (
        f"Test {metric.words} of the advised recipe "
        f"**{metric.unit.value(confirmed.advised[name])}** ({confirmed.seeds} seeds, "
        f"{confirmed.num_images:,} images): {'; '.join(said)}"
    )


def _how(verdict: Verdict, counts: str) -> str:
    lines = [
        f"**How it was found** ({verdict.dataset}, {verdict.num_train:,} training images, "
        f"{verdict.model}, {verdict.total_steps:,} steps)",
        f"* {counts}",
        "* An effect is what changes on full-length runs when only this strength goes from → to, "
        "averaged over the levels of the others, with its 95 % interval. "
        f"{pool_sentence(verdict.dials)}".rstrip(),
        f"* The reference is **{verdict.fit.reference}**, the best **{verdict.fit.best}**.",
        *(f"* {reason}" for reason in verdict.fit.reasons),
        *(f"* {text}" for text in (verdict.experiment, *verdict.interactions) if text),
        *(f"* {', '.join(names)}: {remark}" for remark, names in _remarks(verdict).items()),
        f"* Cost: {verdict.cost.wall_s / 60:.1f} minutes, {verdict.cost.core_s / 60:.1f} "
        f"core-minutes, {verdict.cost.train_share:.0%} of them training.",
    ]
    return lines[0] + "\n\n" + "\n".join(lines[1:])


def _remarks(verdict: Verdict) -> dict[str, list[str]]:
    """Group the strengths by the remark on them."""
    found: dict[str, list[str]] = {}
    for dial in verdict.dials:
        if dial.remark:
            found.setdefault(dial.remark, []).append(dial.strength)
    return found


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Format rows with equal columns as a Markdown table for MLflow; empty without rows."""
    if not rows:
        return ""
    lines = [[f"{name}{_GAP}" for name in rows[0]], ["---"] * len(rows[0])]
    lines += [[f"{text}{_GAP}" for text in row.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _decided(dial: Dial, first: Metric) -> str:
    if dial.turn == "inconclusive" and dial.more_runs is not None:
        return f"needs {runs_range(dial.more_runs)}"
    if dial.decided_by is None:
        return "—"
    effect = dial.effect.get(dial.decided_by)
    if effect is None or dial.decided_by == first.on("val"):
        return dial.decided_by
    metric = metric_of(dial.decided_by)
    return f"{dial.decided_by} {with_interval(metric.unit, effect)}"
