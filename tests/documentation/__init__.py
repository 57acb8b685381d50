"""Runs every block of README.rst, CONTRIBUTING.rst, SECURITY.rst, docs and examples/chat, from its text."""
