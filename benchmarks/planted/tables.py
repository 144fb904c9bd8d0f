"""The tables of docs/planted.md, from the diagnoses that were drawn of each case."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from scipy import stats

from benchmarks.planted.advised import advised_gain, recipe_gain
from benchmarks.planted.alternatives import ablation_blocks, by_importance, one_at_a_time
from benchmarks.planted.markdown import header, row
from benchmarks.planted.record import METRICS
from benchmarks.planted.scores import Evaluated, Score, turns_of
from benchmarks.planted.verdicts import Diagnosis, Recorded, is_covered, is_right, truth
from search.records.metrics import TOP1
from search.verdict.blocked_model import t_quantile
from search.verdict.dials import UNFINISHED
from search.verdict.schema import Dial
from search.verdict.wording import change, percent


def score_table(found: Mapping[str, Score]) -> Iterator[str]:
    """One row per way of judging."""
    head = ("", "cases", "culprits found", "turns per diagnosis", "false, of all turns")
    yield from header(*head, "diagnoses with a false turn", numeric=5)
    for name, at in found.items():
        shares = (f"{at.found:.0%}", f"{at.turns:.2f}", f"{at.false:.1%}", f"{at.spoilt:.1%}")
        yield row(name, str(at.num_cases), *shares)


def case_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """One row per planted strength, and one per case without any."""
    head = ("case", "planted", "costs in truth", "culprit by", "other turns", "fit state", "runs")
    yield from header(*head, "turned in", numeric=2)
    for case in cases:
        recorded = case.recorded
        runs = np.mean([d.num_runs for d in case.drawn])
        fits = Counter(d.fit.reference for d in case.drawn if d.fit)
        said = ", ".join(f"{state} {n}" for state, n in fits.most_common()) or "not recorded"
        others = Counter(
            f"`{name}` {_direction(d, name)}, {_verdict(recorded, name, metric, d)}"
            for d in case.drawn
            for name, metric in turns_of(d)
            if name not in recorded.planted
        )
        other = ", ".join(f"{what} ({n})" for what, n in others.most_common()) or "none"
        if not recorded.planted:
            yield row(recorded.name, "nothing", "", "", other, said, f"{runs:.0f}", "")
        for i, name in enumerate(recorded.planted):
            turned = sum(name in dict(turns_of(d)) for d in case.drawn)
            yield row(
                recorded.name if i == 0 else "",
                f"`{name}` {recorded.plan.reference.strengths.as_dict()[name]:g}",
                _costs(recorded, name),
                _words(case.culprits.get(name)),
                *((other, said, f"{runs:.0f}") if i == 0 else ("", "", "")),
                f"{turned} of {len(case.drawn)}",
            )


def gain_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """What the recipes gain over the reference that each way of judging would ship."""
    ways = ("one at a time, 95 % intervals", "no intervals", "Optuna's importances and signs")
    names = ("the advised recipe", *ways, "all of the default")
    yield from header("points of top-1 over the reference", *names, numeric=len(names))
    gains = [_gains(case) for case in cases]
    for case, of_case in zip(cases, gains, strict=True):
        yield row(case.recorded.name, *(_gained(gain) for gain in of_case))
    whole = np.array([of_case for of_case in gains if np.isfinite(of_case).all()])
    yield row(f"mean of the {len(whole)} that have all", *map(_gained, whole.mean(axis=0)))


def _gains(case: Evaluated) -> tuple[float, ...]:
    recorded = case.recorded
    found = []
    for number, drawn in enumerate(case.drawn):
        blocks = ablation_blocks(recorded, drawn.num_runs, number)
        ablated = [
            recipe_gain(recorded, one_at_a_time(recorded, blocks, with_interval=at))
            if len(recorded.singles) > 1
            else math.nan
            for at in (True, False)
        ]
        searched = recipe_gain(recorded, by_importance(recorded, drawn.num_runs, number))
        found.append((advised_gain(recorded, drawn), *ablated, searched))
    return (*np.mean(found, axis=0).tolist(), recipe_gain(recorded, recorded.names))


def _gained(gain: float) -> str:
    return f"{gain:+.1f}" if math.isfinite(gain) else ""


def _dial(diagnosis: Diagnosis, name: str) -> Dial:
    return next(d for d in diagnosis.dials if d.strength == name)


def _direction(diagnosis: Diagnosis, name: str) -> str:
    return _dial(diagnosis, name).turn


def _verdict(recorded: Recorded, name: str, metric: str | None, diagnosis: Diagnosis) -> str:
    right = is_right(recorded, name, metric, without=diagnosis.used)
    return "right" if right else "false"


def _costs(recorded: Recorded, name: str) -> str:
    parts = []
    for metric in ("val/top1", "val/nll"):
        found = truth(recorded, name, metric)
        if found is not None:
            scale, digits = (100.0, 1) if metric.endswith("top1") else (1.0, 2)
            parts.append(f"{change(metric, -found.mean)} ± {scale * found.half:.{digits}f}")
    return ", ".join(parts) or "not enough blocks"


def _words(metric: str | None) -> str:
    if metric is None:
        return "no culprit"
    return {"val/top1": "accuracy", "val/nll": "log-loss"}.get(metric, "refined log-loss")


def coverage_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """Write the table of how often 95 % intervals agree with the blocks that they did not see."""
    yield from header("metric", "intervals", "agree with the other blocks", numeric=2)
    everything: list[bool] = []
    for metric in METRICS:
        hits = covered(cases, metric)
        everything += hits
        if hits:
            yield row(metric, str(len(hits)), f"{np.mean(hits):.1%}")
    if everything:
        yield row("all", str(len(everything)), f"{np.mean(everything):.1%}")


def covered(cases: Sequence[Evaluated], metric: str) -> list[bool]:
    """Whether each interval of each diagnosis agrees with the blocks that it did not see."""
    found = [
        is_covered(case.recorded, effects[metric], name, metric, drawn.used)
        for case in cases
        for drawn in case.drawn
        for name, effects in drawn.effects.items()
    ]
    return [hit for hit in found if hit is not None]


def fit_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """Write the table of how often the fit state is the one that was planted."""
    yield from header("should be", "said instead", "cases", "diagnoses", "right", numeric=3)
    groups: dict[tuple[str, ...], list[Evaluated]] = {}
    for case in cases:
        # A reference whose planted strengths do no harm is as good as one without.
        harmless = case.recorded.planted and not case.culprits
        wanted = ("balanced", "overfit") if harmless else case.recorded.fits
        groups.setdefault(wanted, []).append(case)
    for wanted, group in groups.items():
        states = [d.fit.reference for case in group for d in case.drawn if d.fit]
        wrong = Counter(state for state in states if state not in wanted)
        said = ", ".join(f"{state} {n}" for state, n in wrong.most_common()) or "nothing"
        if states:
            right = np.mean([state in wanted for state in states])
            yield row(" or ".join(wanted), said, str(len(group)), str(len(states)), f"{right:.0%}")


def gap_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """Write the table of the gaps of references that should overfit, and of their alternatives."""
    head = ("case", "recipe", "clean train", "validation", "gap, points")
    yield from header(*head, "most that one offered strength gains", numeric=4)
    for case in cases:
        if case.recorded.fits != ("overfit",):
            continue
        found = [truth(case.recorded, name, "val/top1") for name in case.recorded.names]
        most = max((one for one in found if one is not None), key=lambda one: one.mean)
        gained = f"{change('val/top1', most.mean)} ± {100 * most.half:.1f}"
        for role, words in (("reference", "everything off"), ("best", "what was offered")):
            clean, val = (
                np.array([of[metric] for of in case.recorded.fresh[role].values()])
                for metric in ("clean_train/top1", "val/top1")
            )
            gap = 100 * (clean - val)
            is_first = role == "reference"
            yield row(
                case.recorded.name if is_first else "",
                words,
                *(percent(float(of.mean())) for of in (clean, val)),
                f"{gap.mean():.1f} ± {t_quantile(0.05, len(gap) - 1) * stats.sem(gap):.1f}",
                gained if is_first else "",
            )


def unplanted_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """Write the table of strengths that were not planted but gain more than the margin in truth."""
    yield from header("case", "strength", "gains in truth", "turned in", "held in", numeric=2)
    for case in cases:
        for name in case.recorded.names:
            found = truth(case.recorded, name, "val/top1")
            if found is None or name in case.recorded.planted:
                continue
            if found.mean < TOP1.margin or found.sign() < 1:
                continue
            number = len(case.drawn)
            turned = sum(name in dict(turns_of(drawn)) for drawn in case.drawn)
            held = sum(_dial(drawn, name).remark.endswith(UNFINISHED) for drawn in case.drawn)
            gains = f"{change('val/top1', found.mean)} ± {100 * found.half:.1f}"
            shares = (f"{turned} of {number}", f"{held} of {number}")
            yield row(case.recorded.name, f"`{name}`", gains, *shares)


def calibration_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """Write the table of decisions by plain log-loss, and whether the other blocks agree."""
    head = ("said where plain log-loss decides", "dials", "refined moves less than half as much")
    yield from header(*head, numeric=2)
    said: dict[str, list[bool]] = {words: [] for words in _CALIBRATION}
    for case in cases:
        for drawn in case.drawn:
            for dial in drawn.dials:
                if dial.decided_by == "val/nll":
                    words = next(words for words in _CALIBRATION if words in dial.remark)
                    said[words].append(_is_mostly_calibration(case, dial.strength, drawn.used))
    for words, agree in said.items():
        yield row(words, str(len(agree)), f"{sum(agree)} of {len(agree)}")


_CALIBRATION = (
    "does: a calibration matter",
    "mostly a calibration matter",
    "how much of it is calibration is open",
)
"""From `search.verdict.judgement`."""


def _is_mostly_calibration(case: Evaluated, strength: str, used: Iterable[int]) -> bool:
    excluded = tuple(used)
    refined, plain = (
        truth(case.recorded, strength, metric, without=excluded)
        or truth(case.recorded, strength, metric)
        for metric in ("val/nll_refined", "val/nll")
    )
    assert refined is not None
    assert plain is not None
    return abs(refined.mean) < abs(plain.mean) / 2
