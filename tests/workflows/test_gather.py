"""The table of a study."""

from __future__ import annotations

import csv
import json
import sys

import pytest

TITLES = {"reconstruction_error": "RE", "ood_auc": "OOD AUC"}


@pytest.fixture
def report(tmp_path):
    """Write a closure report as the rule does."""

    def write(row, seed, metrics, diverged=None):
        path = tmp_path / row / f"closure-{seed}.json"
        path.parent.mkdir(exist_ok=True)
        training = {"row": row, "label": row.upper(), "diverged": diverged}
        table = {name: {"value": value} for name, value in metrics.items()}
        path.write_text(json.dumps({"metrics": table, "training": training}))
        return path

    return write


@pytest.fixture
def closures(report):
    return [
        report("chart", 1, {"reconstruction_error": 0.001, "ood_auc": 0.99}),
        report("chart", 2, {"reconstruction_error": 0.003, "ood_auc": None}),
        report("chart", 3, {"reconstruction_error": 0.002, "ood_auc": 0.97}),
        report("unstable", 1, {}, "no finite loss"),
        report("unstable", 2, {"reconstruction_error": 123.4}),
        report("unstable", 3, {}, "no finite loss"),
    ]


@pytest.fixture
def gather(script, closures, tmp_path, monkeypatch):
    """Run the script; its Markdown lines and CSV rows."""

    def run(*options):
        markdown, table = tmp_path / "table.md", tmp_path / "table.csv"
        metrics = [f"--metric={name}={title}" for name, title in TITLES.items()]
        files = ["--markdown", markdown, "--csv", table]
        arguments = ["gather.py", *closures, *metrics, *options, *files]
        monkeypatch.setattr(sys, "argv", [str(part) for part in arguments])
        script("gather.py").main()
        with table.open() as handle:
            return markdown.read_text().splitlines(), list(csv.DictReader(handle))

    return run


def test_a_row_has_median_and_extremes_and_tells_how_many_diverged(gather):
    lines, _ = gather()
    assert lines[0] == "Median (smallest – largest) of 3 runs."
    assert lines[2] == "| | RE | OOD AUC | diverged |"
    assert lines[4] == "| CHART | 0.002 (0.001 – 0.003) | 0.98 (0.97 – 0.99) | – |"
    assert lines[5] == "| UNSTABLE | 123 | – | in 2 of 3 |"
    assert len(lines) == 6


def test_published_values_stand_below_their_row(gather, tmp_path):
    published = tmp_path / "literature.toml"
    published.write_text("[rows.chart]\nood_auc = 0.95\n")
    lines, _ = gather("--published", published)
    assert lines[5] == "| *published* |  | 0.95 | |"
    assert lines[6].startswith("| UNSTABLE")


def test_the_csv_file_has_every_value(gather):
    _, rows = gather()
    errors = [row["reconstruction_error"] for row in rows]
    assert [row["row"] for row in rows] == ["chart"] * 3 + ["unstable"] * 3
    assert [row["run"] for row in rows] == ["1", "2", "3"] * 2
    assert errors == ["0.001", "0.003", "0.002", "", "123.4", ""]
    assert [row["ood_auc"] for row in rows] == ["0.99", "", "0.97", "", "", ""]
    assert [row["diverged"] for row in rows] == ["0", "0", "0", "1", "0", "1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00089123, "0.000891"), (0.0, "0"), (0.99312, "0.993"), (123.6, "124"), (3000.2, "3000")],
)
def test_numbers_have_three_digits(script, value, text):
    assert script("gather.py").number(value) == text
