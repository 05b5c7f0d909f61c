"""The tables of docs/performance.md from the results of ``performance.py``.

::

    python benchmarks/performance_tables.py                       # fill the page again
    python benchmarks/performance_tables.py FOLDER --page FILE.md

A table stands between ``<!-- NAME -->`` and ``<!-- end -->``; what was there before goes.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SIZES = {"d3": "d = 3, n = 2", "d40": "d = 40, n = 14"}
WORKS = {"manifold": "manifold step", "density": "density step", "log_prob": "log p with volume"}
COMPARED = (
    ("test_epoch[{}-manifold]", "manifold phase, epoch of 100,000 events"),
    ("test_epoch[{}-density]", "density phase, the same"),
    ("test_log_prob[{}-published]", "log p with exact volume, per event"),
    ("test_log_prob[{}-default]", "the same, our default architecture"),
    ("test_sampling[{}-published]", "10,000 samples"),
    ("test_sampling[{}-couplings]", "the same, coupling layers in the latent density as well"),
    ("test_sampling[{}-default]", "the same, our default architecture"),
    ("test_step_of_a_chain[{}-1]", "likelihood of a step of one chain"),
    ("test_step_of_a_chain[{}-64]", "the same per chain, 64 at once"),
)
RATES = {
    "test_loading[polynomial-surface]": "read into memory, `polynomial-surface`",
    "test_loading[higgs-eft]": "read into memory, `higgs-eft`",
    "test_batches[polynomial-surface]": "shuffled batches of 500, `polynomial-surface`",
    "test_batches[higgs-eft]": "shuffled batches of 500, `higgs-eft`",
    "test_simulate": "simulated, `polynomial-surface`",
    "test_simulate_to_file[polynomial-surface]": "simulated and stored, `polynomial-surface`",
    "test_higgs_events": "simulated, `higgs-eft`",
    "test_simulate_to_file[higgs-eft]": "simulated and stored, `higgs-eft`",
    "test_merging[polynomial-surface]": "merged from two files, `polynomial-surface`",
    "test_merging[higgs-eft]": "merged from two files, `higgs-eft`",
}


def tables(folder: Path) -> dict[str, str]:
    """All tables of the page, by name."""
    benchmarks, roofline, curves = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("performance", "roofline", "cost_curves")
    )
    rows = {row["name"]: row for row in benchmarks["benchmarks"]}
    return {
        "machine": machine_line(benchmarks["machine"]),
        "original": compared(rows),
        "rates": rates(rows),
        "closure": closure(rows.get("test_closure")),
        "ceilings": ceilings(roofline["rows"]["ceilings"]),
        "roofline": roofs(roofline["rows"]),
        "curves": curve_table(curves["rows"]),
    }


def fill(page: str, found: Mapping[str, str]) -> str:
    """Put tables in their places.

    Raises:
        ValueError: If the page has no place for one of them.
    """
    for name, text in found.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, places = place.subn(lambda m, t=text: f"{m[1]}{t}\n{m[2]}", page)
        if places != 1:
            raise ValueError(f"expected one place '<!-- {name} -->' in the page, found {places}")
    return page


def machine_line(machine: Mapping[str, Any]) -> str:
    """What it was measured on."""
    line = (
        f"{machine['processor']}, threads: {machine['threads']}, cores: {machine['cores']}, "
        f"{machine['vector_instructions']}, torch {machine['torch']}, Python {machine['python']}"
    )
    if machine["scale"] == 1.0:
        return line
    return f"{line}. **Run at scale {machine['scale']:g}: no measurement.**"


def compared(rows: Mapping[str, Any]) -> str:
    """Ours beside the original code's."""
    lines = ["| | | ours | original | times faster | target |", "|---|---|---|---|---|---|"]
    for size, label in SIZES.items():
        for pattern, what in COMPARED:
            lines.append(_compared_line(what, label, rows.get(pattern.format(size))))
    for method in ("mcmc", "grid"):
        what = f"posterior of 10 events by `{method}`, our default architecture"
        lines.append(_compared_line(what, SIZES["d3"], rows.get(f"test_posterior[{method}]")))
    return "\n".join(lines)


def _compared_line(what: str, label: str, row: Mapping[str, Any] | None) -> str:
    """One line of the comparison; a benchmark that failed has no result."""
    if row is None or "seconds" not in row["extra_info"]:
        return f"| {what} | {label} | failed | – | – | – |"
    info = row["extra_info"]
    batch = f", batch {int(info['best_batch']):,}" if "best_batch" in info else ""
    target = f"{info['target_times_faster']:g}" if "target_times_faster" in info else "–"
    ours, theirs = duration(info["seconds"]), duration(info["original_seconds"])
    faster = number(info["times_faster"])
    return f"| {what}{batch} | {label} | {ours} | {theirs} | {faster} | {target} |"


def rates(rows: Mapping[str, Any]) -> str:
    """Events per second."""
    lines = ["| | events per second |", "|---|---|"]
    for name, what in RATES.items():
        found = rows[name]["extra_info"].get("events_per_second") if name in rows else None
        lines.append(f"| {what} | {'failed' if found is None else number(found)} |")
    return "\n".join(lines)


def closure(row: Mapping[str, Any] | None) -> str:
    """Seconds of the metrics of a closure test, the longest first."""
    if row is None:
        return "Failed."
    seconds = row["extra_info"]["seconds_of_metrics"]
    lines = ["| metric | |", "|---|---|", f"| all at once | {duration(row['stats']['median'])} |"]
    for name in sorted(seconds, key=seconds.__getitem__, reverse=True):
        lines.append(f"| `{name}` | {duration(seconds[name])} |")
    return "\n".join(lines)


def ceilings(row: Mapping[str, float]) -> str:
    """What the machine can do."""
    return "\n".join(
        (
            "| | |",
            "|---|---|",
            f"| products of large matrices | {row['product_flops_per_second'] / 1e9:.0f} GFLOP/s |",
            f"| triad, in the cache | {row['cache_bytes_per_second'] / 1e9:.0f} GB/s |",
            f"| triad, in memory | {row['memory_bytes_per_second'] / 1e9:.0f} GB/s |",
        )
    )


def roofs(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Counts, and which part of the time each bound explains."""
    lines = [
        "| | MFLOP per event: products; other | kB per event: products; other | FLOP per byte "
        "| µs per event | GFLOP/s: all; products alone | `roofline` | `eager` | `fused` "
        "| `calls` |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, row in rows.items():
        if key == "ceilings":
            continue
        size, what = key.split("/")
        bounds = (f"{row[f'ratio_to_{name}']:.2f}" for name in ("roofline", "eager", "fused"))
        cells = (
            f"{WORKS[what]}, {SIZES[size]}",
            f"{row['matmul_flops_per_event'] / 1e6:.2f}; "
            f"{row['elementwise_flops_per_event'] / 1e6:.2f}",
            f"{row['matmul_bytes_per_event'] / 1e3:.0f}; "
            f"{row['elementwise_bytes_per_event'] / 1e3:.0f}",
            f"{row['flops_per_byte']:.1f}",
            number(1e6 * row["seconds"] / row["events"]),
            f"{row['flops_per_second'] / 1e9:.1f}; {row['product_flops_per_second'] / 1e9:.0f}",
            *bounds,
            f"{row['ratio_to_calls']:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


CURVES = {
    "density/d": ("log p, n = 2, ms per event against d", "log_prob"),
    "density/n": ("log p, d = 40, ms per event against n", "log_prob"),
    "step/d3 manifold": ("manifold step, d = 3, µs per event against the batch", "us_per_event"),
    "step/d3 density": ("density step, d = 3, the same", "us_per_event"),
    "step/d40 manifold": ("manifold step, d = 40, the same", "us_per_event"),
    "step/d40 density": ("density step, d = 40, the same", "us_per_event"),
    "posterior/grid": ("posterior by the grid, s against observed events", "seconds"),
    "posterior/chains": ("posterior by 32 chains, s against observed events", "seconds"),
    "chains/chains": ("posterior of 10 events, s against chains", "seconds"),
}


def curve_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The curves as ``where: value`` in one line each."""
    lines = ["| | |", "|---|---|"]
    for curve, (what, value) in CURVES.items():
        own = {key.rsplit("/", 1)[1]: row for key, row in rows.items() if key.startswith(curve)}
        points = (f"{int(where):,}: {number(row[value])}" for where, row in own.items())
        lines.append(f"| {what} | {'; '.join(points)} |")
    return "\n".join(lines)


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} million"
    return f"{float(f'{value:.3g}'):,g}"


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{number(seconds / size)} {unit}"
    return f"{number(seconds * 1e6)} µs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "results")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "performance.md")
    options = parser.parse_args()
    options.page.write_text(fill(options.page.read_text(), tables(options.folder)))


if __name__ == "__main__":
    main()
