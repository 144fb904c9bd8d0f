"""``make ablate`` and going on with it: which kind of comparison a run is."""

from dataclasses import replace

from search.ablation import ABLATION
from search.comparison_run import Comparison, compare_again, compare_new
from search.comparison_stages import OF_OPTIMIZERS
from search.config import RunConfig
from search.contest import CONTEST
from search.files import write_json


def ablate_new(config: RunConfig) -> None:
    """Begin a comparison of ingredients or optimizers.

    Raises:
        InputError: If anything given is wrong; nothing has been written then.
    """
    compare_new(config, _comparison(config))


def ablate_again(config: RunConfig, *, tracking_uri: str | None) -> None:
    """Go on with one.

    Args:
        config: As its directory has it.
        tracking_uri: Store to mirror the run to from now on, or None for the one it had.

    Raises:
        InputError: If its dataset is not the same any more.
    """
    if tracking_uri:
        config = replace(config, tracking_uri=tracking_uri)
        write_json(config.path / "config.json", config.to_dict())
    compare_again(config, _comparison(config))


def _comparison(config: RunConfig) -> Comparison:
    return CONTEST if config.stages == OF_OPTIMIZERS else ABLATION
