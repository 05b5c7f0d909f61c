"""Events in files; imports no torch."""

from lfi_mflow.data.store import EventFile, EventMetadata, open_events, write_events

__all__ = ["EventFile", "EventMetadata", "open_events", "write_events"]
