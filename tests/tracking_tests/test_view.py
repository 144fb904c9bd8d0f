"""The saved view: its template filled in, and the tags that hold it."""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import pytest

from search.records.metrics import NLL_REFINED, TOP1
from search.tracking import view
from search.tracking.metric_keys import metric_keys
from search.tracking.store import Store
from spaces.strengths.registry import STRENGTHS


class Experiment(Store):
    """A store that holds nothing but the tags of its experiment."""

    def __init__(self) -> None:
        self.experiment_id = "7"
        self.tags: dict[str, str] = {}

    def experiment_tags(self) -> dict[str, str]:
        return dict(self.tags)

    def set_experiment_tag(self, key: str, value: str | None) -> None:
        if value is None:
            del self.tags[key]
        else:
            self.tags[key] = value


def unpack(value: Mapping[str, Any]) -> dict[str, Any]:
    packed = value["state"].removeprefix("deflate;")
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


@pytest.fixture(scope="module")
def value() -> dict[str, Any]:
    return view.view_value(
        search_id="leaves-1 / 2026",
        title="leaves #1",
        names=tuple(STRENGTHS),
        searched_by=NLL_REFINED,
    )


@pytest.fixture(scope="module")
def state(value: dict[str, Any]) -> dict[str, Any]:
    return unpack(value)


def test_the_view_fits_the_shortest_tag(value: dict[str, Any]) -> None:
    assert len(json.dumps(value)) < view.MAX_CHARACTERS


def test_no_placeholder_is_left(state: dict[str, Any]) -> None:
    assert "$" not in json.dumps(state)


def test_the_view_shows_all_trials_of_one_search_sorted_by_what_selection_used(
    state: dict[str, Any],
) -> None:
    assert state["searchFilter"] == "tags.search_id = 'leaves-1 / 2026' and tags.stage = 'search'"
    assert state["orderByKey"] == "metrics.`final/val/nll_refined`"
    assert state["orderByAsc"] is True
    assert state["selectedColumns"][:2] == ["tags.`place`", "tags.`outcome`"]
    by_top1 = unpack(view.view_value(search_id="s", title="t", names=["lr"], searched_by=TOP1))
    assert by_top1["orderByKey"] == "metrics.`final/val/top1`"
    assert by_top1["orderByAsc"] is False
    assert state["runsHiddenMode"] == "SHOW_ALL"


def test_the_columns_hold_every_strength_and_stand_in_order(state: dict[str, Any]) -> None:
    for name in STRENGTHS:
        assert f"params.`{name}`" in state["selectedColumns"]
    shown = [column for column in state["columnOrder"] if column in state["selectedColumns"]]
    assert shown == state["selectedColumns"]
    # MLflow applies a width to listed columns only.
    assert set(state["columnWidths"]) == set(state["columnOrder"])


def test_every_chart_stands_in_a_section_and_charts_what_is_logged(state: dict[str, Any]) -> None:
    sections = {section["uuid"] for section in state["compareRunSections"]}
    # In a window of 1600 pixels MLflow cuts longer titles off.
    assert all(len(section["name"]) <= 52 for section in state["compareRunSections"])
    charts = state["compareRunCharts"]
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    positions = {f"position.{name}" for name in STRENGTHS}
    for chart in charts:
        assert chart["metricSectionId"] in sections
        used = {chart.get(axis, {}).get("key") for axis in ("xaxis", "yaxis")}
        used |= {chart.get("metricKey"), *chart.get("selectedMetrics", ())}
        assert used - {None} <= set(metric_keys(TOP1, NLL_REFINED)) | positions


def test_parallel_coordinates_run_over_all_positions_and_each_has_a_scatter(
    state: dict[str, Any],
) -> None:
    charts = state["compareRunCharts"]
    positions = [f"position.{name}" for name in STRENGTHS]
    parallel = [chart for chart in charts if chart["type"] == "PARALLEL"]
    assert len(parallel) == 1
    assert all(chart["selectedParams"] == positions for chart in parallel)
    scatter = [chart["xaxis"]["key"] for chart in charts if chart["type"] == "SCATTER"]
    assert scatter[:5] == positions


def test_each_metric_is_muted_so_that_mlflow_adds_no_chart_of_its_own(
    state: dict[str, Any],
) -> None:
    muted = {
        chart["metricKey"]
        for chart in state["compareRunCharts"]
        if chart["deleted"] and chart["isGenerated"]
    }
    assert muted == set(metric_keys(TOP1, NLL_REFINED))


def test_filling_repeats_an_element_for_each_value_of_the_list_it_names() -> None:
    template = {"$A": ["x", {"name": "$L", "inner": ["$M!"]}, 3, None]}
    filled = view.fill(template, words={"$A": "key"}, lists={"$L": ["1", "2"], "$M": ["a", "b"]})
    inner = ["a!", "b!"]
    assert filled == {
        "key": ["x", {"name": "1", "inner": inner}, {"name": "2", "inner": inner}, 3, None]
    }


def test_a_second_search_leaves_the_view_of_the_first_and_its_own_keeps_its_date() -> None:
    store = Experiment()
    for search_id in ("one", "two", "one"):
        view.set_view(store, search_id=search_id, title=search_id, names=["lr"])
    views = {k: json.loads(v) for k, v in store.tags.items() if "sharedViewState" in k}
    assert [saved["name"] for saved in views.values()] == ["one", "two"]
    first = views[f"mlflow.sharedViewState.{view.view_id('one')}"]
    assert first["createdAt"] <= first["updatedAt"]
    assert "'one'" in unpack(first)["searchFilter"]


def test_of_many_views_the_newest_stay_and_those_of_others_are_never_touched() -> None:
    store = Experiment()
    store.tags["mlflow.sharedViewState.mine"] = "not JSON"
    for number in range(30):
        key = f"mlflow.sharedViewState.recipe-search-{number}"
        store.tags[key] = json.dumps({"createdAt": number})
    view.set_view(store, search_id="new", title="new", names=["lr"])
    left = [key for key in store.tags if "recipe-search" in key]
    assert len(left) == 20
    assert f"mlflow.sharedViewState.{view.view_id('new')}" in left
    assert "mlflow.sharedViewState.recipe-search-29" in left
    assert "mlflow.sharedViewState.recipe-search-10" not in left
    assert store.tags["mlflow.sharedViewState.mine"] == "not JSON"


def test_the_note_is_renewed_until_a_person_writes_another() -> None:
    store = Experiment()
    for note in ("first", "second"):
        view.set_experiment_note(store, note)
        assert store.tags["mlflow.note.content"] == note
    store.tags["mlflow.note.content"] = "by hand"
    view.set_experiment_note(store, "third")
    assert store.tags["mlflow.note.content"] == "by hand"


def test_addresses_name_the_view_and_the_layout() -> None:
    key = view.view_id("s")
    assert view.chart_url("7", "s", base_url="http://host:1/") == (
        f"http://host:1/#/experiments/7/runs?viewStateShareKey={key}"
        "&workflowType=machine_learning&compareRunsMode=CHART"
    )
    assert view.chart_url("7", "s").startswith("#/experiments/7/runs?")
    assert view.view_id("s") != view.view_id("t")
