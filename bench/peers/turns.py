# SPDX-License-Identifier: Apache-2.0
"""Runs programs in turn (A B A B ...), each turn in a process of its own, and watches what else the machine does."""
import dataclasses
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Callable

MOST_DISTURBED = 0.10  # of a core, by others
POLL_SECONDS = 0.05
TICK = 1 / os.sysconf("SC_CLK_TCK")


class TurnFailed(Exception):
    """A program that cannot compete."""


class WrongOutput(Exception):
    """A model that does not compute what it should."""


@dataclasses.dataclass
class Contestant:
    program: str                            # with its version
    arithmetic: str
    threads: int
    command: list
    read: Callable[[str], dict]             # stdout -> {test: milliseconds}
    turns: list = dataclasses.field(default_factory=list)
    failure: str = ""                       # why it does not take part

    @property
    def name(self):
        return f"{self.program} {self.arithmetic}, {self.threads} threads"

    @property
    def counted(self):
        """The quiet turns, if they are at least half of all; else all."""
        quiet = [turn for turn in self.turns if turn.others <= MOST_DISTURBED]
        return quiet if 2 * len(quiet) >= len(self.turns) else self.turns


@dataclasses.dataclass
class Turn:
    milliseconds: dict                      # {test: median of the turn}
    others: float                           # cores that other processes, or other guests of the host, used meanwhile
    peak_mb: float


def busy_seconds():
    """Of all cores since boot: everything but idle and waiting."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, soft_irq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + soft_irq + steal) * TICK


def processor_seconds(usage):
    return usage.ru_utime + usage.ru_stime


def run_turn(contestant):
    own_before = processor_seconds(resource.getrusage(resource.RUSAGE_SELF))
    busy_before, start = busy_seconds(), time.monotonic()
    with tempfile.TemporaryFile("w+") as output_file, tempfile.TemporaryFile("w+") as error_file:
        process = subprocess.Popen(contestant.command, stdout=output_file, stderr=error_file)
        usage, peak = wait_for(process)
        output, errors = (file.seek(0) or file.read() for file in (output_file, error_file))
    elapsed, busy = time.monotonic() - start, busy_seconds() - busy_before
    own = processor_seconds(resource.getrusage(resource.RUSAGE_SELF)) - own_before
    if process.returncode != 0:
        reason = (errors.strip() or output.strip() or "no message").splitlines()[-1]
        raise TurnFailed(f"{contestant.name}: exit code {process.returncode}: {reason}")
    others = max(busy - own - processor_seconds(usage), 0.0) / elapsed
    return Turn(contestant.read(output), others, peak / 1e6)


def wait_for(process):
    """-> what it used, and the most memory it held, in bytes: the kernel's high-water mark, read now and then, since the one
    in the former begins with the memory of this program."""
    peak = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage, peak
        peak = high_water_mark(process.pid) or peak
        time.sleep(POLL_SECONDS)


def high_water_mark(pid):
    with open(f"/proc/{pid}/status") as status:
        marks = [line for line in status if line.startswith("VmHWM:")]
    return int(marks[0].split()[1]) * 1024 if marks else 0


def run_rounds(contestants, rounds, retries):
    """Fills in `turns`. A disturbed turn is tried again, at most `retries` times; the least disturbed one is kept."""
    for number in range(rounds):
        for contestant in contestants:
            if contestant.failure:
                continue
            try:
                contestant.turns.append(quietest(contestant, retries))
            except (TurnFailed, OSError) as error:
                contestant.failure = str(error)
                print(f"left out: {error}", file=sys.stderr)
                continue
            turn = contestant.turns[-1]
            print(f"round {number + 1}/{rounds}  {contestant.name}: {shown(turn)}", file=sys.stderr)


def quietest(contestant, retries):
    best = run_turn(contestant)
    for _ in range(retries):
        if best.others <= MOST_DISTURBED:
            break
        best = min(best, run_turn(contestant), key=lambda turn: turn.others)
    return best


def shown(turn):
    times = ", ".join(f"{test} {value:.1f} ms" for test, value in turn.milliseconds.items())
    return f"{times}; others {turn.others:.0%} of a core"


def median(contestant, test):
    """Milliseconds over the turns that count; None where it has no such test."""
    values = [turn.milliseconds[test] for turn in contestant.counted if test in turn.milliseconds]
    return statistics.median(values) if values else None


def disturbance(contestant):
    return max((turn.others for turn in contestant.counted), default=0.0)
