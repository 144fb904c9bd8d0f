"""The saved view of a search on MLflow's experiment page, made from a template.

MLflow keeps a view in one experiment tag, in an undocumented form; if another version reads it
differently, its page shows the plain list of runs instead.
"""

import base64
import hashlib
import json
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from search.records.metrics import NLL, TOP1, Metric
from search.records.provenance import ROOT
from search.tracking.metric_keys import RANK_METRIC, best_name, final_name, metric_keys
from search.tracking.open_store import set_environment
from search.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

TEMPLATE = ROOT / "mlflow" / "views" / "search.json"
COMPARISON = TEMPLATE.with_name("comparison.json")
"""Template for an ablation, an optimizer contest, or a diagnosis: runs without a search."""
MAX_CHARACTERS = 5000
"""Largest length of an experiment tag in MLflow 3.15; 3.17 takes 20,000."""
_TAG = "mlflow.sharedViewState."
_PREFIX = "recipe-search-"
_PAGE = 50
_KEEP = 20  # MLflow lists at most 40 views of an experiment.
_NOTE_TAG = "mlflow.note.content"
_NOTE_DIGEST_TAG = "recipe.note_digest"


def view_id(search_id: str) -> str:
    """Return the name of a search's view in addresses."""
    return _PREFIX + hashlib.sha256(search_id.encode()).hexdigest()[:10]


def chart_url(experiment_id: str, search_id: str, *, base_url: str = "") -> str:
    """Build the address of a search's charts; without ``base_url`` relative to MLflow's page."""
    return table_url(experiment_id, search_id, base_url=base_url) + "&compareRunsMode=CHART"


def newest_url(uri: str, base_url: str) -> tuple[str, str]:
    """Look up the newest search or comparison that has something to show, and its address.

    That of a search are its charts, if its saved view shows a run: one that was interrupted before
    its first trial has no such view. A comparison must not have failed. If nothing is of that kind,
    it is the page of the newest search or comparison, and without any of them ``base_url``.

    Returns:
        What it is, ``search``, ``comparison`` or an empty text, and the address.
    """
    set_environment()
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiments = {found.experiment_id: found for found in client.search_experiments()}

    def newest(role: str) -> Iterator["Run"]:
        token: str | None = None
        while True:
            page = client.search_runs(
                list(experiments),
                f"tags.role = '{role}'",
                order_by=["attributes.start_time DESC"],
                max_results=_PAGE,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def page(run: "Run") -> str:
        return f"{base_url.rstrip('/')}/{run_url(run.info.experiment_id, run.info.run_id)}"

    found: list[tuple[int, str, str]] = []
    for run in newest("search"):
        number, search_id = run.info.experiment_id, run.data.tags.get("search_id", "")
        shown = _filter_of(experiments[number].tags.get(_TAG + view_id(search_id), ""))
        if shown and client.search_runs([number], shown, max_results=1):
            address = chart_url(number, search_id, base_url=base_url)
            found.append((run.info.start_time, "search", address))
            break
    for run in newest("comparison"):
        if run.info.status != "FAILED":
            found.append((run.info.start_time, "comparison", page(run)))
            break
    if not found:
        for kind in ("search", "comparison"):
            found += [(run.info.start_time, kind, page(run)) for run in islice(newest(kind), 1)]
    _, kind, address = max(found, default=(0, "", base_url))
    return kind, address


def _filter_of(view: str) -> str:
    """Read the filter of runs out of a saved view, empty if there is none in the form used here."""
    try:
        packed = json.loads(view)["state"].removeprefix("deflate;")
        shown = json.loads(zlib.decompress(base64.b64decode(packed)))["searchFilter"]
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        return ""
    return shown if isinstance(shown, str) else ""


def table_url(experiment_id: str, search_id: str, *, base_url: str = "") -> str:
    """Build the address of a search's table of runs."""
    root = f"{base_url.rstrip('/')}/" if base_url else ""
    return (
        # Without "/runs" MLflow drops the view, without the workflow type it shows no runs.
        f"{root}#/experiments/{experiment_id}/runs?viewStateShareKey={view_id(search_id)}"
        "&workflowType=machine_learning"
    )


def run_url(experiment_id: str, run_id: str) -> str:
    """Build the address of a run, relative to MLflow's page."""
    # Without the workflow type MLflow shows the page in its layout for agents.
    return f"#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def model_url(name: str, version: str) -> str:
    """Build the address of a version of a registered model, relative to MLflow's page."""
    return f"#/models/{quote(name)}/versions/{version}?workflowType=machine_learning"


def set_view(
    store: Store,
    *,
    search_id: str,
    title: str,
    names: Sequence[str],
    metric: Metric = TOP1,
    searched_by: Metric = TOP1,
    kind: str = "",
) -> None:
    """Store the view of a search, replacing its earlier one; only the newest views are kept."""
    value = view_value(
        search_id=search_id,
        title=title,
        names=names,
        metric=metric,
        searched_by=searched_by,
        kind=kind,
    )
    tags = store.experiment_tags()
    own = _TAG + view_id(search_id)
    views = [key for key in tags if key.startswith(_TAG + _PREFIX) and key != own]
    views.sort(key=lambda key: _created(tags[key]))
    for key in views[: max(0, len(views) + 1 - _KEEP)]:
        store.set_experiment_tag(key, None)
    if own in tags:
        value["createdAt"] = _created(tags[own]) or value["createdAt"]
    store.set_experiment_tag(own, json.dumps(value))
    store.set_experiment_tag("mlflow.experimentKind", "custom_model_development")


def set_experiment_note(store: Store, note: str) -> None:
    """Write the description of the experiment, unless a person has changed it."""
    tags = store.experiment_tags()
    if tags.get(_NOTE_TAG) and _digest(tags[_NOTE_TAG]) != tags.get(_NOTE_DIGEST_TAG):
        return
    store.set_experiment_tag(_NOTE_DIGEST_TAG, _digest(note))
    store.set_experiment_tag(_NOTE_TAG, note)


def view_value(
    *,
    search_id: str,
    title: str,
    names: Sequence[str],
    metric: Metric = TOP1,
    searched_by: Metric = TOP1,
    kind: str = "",
) -> dict[str, Any]:
    """Build the value of the experiment tag that holds the view.

    Args:
        search_id: Identifier of the search.
        title: Title of the view.
        names: Names of the strengths and searched extra axes.
        metric: The metric that decides first in a search; a comparison uses top-1.
        searched_by: The metric by which the search picks and the view is sorted.
        kind: Kind of the run, empty for a search.
    """
    template = COMPARISON if kind else TEMPLATE
    metric, searched_by = (TOP1, TOP1) if kind else (metric, searched_by)
    words = {
        "$ID": search_id,
        "$FILTER": f"tags.search_id = '{search_id}' and tags.stage = 'search'",
        "$METRIC": best_name(metric),
        "$PICKED_BY": final_name(searched_by),
        "$RANK": RANK_METRIC,
        "$TRAIN": metric.on("clean_train"),
    }
    curves = (metric.on("val"), metric.on("clean_train"), NLL.on("val"), "train/loss")
    lists = {"$S": names, "$MUTE": metric_keys(metric, searched_by), "$CURVE": curves}
    state = fill(json.loads(template.read_text(encoding="utf-8")), words=words, lists=lists)
    state["orderByAsc"] = not searched_by.larger_is_better  # The best run stands on top.
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    now = int(time.time() * 1000)
    return {"name": title, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}


def fill(part: Any, *, words: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> Any:
    """Fill in a template: replace ``words``, and repeat elements and keys for each list value.

    Args:
        part: Template or part of it, as read from JSON.
        words: Replacement text by placeholder.
        lists: Values by placeholder; an element or key that contains the placeholder is repeated
            for each value. It may contain one of them only.
    """
    if isinstance(part, str):
        for word, text in words.items():
            part = part.replace(word, text)
        return part
    if isinstance(part, dict):
        return {
            name: fill(value, words=words, lists=lists)
            for key, value in part.items()
            for name in _repeated(fill(key, words=words, lists=lists), lists)
        }
    if not isinstance(part, list):
        return part
    filled: list[Any] = []
    for element in part:
        text = json.dumps(fill(element, words=words, lists=lists))
        filled += [json.loads(value) for value in _repeated(text, lists)]
    return filled


def _repeated(text: str, lists: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the text once per value of the list it names, or unchanged once if it names none."""
    name = next((name for name in lists if name in text), None)
    return [text] if name is None else [text.replace(name, value) for value in lists[name]]


def _created(value: str) -> int:
    """Read the creation time of a view, in milliseconds, or 0 if its form is another."""
    found = re.search(r'"createdAt": *(\d+)', value)
    return int(found[1]) if found else 0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
