import sys

# The benchmarks, unlike the package, need Python 3.8.
collect_ignore_glob = ["test_*.py"] if sys.version_info < (3, 8) else []
