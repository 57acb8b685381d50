"""The command ``size``: how many servers and processes a site needs."""
