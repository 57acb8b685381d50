"""Servers that fork or patch their workers, each with the application in ``app/``."""
from __future__ import unicode_literals

import os
import signal
import subprocess
import sys
from multiprocessing.pool import ThreadPool

import celery
import requests
from billiard.exceptions import WorkerLostError

from asgi_redis.tools.embedded import free_port

from ..integration.processes import PATIENCE, Process

APP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "app")

#: How many requests are under way at once.
AT_ONCE = 8


class Server(Process):
    """
    A server whose workers do what ``app/work.py`` describes.

    ``kind``: which workers. ``options``: of the server, a list.
    """

    #: A list with fields for ``port`` and ``kind``.
    command = None

    def __init__(self, kind, options, environment, folder):
        self.kind = kind
        self.port = free_port()
        command = [part.format(port=self.port, kind=kind) for part in self.command] + options
        name = "%s-%s" % (type(self).__name__, kind)
        super(Server, self).__init__(name, command, environment, folder, APP, start_new_session=True)

    def begin(self, works):
        """Begin ``works``, a list of (name, argument, ...). Return an object whose ``results`` returns theirs."""
        raise NotImplementedError()

    def do(self, *work):
        """Do one work, and return its result."""
        (done,) = self.begin([work]).results()
        if done is None:
            self.fail("does not do %s%r" % (work[0], work[1:]))
        return done["result"]

    def kill(self):
        """End it at once, and its workers, some of which would live on without it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        super(Server, self).kill()

    def children(self):
        """The process numbers of its workers, a set."""
        listed = subprocess.check_output(["pgrep", "--parent", str(self.process.pid)], text=True)
        return {int(pid) for pid in listed.split()}

    def reload(self):
        """Tell it to replace its workers without losing requests."""
        self.process.send_signal(signal.SIGHUP)


class WebServer(Server):

    def started(self):
        return self._post(("is_patched",)) is not None

    def _post(self, work):
        """Return what a worker says it has done, or None if the worker ended instead."""
        url = "http://127.0.0.1:%d/%s" % (self.port, work[0])
        try:
            answer = requests.post(url, json=work[1:], timeout=PATIENCE)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):  # before or within its answer
            return None
        answer.raise_for_status()
        return answer.json()

    def begin(self, works):
        return Requests(self._post, works)


class Requests(object):
    """Requests that are under way."""

    def __init__(self, post, works):
        self._pool = ThreadPool(AT_ONCE)
        self._answers = self._pool.map_async(post, works, chunksize=1)

    def results(self):
        """Return what the workers say they have done, in the order of the works; None if one ended instead."""
        try:
            return self._answers.get(PATIENCE)
        finally:
            self._pool.terminate()


class Gunicorn(WebServer):

    command = [
        sys.executable, "-m", "gunicorn", "--preload", "--workers=2", "--worker-class={kind}",
        "--bind=127.0.0.1:{port}", "--no-control-socket", "web:application",
    ]


class UWSGI(WebServer):

    command = [
        os.path.join(os.path.dirname(sys.executable), "uwsgi"), "--virtualenv=" + sys.prefix, "--master",
        "--processes=2", "--die-on-term", "--http-socket=127.0.0.1:{port}", "--module=web", "--pythonpath=" + APP,
    ]


class Celery(Server):

    command = [
        sys.executable, "-m", "celery", "--app=tasks", "worker", "--pool={kind}", "--queues={kind}", "--loglevel=INFO",
    ]

    def __init__(self, kind, options, environment, folder):
        super(Celery, self).__init__(kind, options, environment, folder)
        broker = environment["PREFORK_BROKER"]
        self._app = celery.Celery(broker=broker, backend=broker)

    def started(self):
        return any(line.endswith(" ready.") for line in self.log())

    def begin(self, works):
        return Tasks([self._app.send_task("do", [work[0], work[1:]], queue=self.kind) for work in works])


class Tasks(object):
    """Tasks that are under way."""

    def __init__(self, tasks):
        self._tasks = tasks

    def results(self):
        """As those of ``Requests``."""
        return [self._result(task) for task in self._tasks]

    def _result(self, task):
        try:
            return task.get(PATIENCE)
        except WorkerLostError:
            return None
