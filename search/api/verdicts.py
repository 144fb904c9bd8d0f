"""The result of a search or a diagnosis, read from its run directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from search.api.advised import Advised
from search.api.frames import runs_frame
from search.plan.config import OF_DIAGNOSIS, RunConfig
from search.plan.origin import read_origin
from search.plan.plan import Plan
from search.plan.top_up import num_top_ups
from search.records.journal import Journal
from search.records.metrics import decided_by
from search.records.trials import SEARCH_STAGES
from search.report.figures.catalogue import Figure, figures
from search.report.notebook import runs_html, verdict_html
from search.report.outputs import recipe_comments
from search.report.tables import experiment_rows, trial_rows
from search.stages.analysis import Analysis, analyse
from search.verdict.schema import Confirmed, Dial, Fit
from spaces.errors import InputError

FILE = "verdict.json"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Verdict:
    """The findings of a run: strengths to turn, to which values, and how sure that is.

    In a notebook it is shown as the top of the report.

    Attributes:
        path: Directory of the run, with ``report.html`` and all other files.
        sentence: The verdict in one sentence.
        fit: Fit states of the reference and the best, with the reasons.
        dials: By strength, its ``turn`` (``down``, ``up``, ``leave`` or ``inconclusive``), the
            ``reference`` and ``recommended`` values, the ``effect`` by metric and its 95 %
            ``interval``; accuracies in [0, 1], losses in nats.
        advised: The recipe of ``best.yaml``.
        confirmed: Means and differences on the test images, or None if none were measured.
        trials: A row per training run: values, how it ended, last metrics.
        experiment: A row per run of the experiment and the confirmation, with block and levels.
        figures: The report's figures by name: each shows itself in a notebook; ``png()`` gives
            its picture as bytes.
    """

    path: Path
    sentence: str
    fit: Fit
    dials: Mapping[str, Dial]
    advised: Advised
    confirmed: Confirmed | None
    trials: pd.DataFrame = field(repr=False)
    experiment: pd.DataFrame = field(repr=False)
    figures: Mapping[str, Figure] = field(repr=False)
    _page: str = field(repr=False)

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return self._page


def read_verdict(path: Path) -> Verdict:
    """Read a finished run; nothing is written, and another process may work on the run.

    Args:
        path: Directory of the run.

    Raises:
        InputError: If it is no finished search or diagnosis.
    """
    origin = read_origin(path)
    config, plan = origin.config, origin.plan
    if config.stages not in (SEARCH_STAGES, OF_DIAGNOSIS):
        raise InputError(
            f"{path} must be a search or a diagnosis, but its stages are "
            f"{', '.join(config.stages)}: its report.html has the result."
        )
    if origin.verdict is None or num_top_ups(path / FILE) != len(config.top_ups):
        raise InputError(
            f"{path} must have ended, but has no verdict yet; go on with: "
            f"search.resume({str(path)!r})"
        )
    journal = Journal(path)
    try:
        return _verdict(path, config, plan, journal, analyse(journal, plan, config))
    except RuntimeError as error:
        raise InputError(f"The journal in {path} is not whole: {error}") from error
    finally:
        journal.close()


def _verdict(
    path: Path, config: RunConfig, plan: Plan, journal: Journal, analysis: Analysis
) -> Verdict:
    found = analysis.verdict
    trials = list(journal.trials.values())
    space, data = plan.space, plan.data
    ended = [trial for trial in trials if trial.spec.stage != "search"]
    shown = partial(runs_html, config=config, plan=plan)
    return Verdict(
        path=path,
        sentence=found.sentence,
        fit=found.fit,
        dials=MappingProxyType({dial.strength: dial for dial in found.dials}),
        advised=Advised.of(
            analysis.exported,
            num_train=data.num_train,
            class_names=data.class_names,
            comments=recipe_comments(
                config,
                plan,
                analysis.exported,
                sentence=found.sentence,
                reasons=found.advised_because,
            ),
            files=data.files,
        ),
        confirmed=found.confirmed,
        trials=runs_frame(
            trial_rows(trials, raw=space.raw_of, effective=plan.effective_values),
            partial(shown, f"{len(trials)} trials of {config.run_name}", trials=trials),
        ),
        experiment=runs_frame(
            experiment_rows(trials, raw=space.raw_of),
            partial(shown, f"The experiment and the test of {config.run_name}", trials=ended),
        ),
        figures=MappingProxyType(figures(plan, trials, analysis, decided_by(config.metric))),
        _page=verdict_html(config, analysis),
    )
