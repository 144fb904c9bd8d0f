"""``config.json`` of a run directory, which tells whether the run was made in this directory."""

from dataclasses import replace
from pathlib import Path

from search.plan.config import RunConfig
from search.records.files import read_json, write_json
from search.records.home import Home

FILE = "config.json"


def read_config(run_dir: Path) -> RunConfig:
    """What was asked of the run that lies there; see `RunConfig.from_dict`.

    Raises:
        InputError: If there is no such file of this version.
    """
    return RunConfig.from_dict(read_json(run_dir / FILE), path=run_dir)


def write_config(config: RunConfig, *, begins: bool = False) -> RunConfig:
    """Write what was asked into the run's directory, which must exist.

    Args:
        config: What was asked.
        begins: Whether the run begins with it. A directory that is gone on with without having
            been made here stays one that did not begin here.

    Returns:
        The same, at home there.
    """
    has_begun = begins or (config.home is not None and config.home.has_begun)
    settled = replace(config, home=Home.at(config.path, has_begun=has_begun))
    write_json(config.path / FILE, settled.to_dict())
    return settled
