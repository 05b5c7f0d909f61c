"""Events in files; imports no torch."""

from lfi_mflow.data.benchmarks import import_benchmark
from lfi_mflow.data.export import ExportReport, export_events
from lfi_mflow.data.importing import ImportReport, import_events, import_file
from lfi_mflow.data.mapping import ColumnMapping
from lfi_mflow.data.merging import merge_events
from lfi_mflow.data.morphing import MorphedFile, morph_events
from lfi_mflow.data.observed import ObservedSource, open_observed, read_observed
from lfi_mflow.data.production import Production, produce
from lfi_mflow.data.resampling import Resampled, resample_events
from lfi_mflow.data.store import EventFile, EventMetadata, open_events, write_events

__all__ = [
    "ColumnMapping",
    "EventFile",
    "EventMetadata",
    "ExportReport",
    "ImportReport",
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
    "produce",
    "read_observed",
    "resample_events",
    "write_events",
]
