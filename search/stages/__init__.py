"""Which trials run next: the only package that knows Optuna."""
