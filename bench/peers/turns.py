# SPDX-License-Identifier: Apache-2.0
"""Runs programs in turn (A B A B ...), each turn in a process of its own, and watches what else the machine does."""
import dataclasses
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Callable

MOST_DISTURBED = 0.10  # of a core, by others
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
    process = subprocess.Popen(contestant.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    elapsed, busy = time.monotonic() - start, busy_seconds() - busy_before
    own = processor_seconds(resource.getrusage(resource.RUSAGE_SELF)) - own_before
    if process.returncode != 0:
        reason = (errors.strip() or output.strip() or "no message").splitlines()[-1]
        raise TurnFailed(f"{contestant.name}: exit code {process.returncode}: {reason}")
    others = max(busy - own - processor_seconds(usage), 0.0) / elapsed
    return Turn(contestant.read(output), others, usage.ru_maxrss * 1024 / 1e6)


def run_rounds(contestants, rounds, retries):
    """Fills in `turns`. A disturbed turn is tried again, at most `retries` times; the least disturbed one counts."""
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
    """Milliseconds over all turns; None where it has no such test."""
    values = [turn.milliseconds[test] for turn in contestant.turns if test in turn.milliseconds]
    return statistics.median(values) if values else None


def disturbance(contestant):
    return max((turn.others for turn in contestant.turns), default=0.0)
