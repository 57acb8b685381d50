"""That the package gives no warning, neither when it is compiled and imported, nor when a process uses it and ends."""
from __future__ import unicode_literals

import io
import os
import pkgutil
import subprocess
import sys
import warnings

import asgi_redis

from . import servers
from .commands import ROOT

#: Other packages are imported first, so that their warnings do not count.
BEGIN = """
from __future__ import unicode_literals
import importlib, sys, warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for name in ["cryptography.fernet", "msgpack", "posix_ipc", "prometheus_client", "redis.cluster", "redis.sentinel",
                 "tqdm", "twisted.internet.threads"]:
        try:
            importlib.import_module(name)
        except ImportError:
            pass
"""

IMPORT = BEGIN + """
for name in sys.argv[1:]:
    importlib.import_module(name)
"""

USE = BEGIN + """
from asgi_redis import RedisChannelLayer

layer = RedisChannelLayer(hosts=sys.argv[1:], prefix="test-warnings:", stats_prefix="test-warnings-meta:",
                          symmetric_encryption_keys=["key"])
layer.flush()
reply = layer.new_channel("reply?")
layer.group_add("group", reply)
layer.send("normal", {"text": "a"})
layer.send_group("group", {"text": "b"})
assert layer.receive(["normal"], block=True) == ("normal", {"text": "a"})
assert layer.receive([reply], block=True) == (reply, {"text": "b"})
assert layer.receive([reply]) == (None, None)
layer.global_statistics()
layer.flush()
"""

#: Python's development mode, which gives more warnings. Version 3.7 is the first that has it.
DEVELOPMENT = ["-X", "dev"] if sys.version_info >= (3, 7) else []


def outcome(program, *arguments):
    """Run ``program``, for which each warning is an error; return its exit status and what it wrote."""
    process = subprocess.Popen(
        [sys.executable] + DEVELOPMENT + ["-W", "error", "-c", program] + list(arguments), cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    out = process.communicate()[0].decode("utf-8")
    return process.returncode, out


def test_the_source_is_compiled_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for folder, _, names in os.walk(os.path.dirname(asgi_redis.__file__)):
            for path in [os.path.join(folder, name) for name in names if name.endswith(".py")]:
                with io.open(path, "rb") as file:
                    compile(file.read(), path, "exec", dont_inherit=True)


def test_all_modules_are_imported_without_a_warning():
    modules = [name for _, name, _ in pkgutil.walk_packages(asgi_redis.__path__, str("asgi_redis."))]
    assert "asgi_redis.server.shard" in modules
    if sys.version_info < (3,):
        modules.remove("asgi_redis.delivery.received")  # it needs asyncio
    assert outcome(IMPORT, *modules) == (0, "")


def test_a_process_that_uses_a_layer_ends_without_a_warning():
    assert outcome(USE, *servers.hosts()) == (0, "")
