"""Reads a metric from the MLflow run that somebody's script made in a store of its own."""

from pathlib import Path

from search.tracking.open_store import SQLITE, failures, set_environment


def store_environment(directory: Path) -> dict[str, str]:
    """Environment variables that make MLflow write into a database in ``directory``."""
    return {"MLFLOW_TRACKING_URI": f"{SQLITE}{directory.resolve() / 'mlflow.db'}"}


def metric_history(directory: Path, name: str) -> list[float]:
    """Every value of a metric in the newest run of the store, oldest first; empty without any.

    Args:
        directory: Where `store_environment` made MLflow write.
        name: Name of the metric.
    """
    database = directory.resolve() / "mlflow.db"
    if not database.is_file():
        return []
    set_environment()
    from mlflow import MlflowClient

    uri = f"{SQLITE}{database}"
    try:
        client = MlflowClient(uri, registry_uri=uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(
            experiments, order_by=["attributes.start_time DESC"], max_results=1
        )
        if not runs:
            return []
        history = client.get_metric_history(runs[0].info.run_id, name)
    except failures():
        return []
    return [metric.value for metric in sorted(history, key=lambda m: (m.step, m.timestamp))]
