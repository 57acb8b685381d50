import sys

# The benchmarks, unlike the package, need Python 3.8.
collect_ignore = ["test_benchmarks.py"] if sys.version_info < (3, 8) else []
