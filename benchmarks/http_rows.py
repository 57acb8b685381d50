"""Requests through a real Daphne and one worker."""
from .load import load
from .servers import processors
from .sides import versions_of
from .sites import Sites

#: How long, in seconds, a turn lasts; CPU time of processes comes in steps of 10 ms.
TURN = 2


class HttpMeasurer:
    """
    Measures sites, each of which lives as long as the row.

    ``servers``: a ``Servers``. ``options``: those of the command line: ``rounds``, how often each side has its turn;
    ``connections``, requests at a time.

    Without txredisapi, the fewer at a time, the more release 1.4.3 is held up: its Daphne looks for replies, and pauses
    for 50 ms if it finds none.
    """

    def __init__(self, servers, options):
        self._servers, self._sites = servers, Sites(servers)
        self.rounds, self._connections = options.rounds, options.connections
        self._running, self._versions = {}, {}

    def measure(self, side):
        """One turn of one side: {name: us a request}."""
        if side not in self._running:
            self._versions[side.code, side.stack] = versions_of(side)
            self._running[side] = self._sites.start(side)
        self._servers.keep_on(processors())
        return self._turn(self._running[side])

    def _turn(self, site):
        """In us a request: wall, CPU of Daphne, worker, both (client) and Redis (server)."""
        before = site.cpu()
        count, wall = load(site.url, TURN, self._connections)
        used = {name: value - before[name] for name, value in site.cpu().items()}
        used.update(client=used["daphne"] + used["worker"], wall=wall)
        return {name: value / count * 1e6 for name, value in used.items()}

    def end_row(self):
        """End the sites."""
        self._running.clear()
        self._sites.stop()

    def versions(self):
        """As of LayerMeasurer."""
        return self._versions

    def stop(self):
        self.end_row()
