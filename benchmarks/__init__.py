"""Measures this layer against release 1.4.3 and against redis-py alone: ``python -m benchmarks --help``."""
