# What every study has in common: events per seed, a model per row and seed, its closure
# test, and one table of rows and metrics. A study's Snakefile names its configuration,
# includes this file, asks for TARGETS, and adds the rules of its figures.
#
#   snakemake --snakefile workflows/STUDY/Snakefile --cores 2 --directory OUT
#   snakemake --snakefile workflows/STUDY/Snakefile --cores 2 --directory OUT \
#       --configfile workflows/STUDY/quick.yaml

import os
import sys
from pathlib import Path

STUDY = Path(workflow.basedir)
SCRIPTS = STUDY.parent
ROWS = {name: config["rows"][name] for name in config["select"] or config["rows"]}
SEEDS = config["seeds"]
OF_STUDIES = (  # added by closure.py
    "standardised_error",
    "reconstruction_mse",
    "test_log_prob",
    "kl_divergence",
    "sample_mmd2",
    "training_seconds",
)
TARGETS = ["table.md", "table.csv", *config["figures"]]

PYTHON = sys.executable
# `lfi-mflow` is the one of the environment that Snakemake runs in.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")


def option(name, value):
    """An option of a command, or nothing where the configuration leaves its value empty."""
    return [] if value is None else [name, str(value)]


def settings_options():
    """The settings of the simulator."""
    settings = [f"{key}={value}" for key, value in (config["settings"] or {}).items()]
    return [part for setting in settings for part in ("--set", setting)]


def simulate_options():
    """What the events depend on, beside number and seed."""
    return option("--prior", config["prior"]) + settings_options()


def trust_options():
    """Code that a model names is run only if it is named here too."""
    if ":" not in config["simulator"]:
        return []
    return option("--simulator", simulator()) + settings_options()


def study_path(name):
    """A path of the configuration: relative to the folder of the study."""
    return None if name is None else STUDY / name


def simulator():
    """The simulator: a registered name, or FILE.py:Class in the folder of the study."""
    name = config["simulator"]
    return study_path(name) if ":" in name else name


def run_of(wildcards):
    """The file that says how a row is trained."""
    return STUDY / f"{(config.get('runs') or {}).get(wildcards.row, wildcards.row)}.toml"


def lent(what):
    """The row and seed whose chart or score a model takes, if it takes one."""

    def lender(wildcards):
        row = (config.get(what) or {}).get(wildcards.row)
        return [] if row is None else [f"{row}/training-{wildcards.seed}.json"]

    return lender


def lent_options(wildcards, input):
    """The options of train.py for what a model takes of others."""
    lenders = (("--chart-of", input.chart), ("--score-of", input.score))
    return [part for name, files in lenders for file in files for part in (name, file)]


def trainings(rows):
    """The records of the training of some rows, those that are not selected left out."""
    return expand("{row}/training-{seed}.json", row=[r for r in rows if r in ROWS], seed=SEEDS)


wildcard_constraints:
    row="|".join(config["rows"]),  # a row that is left out may lend its chart or score
    seed=r"\d+",


localrules:
    gather,


rule simulate:
    output:
        "events-{seed}.h5",
    params:
        simulator=simulator(),
        options=simulate_options(),
    shell:
        "lfi-mflow simulate {params.simulator:q} -n {config[events]} --seed {wildcards.seed}"
        " {params.options:q} -o {output:q}"


# A training that diverges is a result: the record says so, and the study goes on.
rule train:
    input:
        script=SCRIPTS / "train.py",
        events="events-{seed}.h5",
        config=run_of,
        chart=lent("charts"),
        score=lent("scores"),
    output:
        "{row}/training-{seed}.json",
    params:
        label=lambda wildcards: config["rows"][wildcards.row],
        lent=lent_options,
        options=option("--epochs", config["epochs"]),
    threads: config["threads"]
    shell:
        "{PYTHON:q} {input.script:q} --row {wildcards.row} --label {params.label:q} {params.lent:q}"
        " {output:q} -- {input.events:q} --config {input.config:q} --seed {wildcards.seed}"
        " --threads {threads} {params.options:q}"


rule closure:
    input:
        script=SCRIPTS / "closure.py",
        training="{row}/training-{seed}.json",
    output:
        "{row}/closure-{seed}.json",
    params:
        options=option("--config", study_path(config["sizes"]))
        + trust_options(),
        tests=",".join(name for name in config["metrics"] if name not in OF_STUDIES),
    threads: config["threads"]
    shell:
        "{PYTHON:q} {input.script:q} {input.training:q} {output:q} --"
        " --seed 1000{wildcards.seed} --threads {threads} --metrics {params.tests}"
        " {params.options:q}"


rule gather:
    input:
        script=SCRIPTS / "gather.py",
        closures=expand("{row}/closure-{seed}.json", row=ROWS, seed=SEEDS),
    output:
        markdown="table.md",
        csv="table.csv",
    params:
        metrics=[f"--metric={name}={title}" for name, title in config["metrics"].items()],
        options=option("--published", study_path(config["published"])),
    shell:
        "{PYTHON:q} {input.script:q} {input.closures:q} {params.metrics:q} {params.options:q}"
        " --markdown {output.markdown:q} --csv {output.csv:q}"
