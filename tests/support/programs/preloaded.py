"""The libraries that a driver imports, at hand for each `tests.support.programs.forked.Forked`."""

from search.tracking.open_store import set_environment

set_environment()  # Before MLflow is imported, which reads it.

import mlflow.tracking  # noqa: E402, F401
import optuna  # noqa: E402, F401
import timm  # noqa: E402, F401
import torchvision  # noqa: E402, F401
from ray import tune  # noqa: E402, F401
