# The workflow that kills.py kills: every command once.

CONFIG, SIZES, LFI_MFLOW = config["train"], config["sizes"], config["command"]


rule all:
    input:
        "posterior.nc",
        "closure.json",


rule events:
    output:
        "events.h5",
    shell:
        "{LFI_MFLOW} simulate polynomial-surface -n 4000 --chunk-size 500 --seed 1 -o {output}"


rule observed:
    output:
        "observed.h5",
    shell:
        "{LFI_MFLOW} simulate polynomial-surface -n 20 --theta 0.3 --seed 2 -o {output}"


rule train:
    input:
        "events.h5",
    output:
        "model.mflow",
    shell:
        "{LFI_MFLOW} train {input} --config {CONFIG} --threads 1 --resume -o {output}"


rule infer:
    input:
        "model.mflow",
        "observed.h5",
    output:
        "posterior.nc",
    shell:
        "{LFI_MFLOW} infer {input[0]} --observed {input[1]} --method grid --threads 1 -o {output}"


rule closure:
    input:
        "model.mflow",
    output:
        "closure.json",
    shell:
        "{LFI_MFLOW} closure {input} --config {SIZES} --metrics reconstruction_error,ood_auc"
        " --threads 1 -o {output}"
