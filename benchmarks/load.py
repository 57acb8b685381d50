"""Load for a site: by a load tool, and by the programs in ``clients``, which run in an environment of their own."""
import json
import re
import resource
import shutil
import subprocess
from pathlib import Path

from .environments import python, variables
from .errors import CannotMeasure

CLIENTS = Path(__file__).resolve().parent / "clients"

#: How long, in seconds, a program of ``clients`` may take.
PATIENCE = 300

#: How many files a process with many sockets may have open beside them.
OTHER_FILES = 500

#: Load tools, the best first: their command line, where the result has its counts, and what it says of failures.
TOOLS = {
    "wrk": (
        "-t1 -c{connections} -d{seconds}s --timeout 30s {url}",
        r"(?P<count>\d+) requests in (?P<seconds>[\d.]+)s",
        r"Non-2xx|Socket errors",
    ),
    "ab": (
        "-q -c {connections} -t {seconds} -n 10000000 {url}",
        r"tests: +(?P<seconds>[\d.]+) seconds\s+Complete requests: +(?P<count>\d+)",
        r"Non-2xx|Failed requests: +[1-9]",
    ),
}


def load_tool():
    """The first of ``TOOLS`` that is installed."""
    for name in TOOLS:
        if shutil.which(name):
            return name
    raise CannotMeasure("The HTTP rows need a load tool: 'apt-get install wrk' (or apache2-utils, which has ab).")


def load(url, seconds, connections):
    """
    Send requests for ``seconds``, a whole number: how many were answered, and in how many seconds.

    ``connections``: how many requests wait for their reply at a time.
    """
    tool = load_tool()
    options, counts, failures = TOOLS[tool]
    command = [tool] + options.format(url=url, seconds=seconds, connections=connections).split()
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True).stdout
    found = re.search(counts, output)
    if not found or not int(found["count"]) or re.search(failures, output):
        raise CannotMeasure(f"'{' '.join(command)}' did not get its pages:\n{output}")
    return int(found["count"]), float(found["seconds"])


def client(program, **options):
    """What a program of ``clients`` prints, which is JSON."""
    command = [python("clients"), str(CLIENTS / program), json.dumps(options)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables(), universal_newlines=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"{program} does not end within {PATIENCE} seconds, with {options}.")
    if done.returncode:
        raise CannotMeasure(f"{program} failed, with {options}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def allow_sockets(count):
    """Let this process, and those that it starts, have ``count`` sockets open at a time."""
    needed = count + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CannotMeasure(f"{count:,} sockets need {needed} open files: raise the limit, with 'ulimit -Hn {needed}'.")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
