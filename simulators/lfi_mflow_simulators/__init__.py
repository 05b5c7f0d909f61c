"""The simulators that come with lfi-mflow, registered like a user's own."""
