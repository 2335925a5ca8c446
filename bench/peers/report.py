# SPDX-License-Identifier: Apache-2.0
"""Medians and ratios as Markdown or as JSON."""
import json

from turns import MOST_DISTURBED, disturbance, median

MARK = " (disturbed)"


def taking_part(contest, test):
    return [contestant for contestant in contest.contestants if median(contestant, test) is not None]


def is_disturbed(contestant):
    return disturbance(contestant) > MOST_DISTURBED


def time_rows(contest):
    for test, tokens in contest.tests.items():
        for contestant in taking_part(contest, test):
            values = [turn.milliseconds[test] for turn in contestant.counted]
            middle = median(contestant, test)
            yield {"test": test, "threads": contestant.threads, "program": contestant.program,
                   "arithmetic": contestant.arithmetic, "ms": middle, "least_ms": min(values), "most_ms": max(values),
                   "turns": len(values),
                   "tokens_per_second": tokens / middle * 1e3 if tokens else None,
                   "peak_memory_mb": max(turn.peak_mb for turn in contestant.counted),
                   "others_cores": disturbance(contestant), "disturbed": is_disturbed(contestant)}


def ratio_rows(contest):
    for ratio in contest.ratios:
        ours = [c for c in found(contest, ratio.test, ratio.threads, "fastvlm") if c.arithmetic == ratio.ours]
        parts = [(ratio.peer_test or ratio.test, ratio.peer)] + ([ratio.and_then] if ratio.and_then else [])
        peers = [(test, c) for test, name in parts for c in found(contest, test, ratio.threads, name)[:1]]
        if not ours or len(peers) < len(parts):
            continue
        time = sum(median(peer, test) for test, peer in peers)
        yield {"test": ratio.test, "threads": ratio.threads, "ours": ratio.ours,
               "peer": ", then ".join(f"{peer.program} {peer.arithmetic}" for _, peer in peers),
               "ratio": time / median(ours[0], ratio.test), "target": ratio.target or None,
               "disturbed": any(map(is_disturbed, [ours[0]] + [peer for _, peer in peers]))}


def found(contest, test, threads, name):
    return [c for c in taking_part(contest, test) if c.threads == threads and matches(c, name)]


def matches(contestant, peer):
    """"ONNX Runtime fp32" is any version at fp32, "llama.cpp" any version and arithmetic."""
    name, _, arithmetic = peer.rpartition(" ")
    if arithmetic in ("fp32", "bf16", "int8"):
        return contestant.program.startswith(name) and contestant.arithmetic == arithmetic
    return contestant.program.startswith(peer)


def as_json(machine, contests, rounds):
    result = {"machine": machine, "rounds": rounds,
              "times": [row for contest in contests for row in time_rows(contest)],
              "ratios": [row for contest in contests for row in ratio_rows(contest)],
              "left_out": [c.failure for contest in contests for c in contest.contestants if c.failure],
              "notes": [note for contest in contests for note in contest.notes]}
    return json.dumps(result, indent=2)


def as_markdown(machine, contests, rounds):
    lines = [f"{machine}; medians over {rounds} rounds, programs in turn.", "",
             "| work | threads | program | arithmetic | median | least to most | tok/s | peak memory |",
             "|---|---:|---|---|---:|---:|---:|---:|"]
    for contest in contests:
        lines += [time_line(row) for row in time_rows(contest)]
    lines += ["", "| work | threads | fastvlm | beside | times as fast | target |", "|---|---:|---|---|---:|---:|"]
    for contest in contests:
        lines += [ratio_line(row) for row in ratio_rows(contest)]
    notes = [note for contest in contests for note in contest.notes]
    notes += [f"left out: {c.failure}" for contest in contests for c in contest.contestants if c.failure]
    return "\n".join(lines + [""] + [f"- {note}" for note in notes])


def time_line(row):
    mark = MARK if row["disturbed"] else ""
    rate = f"{row['tokens_per_second']:.1f}" if row["tokens_per_second"] else ""
    return (f"| {row['test']} | {row['threads']} | {row['program']} | {row['arithmetic']} | {row['ms']:.1f} ms{mark} | "
            f"{row['least_ms']:.1f} to {row['most_ms']:.1f} | {rate} | {row['peak_memory_mb']:.0f} MB |")


def ratio_line(row):
    mark = MARK if row["disturbed"] else ""
    target = f"{row['target']:g}" if row["target"] else ""
    return (f"| {row['test']} | {row['threads']} | {row['ours']} | {row['peer']} | {row['ratio']:.2f}{mark} | {target} |")
