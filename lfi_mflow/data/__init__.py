"""Events in files; imports no torch."""

from lfi_mflow.data.benchmarks import import_benchmark
from lfi_mflow.data.export import ExportReport, export_events
from lfi_mflow.data.importing import ImportReport, import_events, import_file
from lfi_mflow.data.mapping import ColumnMapping
from lfi_mflow.data.merging import MergedFiles, merge_events, open_together
from lfi_mflow.data.morphing import MorphedFile, morph_events
from lfi_mflow.data.observed import ObservedSource, open_observed, read_observed
from lfi_mflow.data.production import Production, produce
from lfi_mflow.data.resampling import Resampled, resample_events
from lfi_mflow.data.source import EventSource
from lfi_mflow.data.store import EventFile, EventMetadata, open_events, write_events

__all__ = [
    "ColumnMapping",
    "EventFile",
    "EventMetadata",
    "EventSource",
    "ExportReport",
    "ImportReport",
    "MergedFiles",
    "MorphedFile",
    "ObservedSource",
    "Production",
    "Resampled",
    "export_events",
    "import_benchmark",
    "import_events",
    "import_file",
    "merge_events",
    "morph_events",
    "open_events",
    "open_observed",
    "open_together",
    "produce",
    "read_observed",
    "resample_events",
    "write_events",
]
