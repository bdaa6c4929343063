"""Which CPU a web process keeps to. Each case runs in a process of its own: affinity is for good."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from lamella.adapters import affinity
processes, group, is_always, count = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "on", int(sys.argv[4])
os.sched_getaffinity = lambda _pid, cpus=tuple(range(count)): set(cpus)
settled = []
os.sched_setaffinity = lambda _pid, cpus: settled.append(set(cpus))
cpu = affinity.settle(processes, always=is_always, group=group)
assert settled == ([] if cpu is None else [{cpu}])
print(cpu, flush=True)
sys.stdin.read()
"""


class Process:
    """A process that has settled and lives until `end`."""

    def __init__(self, processes, *, group=1, always="auto", cpus=2):
        command = [sys.executable, "-c", PROGRAM, str(processes), f"{os.getpid()}{group}", always, str(cpus)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cpu = self._process.stdout.readline().strip()

    def end(self):
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def start():
    started = []

    def start(*arguments, **options):
        started.append(Process(*arguments, **options))
        return started[-1]

    yield start
    for each in started:
        each.end()


def test_as_many_processes_as_cpus_get_one_each_and_more_go_round(start):
    assert [start(2).cpu for _ in range(2)] == ["0", "1"]
    assert [start(4, group=2).cpu for _ in range(4)] == ["0", "1", "0", "1"]


def test_fewer_processes_than_cpus_stay_free_unless_they_are_told(start):
    assert start(2, cpus=4).cpu == "None"
    assert [start(2, cpus=4, always="on", group=3).cpu for _ in range(2)] == ["0", "1"]


def test_one_that_starts_again_takes_the_place_of_the_one_that_died(start):
    first, second = start(2), start(2)
    first.end()
    assert start(2).cpu == first.cpu != second.cpu


def test_another_server_has_places_of_its_own(start):
    assert start(2, group=4).cpu == start(2, group=5).cpu == "0"


def test_one_too_many_stays_free(start):
    assert [start(1, cpus=1).cpu for _ in range(2)] == ["0", "None"]


def test_this_process_really_settles():
    code = "import os; from lamella.adapters.affinity import settle; cpu = settle(10_000); "
    code += "assert os.sched_getaffinity(0) == {cpu}"
    subprocess.run([sys.executable, "-c", code], check=True)
