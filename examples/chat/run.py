"""The chat site on this machine: Redis, Daphne and workers, until Ctrl-C. See README.rst."""
import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))

#: Seconds that the site may take to answer, and its processes to end.
PATIENCE = 30

DAPHNE = "from daphne.cli import CommandLineInterface; CommandLineInterface.entrypoint()"


def arguments():
    parser = argparse.ArgumentParser(description="Run the chat site on this machine, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=8000, help="where to listen on 127.0.0.1 (8000)")
    parser.add_argument("--workers", type=int, default=2, help="how many worker processes (2)")
    parser.add_argument(
        "--hosts", nargs="+", metavar="URL", help="Redis servers to use, as redis://host:6379/0, in place of an own one"
    )
    options = parser.parse_args()
    if options.workers < 1:
        parser.error("--workers must be 1 or more: without a worker nothing answers.")
    return options


def check_packages():
    """Exit with what to install, where something is missing."""
    try:
        import channels
        import daphne  # noqa: F401
        import django  # noqa: F401

        import asgi_redis  # noqa: F401
    except ImportError as error:
        if sys.version_info >= (3, 12):
            sys.exit("%s. Channels 1 needs a virtualenv of Python 3.6 to 3.11, not %d.%d." % (
                (error,) + sys.version_info[:2]
            ))
        sys.exit("%s. In %s run: pip install -r requirements.txt" % (error, HERE))
    if not channels.__version__.startswith("1."):
        sys.exit("This site is for Channels 1, not %s: use a virtualenv with requirements.txt." % channels.__version__)


def check_port(port):
    """Exit where the port is taken: Daphne would say so in its log only, and stay."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit("Can't listen on port %d (%s). Choose another with --port." % (port, error.strerror))


class Site:
    """The processes of the site."""

    def __init__(self, options):
        self.port = options.port
        self.workers = options.workers
        self.hosts = options.hosts
        self.redis = None
        self.children = []
        self.stopping = False

    def run(self):
        """Run until a signal, or until a process ends by itself. Returns the exit status."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(getattr(signal, name), self.on_signal)
        try:
            self.start()
            self.wait(self.answers, "The site did not answer in %d s." % PATIENCE)
            if not self.stopping:
                print("Open %s (Ctrl-C ends it)" % self.address, flush=True)
            self.wait(lambda: False)
        finally:
            self.stop()
        return 0

    def on_signal(self, *_):
        # Only a mark: an exception might come between a process and its place in the list.
        self.stopping = True

    @property
    def address(self):
        return "http://127.0.0.1:%d/" % self.port

    def start(self):
        from asgi_redis.tools.embedded import NoServer, Server

        if not self.hosts:
            try:
                self.redis = Server().start()
            except NoServer as error:
                sys.exit(str(error))
            self.hosts = [self.redis.url]
        self.start_child(
            "Daphne", "-c", DAPHNE, "-v0", "--bind", "127.0.0.1", "--port", str(self.port), "chat.asgi:layer"
        )
        for number in range(1, self.workers + 1):
            self.start_child("Worker %d" % number, "-m", "django", "runworker", "-v0")
        self.start_child("Status", "-m", "chat.status")

    def start_child(self, name, *command):
        environment = dict(os.environ, DJANGO_SETTINGS_MODULE="chat.settings", CHAT_HOSTS=" ".join(self.hosts))
        # A session of its own: Ctrl-C in the terminal is for this program, which then ends the others in order.
        child = subprocess.Popen([sys.executable] + list(command), cwd=HERE, env=environment, start_new_session=True)
        self.children.append((name, child))

    def answers(self):
        try:
            urllib.request.urlopen(self.address, timeout=1).close()
        except urllib.error.HTTPError as error:
            sys.exit("The site answers with an error: %s" % error)
        except OSError:
            return False
        return True

    def wait(self, ready, too_late=None):
        """Until ``ready()``, or a signal. Exits where a process ends, or after PATIENCE seconds if ``too_late``."""
        deadline = time.time() + PATIENCE
        while not self.stopping and not ready():
            for name, child in self.processes():
                if child.poll() is not None and not self.stopping:
                    sys.exit("%s ended by itself, with status %d. Ending the others." % (name, child.returncode))
            if too_late and time.time() > deadline:
                sys.exit(too_late)
            time.sleep(0.1)

    def processes(self):
        return self.children + ([("Redis", self.redis.process)] if self.redis else [])

    def stop(self):
        """End all processes: Redis last, for the others use it until their end."""
        for _, child in self.children:
            child.terminate()
        deadline = time.time() + PATIENCE
        for _, child in self.children:
            try:
                child.wait(max(0, deadline - time.time()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self.redis:
            self.redis.stop()


if __name__ == "__main__":
    chosen = arguments()
    check_packages()
    check_port(chosen.port)
    sys.exit(Site(chosen).run())
