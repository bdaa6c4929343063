import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
import redis

from lamella.testing.servers import postgresql, valkey

HOLDER = """
import sys, time
from lamella.testing import servers
with getattr(servers, sys.argv[1])(environment={}) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def is_listening(url):
    target = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((target.hostname, target.port)) == 0


def test_a_url_that_is_given_is_used_and_nothing_is_started():
    given = {"LAMELLA_TEST_DATABASE_URL": "postgresql://u@h/x", "LAMELLA_TEST_REDIS_URL": "redis://h:6379/1"}
    with postgresql(environment=given) as url:
        assert url == "postgresql+psycopg://u@h/x"
    with valkey(environment=given) as url:
        assert url == "redis://h:6379/1"


def test_a_valkey_answers_inside_the_block_and_is_gone_after_it():
    with valkey(environment={}) as url:
        client = redis.Redis.from_url(url)
        assert client.ping()
        client.close()
    assert not is_listening(url)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "valkey"])
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_a_server_ends_with_the_process_that_started_it_however_that_ends(kind, ended_by, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    tmp_path.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, kind],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as holder:
        assert holder.stdout is not None
        url = holder.stdout.readline().strip()
        assert is_listening(url)
        holder.send_signal(ended_by)
        holder.wait(timeout=30)
    end = time.monotonic() + 20
    while is_listening(url) or any(tmp_path.iterdir()):
        assert time.monotonic() < end, "the server outlives its owner"
        time.sleep(0.05)
