"""The commands that docs/topologies.rst gives for RedisLocalChannelLayer: asgi_ipc must not bring its msgpack."""
import json

import pytest

from .environments import commands

PROGRAM = """
import json, os, msgpack, asgi_redis
layer = asgi_redis.RedisLocalChannelLayer(prefix="upgrading-%d" % os.getpid())
layer.send("normal", {"n": 1})
print(json.dumps([layer.receive(["normal"]), list(msgpack.version), msgpack.Packer.__module__]))
for store in (layer.local_layer.message_store, layer.local_layer.group_store):
    store.memory.unlink()
    store.semaphore.unlink()
"""


@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13"])
def test_the_local_layer_works_and_msgpack_stays_compiled(make_environment, version):
    environment = make_environment(version)
    environment.run('pip install asgi_redis==1.5.0 "asgiref~=1.1"')  # as Channels requires it
    before = environment.installed()["msgpack"]
    environment.run(commands("docs/topologies.rst", "Local")[1])
    # Channels does this when it starts: whatever is not an ImportError ends it.
    assert environment.run_python("try: import asgi_ipc\nexcept ImportError: pass")[0] == 0
    status, output, errors = environment.run_python(PROGRAM)
    assert (status, errors) == (0, "")
    found, running, packer = json.loads(output)
    assert found == ["normal", {"n": 1}]
    assert (".".join(map(str, running)), packer) == (before, "msgpack._cmsgpack")
