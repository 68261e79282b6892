"""The version string; read by `setup.cfg`, shown by `elsa-unscripted --version`."""

__version__ = "0.2.0.dev0"
