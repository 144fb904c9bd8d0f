"""The same in MLflow: the only package that knows it."""
