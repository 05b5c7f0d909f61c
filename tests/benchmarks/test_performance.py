"""The measurements of docs/performance.md: what they measure with, and how the page is filled."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def measuring(script):
    return script("measuring")


@pytest.fixture(scope="module")
def page(script):
    return script("performance_tables")


def test_results_go_on_where_they_were_stopped(measuring, tmp_path):
    path, done = tmp_path / "a.json", []
    results = measuring.Results(path)
    assert results.measure("one", lambda: done.append(1) or {"s": 1.0}) == {"s": 1.0}
    with pytest.raises(KeyboardInterrupt):
        results.measure("two", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    again = measuring.Results(path)
    assert again.measure("one", lambda: done.append(2)) == {"s": 1.0}
    assert done == [1]
    assert measuring.Results(path, force=True).rows == {}


def test_results_of_another_machine_are_not_mixed(measuring, tmp_path):
    path = tmp_path / "a.json"
    measuring.Results(path).measure("one", lambda: 1.0)
    table = json.loads(path.read_text())
    table["machine"]["threads"] += 1
    path.write_text(json.dumps(table))
    assert measuring.Results(path).rows == {}


def test_works_take_turns(measuring):
    order = []
    works = {name: lambda name=name: order.append(name) for name in "ab"}
    found = measuring.turns(works, rounds=3)
    assert order == ["a", "b"] * 4  # once to warm up
    assert set(found) == {"a", "b"}
    assert min(found.values()) >= 0.0


def test_the_published_architectures_have_the_published_cost(script):
    """2.7 and 25 million operations per event of a manifold step, as counted for the original."""
    original, counting = script("original"), script("counting")
    for name, wanted in (("d3", 2.7e6), ("d40", 25e6)):
        problem = original.PROBLEMS[name]
        assert set(problem.targets) < set(problem.seconds)
        step = original.training_step(original.build(problem), "manifold", 50)
        assert counting.count(step).matmul_flops / 50 == pytest.approx(wanted, rel=0.1)


def test_a_step_trains_its_part_alone(script):
    original = script("original")
    flow = original.build(original.PROBLEMS["d3"], "default")
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    original.training_step(flow, "density", 20)()
    moved = {k.split(".")[0] for k, v in flow.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"latent"}


def test_bounds_of_the_time(script):
    counting, roofline = script("counting"), script("roofline")
    counted = counting.Count(matmul_flops=900, elementwise_flops=100, matmul_bytes=20)
    counted.elementwise_bytes = 80
    ceilings = {"product_flops_per_second": 100.0, "cache_bytes_per_second": 20.0}
    found = roofline.bounds(counted, products=12.0, seconds=32.0, ceilings=ceilings)
    assert found["flops_per_byte"] == 10.0
    assert found["roofline_bound_seconds"] == 10.0  # by operations: bytes would take 5
    assert found["eager_bound_seconds"] == 16.0
    assert found["ratio_to_eager"] == 0.5
    assert found["ratio_to_fused"] == 0.375


def test_curves_are_in_order(script):
    script("curve_figures")
    cost = script("cost_curves")
    rows = {"step/d3 density/100": {"ms": 2.0}, "step/d3 density/20": {"ms": 1.0}}
    assert cost.curves(rows) == {
        "step": {"d3 density": [(20.0, {"ms": 1.0}), (100.0, {"ms": 2.0})]}
    }
    names = cost.points(["chains", "density"])
    assert {name.split("/")[0] for name in names} == {"chains", "density"}
    assert len(cost.points(list(cost.KINDS))) > len(names)


def test_a_curve_is_measured_and_drawn(tmp_path):
    output, figure = tmp_path / "c.json", tmp_path / "c.png"
    command = [sys.executable, ROOT / "benchmarks" / "cost_curves.py", "nothing"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 2
    assert "expected density, step" in result.stderr
    output.write_text("{}")
    code = (
        "import cost_curves, sys; cost_curves.DIMENSIONS = ((3, 2),); cost_curves.MANIFOLDS = ();"
        f"sys.argv = ['', 'density', '-o', {str(output)!r}, '--figure', {str(figure)!r}];"
        "cost_curves.main()"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT / "benchmarks",
        env={**os.environ, "LFI_MFLOW_BENCHMARK_SCALE": ".02"},
    )
    (row,) = json.loads(output.read_text())["rows"].values()
    assert all(value > 0 for value in row.values())
    assert set(row) == {"log_prob", "tangents", "push", "minor"}
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_every_table_has_a_place(page):
    text = (ROOT / "docs" / "performance.md").read_text()
    names = ("machine", "original", "rates", "closure", "ceilings", "roofline", "curves")
    filled = page.fill(text, {name: f"| {name} |" for name in names})
    assert all(f"<!-- {name} -->\n| {name} |\n<!-- end -->" in filled for name in names)
    assert page.fill(filled, {"rates": "| rates |"}) == filled
    with pytest.raises(ValueError, match="found 0"):
        page.fill(text, {"unknown": ""})


def test_lines_say_what_was_measured(page):
    info = {
        "seconds": 4.0e-5,
        "original_seconds": 0.025,
        "times_faster": 625.0,
        "target_times_faster": 200.0,
        "best_batch": 2000,
    }
    line = page._compared_line("log p", "d = 3", {"extra_info": info})
    assert line == "| log p, batch 2,000 | d = 3 | 40 µs | 25 ms | 625 | 200 |"
    assert "| failed |" in page._compared_line("log p", "d = 3", None)
    machine = {"processor": "P", "threads": 2, "cores": 2, "vector_instructions": "AVX2"}
    machine |= {"torch": "2", "python": "3", "scale": 0.1}
    assert "no measurement" in page.machine_line(machine)
    assert "no measurement" not in page.machine_line(machine | {"scale": 1.0})
    rows = {"chains/chains/16": {"seconds": 2.0}, "chains/chains/1024": {"seconds": 10.04}}
    assert "| 16: 2; 1,024: 10 |" in page.curve_table(rows)


def test_the_name_of_the_machine_is_dropped(script):
    script("performance_tables")
    performance = script("performance")
    stats = dict.fromkeys(performance._KEPT_STATS, 1.0) | {"data": [1.0]}
    row = {"name": "n", "fullname": "f", "params": None, "extra_info": {}, "stats": stats}
    table = {"machine_info": {"node": "secret"}, "commit_info": {"id": "c", "project": "secret"}}
    slim = performance.slim(table | {"datetime": "now", "benchmarks": [row]})
    assert "secret" not in json.dumps(slim)
    assert "data" not in slim["benchmarks"][0]["stats"]
    assert all((ROOT / "benchmarks" / name).exists() for name in performance.BENCHMARKS)
