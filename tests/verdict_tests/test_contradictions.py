"""No sentence of a verdict claims what the numbers in the same verdict deny.

Runs with random true effects and noise go through stages, experiment, dials, fit state and
confirmation, and everything that is said of them is read. These claims are checked:

- nothing beats a recipe, or its raw weights: denied by a recipe whose interval on test images is
  clearly above, or by a dial whose effect on what decides is clearly a gain;
- nothing is wrong with the reference, or nothing is to be turned: denied by a dial that is turned;
- only its weight average is behind: denied by another dial that is turned by what decides;
- its regularization keeps it from fitting: denied by a lag of its average that is most of the gain;
- a dial is turned: denied by an effect on what decided it that is a loss;
- a dial is left, or its other value does worse: denied by an effect that is clearly a gain, and
  "does worse", if no metric is named, by an effect on what decides that may be a gain;
- a dial matters less than some bound, which is denied by an interval that reaches further, and by
  noise that is said to be unknown;
- no clear difference, or a difference without that remark: denied by the interval beside it.
"""

import html
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from search.records.metrics import TOP1, metric_of
from search.report.page import report
from search.report.terminal import print_verdict
from search.tracking.notes import answer
from search.verdict.answer.sureness import statements
from search.verdict.design import EMA_FACTOR
from search.verdict.schema import Dial, Estimate
from tests.support.random_verdicts import RandomRun, random_run

TEST, VAL = TOP1.on("test"), TOP1.on("val")
NUMBER = r"([+-]?\d+(?:\.\d+)?)"
DIFFERENCE = re.compile(
    rf"{NUMBER} points \[{NUMBER}, {NUMBER}\]( \(no clear difference\))? over "
    rf"(?=the reference|everything off|the size-scaled)"
)


def is_gain(effect: Estimate | None, metric: str = VAL) -> bool:
    return effect is not None and effect.times(metric_of(metric).sign).ci95[0] > 0.0


def is_turned(dial: Dial) -> bool:
    return dial.turn in ("down", "up")


def about_reference(run: RandomRun) -> list[str]:
    """Claims on the reference that the dials or the confirmation deny."""
    verdict = run.analysis.verdict
    reasons = [r for r in verdict.fit.reasons if "the reference" in r.lower()]
    by_first = [d for d in verdict.dials if is_turned(d) and is_gain(d.effect.get(VAL))]
    besides = [d for d in by_first if d.strength != EMA_FACTOR]
    said = " ".join([verdict.sentence, *reasons])
    found = []
    is_unbeaten = any("no recipe tried does better" in reason for reason in reasons)
    if is_unbeaten and by_first:
        found.append(f"no recipe does better than the reference, but {by_first[0].strength} does")
    if "which no other recipe beats" in said and besides:
        found.append(f"nothing beats the raw weights, but {besides[0].strength} does")
    if "Nothing is clearly wrong" in said and any(map(is_turned, verdict.dials)):
        found.append("nothing is wrong, but a dial is turned")
    if "othing is to be turned" in said and any(map(is_turned, verdict.dials)):
        found.append("nothing is to be turned, but a dial is")
    if "only the average of the reference" in said and besides:
        found.append(f"only the average is behind, but {besides[0].strength} is turned")
    measured = run.analysis.measured
    lag = measured["reference"]["val_raw/top1"] - measured["reference"]["val/top1"]
    best = max(means.get(VAL, 0.0) for means in measured.values())
    gain = best - measured["reference"][VAL]
    if "regularization keeps it" in " ".join(reasons) and lag > 0.02 and lag > 0.8 * gain:
        found.append("regularization is blamed for what the average loses")
    if verdict.confirmed is not None:
        minus = verdict.confirmed.advised_minus
        for role, claim in (
            ("reference_raw", "which no other recipe beats"),
            ("reference", "no recipe tried does better"),
        ):
            val = measured.get("advised", {}).get(VAL, 0.0)
            own = measured["reference"]["val_raw/top1" if role == "reference_raw" else VAL]
            clear = is_gain(minus.get(role, {}).get(TEST)) and val - own > 0.05
            if claim in " ".join(reasons) and clear:
                found.append(f"{claim}, but the advised recipe does over {role}")
    return found


def about_dials(run: RandomRun) -> list[str]:
    """Claims on single dials that their effects deny."""
    found = []
    verdict = run.analysis.verdict
    kept = {s.strength: s for s in statements(verdict.dials, run.analysis.tried)}
    for dial in verdict.dials:
        effect, sentence = dial.effect.get(VAL), kept[dial.strength].text
        deciding = dial.effect.get(str(dial.decided_by))
        if is_turned(dial) and deciding is not None:
            gain = deciding.times(metric_of(str(dial.decided_by)).sign).mean
            found += [f"turned for a loss: {sentence}"] if gain <= 0.0 else []
        if dial.turn == "leave" and effect is not None:
            if is_gain(effect) and effect.mean > TOP1.margin:
                found.append(f"left in spite of a gain: {sentence}")
            if kept[dial.strength].why.endswith(" does worse") and effect.ci95[1] > TOP1.margin:
                found.append(f"does worse, or better: {kept[dial.strength].text} {effect}")
        if dial.matters_less_than is not None and effect is not None:
            most = max(map(abs, effect.ci95))
            if most > dial.matters_less_than + 1e-9 or "noise is unknown" in dial.remark:
                found.append(f"bound without ground: {sentence}")
    return found


def about_other_places(run: RandomRun) -> list[str]:
    """Claims of terminal, report and MLflow note that the dials deny."""
    out = io.StringIO()
    print_verdict(Console(file=out, width=1000), run.config, run.plan, run.analysis)
    page = html.unescape(report(run.config, run.plan, run.trials, run.analysis))
    said = {"terminal": " ".join(out.getvalue().split()), "report": " ".join(page.split())}
    turned = [dial for dial in run.analysis.verdict.dials if is_turned(dial)]
    found = []
    for place, text in said.items():
        found += [f"{place}: {shown}" for shown in about_differences(text)]
        if turned and "Nothing is clearly wrong" in text:
            found.append(f"{place}: nothing is wrong, but {turned[0].strength} is turned")
    if (answer(run.analysis.verdict) == "Nothing to turn") == bool(turned):
        found.append(f"note: {answer(run.analysis.verdict)}")
    return found


def about_differences(text: str) -> list[str]:
    """Differences that are called clear, or not, against the interval beside them."""
    found = []
    for shown in DIFFERENCE.finditer(text):
        low, high = float(shown[2]), float(shown[3])
        tail = re.split(r"[+-]\d|\. |Sure|Likely|Open|Keep|Next", text[shown.end() :])[0]
        is_clear = low > 0.0 or high < 0.0
        is_called_clear = "no clear difference" not in shown[0] + tail
        if is_clear != is_called_clear and 0.0 not in (low, high):  # Zero may be rounded.
            found.append(shown[0])
    return found


SEEDS = (0, 3, 6, 7, 10, 17)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_sentence_claims_what_the_numbers_deny(seed: int, tmp_path: Path) -> None:
    run = random_run(tmp_path, seed)
    assert about_reference(run) == []
    assert about_dials(run) == []
    assert about_differences(run.analysis.verdict.sentence) == []
    assert about_other_places(run) == []
