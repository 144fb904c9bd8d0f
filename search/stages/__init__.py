"""Choice of the trials that run next, stage by stage; the only package that imports Optuna."""
