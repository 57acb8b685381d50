"""``python -m asgi_redis``, run as a user runs it."""
from __future__ import unicode_literals

import collections
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from asgi_redis import RedisChannelLayer, __version__
from asgi_redis.tools.demo import progress
from asgi_redis.tools.embedded import Server, free_port
from asgi_redis.tools.signals import Signals, Stopped

from . import servers
from .terminals import Terminal, from_a_terminal

#: Seconds that anything may take on a slow machine.
PATIENCE = 60

#: More requests than can be sent before the test stops the demo.
ENDLESS = ["--requests", "1000000"]


def eventually(check):
    """Wait until ``check()`` is true, and return what it returned."""
    deadline = time.time() + PATIENCE
    while time.time() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("It did not come about in %d seconds." % PATIENCE)


def is_gone(pid):
    """Whether a process has ended. One that has ended, but that its parent has not asked about, has ended too."""
    try:
        os.kill(pid, 0)
    except OSError:
        return True
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except EnvironmentError:  # There is no /proc; or the process has ended just now, which is seen the next time.
        return False


class Demo(object):
    """A run of ``python -m asgi_redis``. ``streams``: other streams than pipes for it."""

    def __init__(self, *arguments, **streams):
        streams = dict({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}, **streams)
        environ = dict(os.environ, PYTHONWARNINGS=str("ignore"), **streams.pop("environ", {}))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asgi_redis"] + list(arguments), env=environ, bufsize=0, close_fds=True,
            preexec_fn=from_a_terminal, **streams
        )
        self.introduction = ""
        self.timer = threading.Timer(2 * PATIENCE, self.process.kill)
        self.timer.start()

    def begin(self):
        """Wait until it says that it has begun."""
        while "workers" not in self.introduction:
            line = self.process.stdout.readline().decode("ascii")
            assert line, self.process.stderr.read()
            self.introduction += line
        return self

    @property
    def workers(self):
        """Their process ids."""
        return [int(pid) for pid in re.search(r"workers .*pid (.*)\)", self.introduction).group(1).split(",")]

    @property
    def pids(self):
        """The process ids that it has named: of the server, if it is its own, the front and the workers."""
        return [int(pid) for pid in re.findall(r"\d+", " ".join(re.findall(r"pid (.*)", self.introduction)))]

    def signal(self, signum):
        """Send a signal as a terminal does: to the group that it started in the foreground."""
        os.killpg(self.process.pid, signum)

    def end(self):
        """Wait for the end. Returns (exit status, standard output, standard error)."""
        out, err = self.process.communicate()
        return self.process.returncode, self.introduction + out.decode("ascii"), err.decode("ascii")

    def close(self):
        self.timer.cancel()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        left = [pid for pid in self.pids if not is_gone(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert left == []


@pytest.fixture
def demo():
    """Starts the command line: ``demo(*arguments)``. None of its processes may outlive the test."""
    started = []

    def start(*arguments, **streams):
        started.append(Demo(*arguments, **streams))
        return started[-1]

    yield start
    for run in started:
        run.close()


@pytest.fixture
def on_server(client):
    """``python -m asgi_redis demo`` runs on the first server of the tests. What is left of its keys is deleted."""
    yield client
    for key in demo_keys(client):
        client.delete(key)


def demo_keys(client):
    return client.keys("asgi-demo-*")


def frozen(run, client):
    """Stop the workers once they work, until http.request is full. Returns a layer on the channels of the demo."""
    eventually(lambda: client.keys("asgi-demo-*stats:http.request:messages_count"))
    for pid in run.workers:
        os.kill(pid, signal.SIGSTOP)
    queue = eventually(lambda: [key for key in client.keys("asgi-demo-*:http.request") if b"#" not in key])[0]
    eventually(lambda: client.llen(queue) == 100)
    prefix = queue.decode("ascii").replace("http.request", "")
    return RedisChannelLayer(hosts=servers.hosts(), prefix=prefix, stats_prefix=prefix + "stats:")


def thaw(run):
    for pid in run.workers:
        os.kill(pid, signal.SIGCONT)


def numbers(out, row):
    """The two numbers of a row of the table: requests and group messages."""
    return [int(number.replace(",", "")) for number in re.search(row + r" +([\d,]+) +([\d,]+)\n", out).groups()]


def test_a_server_whose_port_another_has_does_not_start():
    with Server() as other, pytest.raises(RuntimeError) as error:
        Server(port=other.port).start()
    assert "Port %d is in use" % other.port in str(error.value)


# What it shows.


def test_nothing_is_lost_on_a_server_of_its_own(demo):
    run = demo("demo", "--requests", "300", "--workers", "3").begin()
    status, out, err = run.end()
    assert (status, err) == (0, "")
    assert "Nothing was lost or duplicated." in out
    sent = numbers(out, "sent")
    assert sent[0] == 300 and sent[1] > 1000
    assert numbers(out, "returned") == sent
    assert numbers(out, "lost") == numbers(out, "duplicated") == [0, 0]
    assert len(run.workers) == 3 and len(run.pids) == 5
    assert all(is_gone(pid) for pid in run.pids)


def test_the_report_says_what_its_times_are(demo):
    out = demo("demo", "--requests", "50").end()[1]
    assert re.search(r"round trip p50 +[\d.]+ ms +[\d.]+ ms\n  round trip p99 +[\d.]+ ms +[\d.]+ ms\n", out)
    assert "under full load" in out and "time in queues is" in out


def test_without_a_terminal_a_line_is_printed_every_few_seconds(demo):
    run = demo("demo", *ENDLESS).begin()
    started = time.time()
    while " of 1,000,000\n" not in run.introduction:
        run.introduction += run.process.stdout.readline().decode("ascii")
    assert 2 < time.time() - started < PATIENCE
    run.signal(signal.SIGTERM)
    assert run.end()[0] == 128 + signal.SIGTERM
    number, = re.findall(r"  requests +([\d,]+) of 1,000,000\n", run.introduction)
    assert 0 < int(number.replace(",", "")) < 1000000


def test_lines_are_printed_once_an_interval(monkeypatch):
    now, lines = [0.0], []
    screen = collections.namedtuple("Screen", "is_terminal line")(False, lines.append)
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    shown = progress.make_progress(screen, "requests", 20)
    for _ in range(20):
        now[0] += 0.5
        shown.update()
    assert [line.split()[1] for line in lines] == ["6", "12", "18", "20"]


def test_without_a_terminal_the_last_message_is_reported_on_a_line(demo):
    out = demo("demo", "--requests", "200").end()[1]
    assert re.search(r"  requests +200 of 200\n", out)
    assert "\r" not in out


# On a terminal.


@pytest.fixture
def terminal():
    """Makes terminals: ``terminal(columns)``."""
    made = []

    def make(columns):
        made.append(Terminal(columns))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("columns", [20, 60, 69, 70, 120])
def test_a_bar_stays_on_its_line(demo, terminal, columns):
    pytest.importorskip("tqdm")
    shown = terminal(columns)
    run = shown.run(demo, "demo", "--requests", "1000")
    while shown.read():
        pass
    assert run.process.wait() == 0, shown.text
    bars = [line for line in shown.lines() if any("requests: " in text for text in line)]
    assert len(bars) == 1
    assert len(bars[0]) > 3 and all(len(text) <= columns for text in bars[0])


def test_without_tqdm_lines_take_the_place_of_the_bar(demo, terminal, tmpdir):
    tmpdir.join("tqdm.py").write("raise ImportError")
    shown = terminal(80)
    run = shown.run(demo, "demo", "--requests", "200", environ={str("PYTHONPATH"): str(tmpdir)})
    while shown.read():
        pass
    assert run.process.wait() == 0, shown.text
    lines = [line[-1] for line in shown.lines()]
    # If it takes longer than a few seconds, there are some before the last.
    assert [line for line in lines if "requests  " in line and " of " in line][-1] == "  requests        200 of 200"
    assert all(len(line) == 1 for line in shown.lines())


# Faults and delays.


def test_what_was_lost_and_what_came_twice_is_told(demo, on_server):
    run = demo("demo", "--requests", "1000", "--hosts", *servers.hosts()).begin()
    layer = frozen(run, on_server)
    lost, twice = layer.receive(["http.request"]), layer.receive(["http.request"])
    assert lost[1] and twice[1]
    layer.send(*twice)
    layer.send(*twice)
    thaw(run)
    status, out, _ = run.end()
    assert status == 1
    assert "Requests: 1 lost, 1 duplicated.\n" in out
    assert numbers(out, "returned") == [999, numbers(out, "sent")[1]]


def test_a_full_channel_makes_it_wait(demo, on_server):
    run = demo("demo", "--requests", "1000", "--hosts", *servers.hosts()).begin()
    frozen(run, on_server)
    thaw(run)
    status, out, err = run.end()
    assert (status, err) == (0, "")
    assert re.search(r"http.request was full [\d,]+ times", out)


# On the user's servers.


def test_leaves_no_key_on_the_users_servers(demo, on_server):
    run = demo("demo", "--requests", "500", "--hosts", *servers.hosts(2)).begin()
    eventually(lambda: demo_keys(on_server))
    status, out, err = run.end()
    assert (status, err) == (0, "")
    assert all(url in out for url in servers.hosts(2))
    assert [demo_keys(RedisChannelLayer(hosts=servers.hosts(2)).connection(index)) for index in (0, 1)] == [[], []]


def test_an_unreachable_server_is_named_without_its_password(demo):
    address = "127.0.0.1:%d" % free_port()
    status, out, err = demo("demo", "--hosts", "redis://:secret@%s/0" % address).end()
    assert status == 2
    assert address in err and len(err.splitlines()) == 1
    assert "secret" not in out + err


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="Command lines are read from /proc.")
def test_a_password_is_not_shown_nor_on_the_command_lines_of_workers(demo):
    with Server(["--requirepass", "secret"]) as server:
        run = demo("demo", "--requests", "10", "--hosts", server.url.replace("://", "://:secret@")).begin()
        for pid in run.workers:
            with open("/proc/%d/cmdline" % pid) as command_line:
                assert "secret" not in command_line.read()
        status, out, err = run.end()
    assert status == 0
    assert "redis://:***@127.0.0.1:%d" % server.port in out and "secret" not in out + err


# Its end.


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_its_processes(demo, signum):
    run = demo("demo", *ENDLESS).begin()
    assert len(run.pids) == 4 and not any(is_gone(pid) for pid in run.pids)
    run.signal(signum)
    status, out, err = run.end()
    assert (status, err) == (128 + signum, "")
    assert out.endswith("Stopped. Its server is stopped.\n")
    assert all(is_gone(pid) for pid in run.pids)


def test_a_second_ctrl_c_does_not_break_the_clearing_up(demo, on_server):
    run = demo("demo", "--hosts", servers.hosts()[0], *ENDLESS).begin()
    # A worker that can't end at once makes the clearing up long enough.
    os.kill(run.workers[0], signal.SIGSTOP)
    eventually(lambda: demo_keys(on_server))
    run.signal(signal.SIGINT)
    eventually(lambda: is_gone(run.workers[1]))
    run.signal(signal.SIGINT)
    assert run.end()[::2] == (130, "")
    assert all(is_gone(pid) for pid in run.pids)
    assert demo_keys(on_server) == []


def test_ctrl_c_on_a_terminal_that_shows_a_bar(demo, terminal):
    pytest.importorskip("tqdm")
    shown = terminal(80)
    run = shown.run(demo, "demo", *ENDLESS)
    while not re.search(r"\r  requests: .*\| [1-9]\d*/1000000 ", shown.text):
        assert shown.read()
    shown.type(b"\x03")
    while "Stopped." not in shown.text and shown.read():
        pass
    run.introduction = shown.text.replace("\r\n", "\n")
    assert run.process.wait() == 130
    # The bar is on a line of its own, and nothing is drawn after the end.
    assert re.search(r"msg/s\]? *\nStopped. Its server is stopped.\n?$", run.introduction)
    assert "Traceback" not in run.introduction
    assert all(is_gone(pid) for pid in run.pids)


def test_the_end_of_its_terminal_ends_it(demo, terminal):
    shown = terminal(80)
    run = shown.run(demo, "demo", *ENDLESS)
    while "requests" not in shown.text:
        assert shown.read()
    run.introduction = shown.text
    os.close(shown.ours)
    shown.ours = os.open(os.devnull, os.O_RDONLY)
    assert run.process.wait() == 128 + signal.SIGHUP
    eventually(lambda: all(is_gone(pid) for pid in run.pids))


@pytest.fixture
def signals():
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    before = [(number, signal.getsignal(number)) for number in numbers]
    yield Signals()
    for number, handler in before:
        signal.signal(number, handler)


def test_a_signal_waits_until_the_bar_is_made(monkeypatch, signals):
    made = []

    class Bar(object):
        set_lock = staticmethod(lambda lock: None)

        def __init__(self, **options):
            os.kill(os.getpid(), signal.SIGHUP)
            eventually(lambda: signals.caught)
            made.append(self)

    monkeypatch.setattr(progress, "tqdm", Bar)
    screen = collections.namedtuple("Screen", "is_terminal signals")(True, signals)
    with pytest.raises(Stopped), signals.raised():
        progress.make_progress(screen, "requests", 20)
    assert made


def test_workers_end_when_the_front_is_killed(demo, on_server):
    run = demo("demo", "--hosts", servers.hosts()[0], *ENDLESS).begin()
    eventually(lambda: demo_keys(on_server))
    run.process.kill()
    eventually(lambda: all(is_gone(pid) for pid in run.workers))


def test_a_reader_of_its_output_that_goes_away_ends_it(demo):
    run = demo("demo", "--requests", "1000").begin()
    run.process.stdout.close()
    assert run.process.wait() == 128 + signal.SIGPIPE
    assert run.process.stderr.read() == b""
    eventually(lambda: all(is_gone(pid) for pid in run.pids))


# Arguments.


@pytest.mark.parametrize("arguments", [
    [], ["other"], ["demo", "--requests", "0"], ["demo", "--requests", "many"], ["demo", "--workers", "-1"],
    ["demo", "--hosts"], ["demo", "--port", "1"],
])
def test_bad_arguments(demo, arguments):
    status, out, err = demo(*arguments).end()
    assert (status, out) == (2, "")
    assert err.startswith("usage: asgi-redis")


def test_a_bad_url_is_shown_without_its_password(demo):
    status, out, err = demo("demo", "--hosts", "http://:secret@localhost/").end()
    assert status == 2
    assert "http://:***@localhost/" in err and len(err.splitlines()) == 1
    assert "secret" not in out + err


def test_no_server_binary(demo):
    status, _, err = demo("demo", environ={str("ASGI_REDIS_SERVER"): str("/no/such/server")}).end()
    assert status == 2
    assert "/no/such/server" in err and len(err.splitlines()) == 1


def test_version_and_help(demo):
    assert __version__ in "".join(demo("--version").end()[1:])  # Python 2 prints it to standard error
    status, out, _ = demo("demo", "--help").end()
    assert status == 0
    assert all(option in out for option in ("--requests", "--workers", "--hosts"))
