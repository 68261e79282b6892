"""Exchanges on a tape: recorded from a real server, and said again without one. Used by `sandbox.server`."""
