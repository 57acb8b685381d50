"""Wall time and CPU time, of this process and of the Redis server."""
import time

import redis


class Stopwatch(object):
    """
    Adds up what passes in its ``with`` blocks. ``wall``, ``client``, ``server``: seconds; the last two are CPU time.

    ``port``: where the server listens.
    """

    def __init__(self, port):
        self._redis = redis.StrictRedis(host="127.0.0.1", port=port)
        self._reading_cost = 0.0
        self.reset()
        self._calibrate()

    def reset(self):
        self.wall = self.client = self.server = 0.0

    def _calibrate(self):
        """Find the server's CPU time, in seconds, that reading it costs: a block is charged one reading."""
        costs = []
        for _ in range(50):
            with self:
                pass
            costs.append(self.server)
            self.reset()
        self._reading_cost = sorted(costs)[len(costs) // 2]

    def _server_cpu(self):
        info = self._redis.info("cpu")
        return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])

    def __enter__(self):
        server = self._server_cpu()
        self._begun = server, time.process_time(), time.perf_counter()

    def __exit__(self, *error):
        wall = time.perf_counter()
        client = time.process_time()
        server = self._server_cpu()
        self.wall += wall - self._begun[2]
        self.client += client - self._begun[1]
        self.server += max(0.0, server - self._begun[0] - self._reading_cost)
