"""Somebody's training script: a linear classifier of digits, by YAML, with a result as JSON."""

import argparse
import json
import warnings
from pathlib import Path

import yaml
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--config", required=True)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--out", type=Path, required=True)
asked = parser.parse_args()
config = yaml.safe_load(Path(asked.config).read_text())

images, labels = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(
    images / 16, labels, train_size=300, random_state=asked.seed, stratify=labels
)
warnings.simplefilter("ignore")
model = SGDClassifier(
    loss="log_loss",
    alpha=config["alpha"],
    average=config["average"],
    max_iter=config["epochs"],
    learning_rate=config["schedule"]["name"],
    eta0=config["schedule"]["lr"],
    shuffle=config["shuffle"],
    tol=None,
    random_state=asked.seed,
).fit(train_x, train_y)
(asked.out / "result.json").write_text(json.dumps({"accuracy": model.score(test_x, test_y)}))
