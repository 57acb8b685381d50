"""The command line, and a server for tests and for trying out. Everything here uses the public layer only."""
