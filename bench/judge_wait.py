#!/usr/bin/env python3
"""What a judge that is waited for costs a run in steps: a loopback server that answers at once beside one that waits 2 seconds.

    bench/judge_wait.py                  # 3 rounds of each, turn by turn
    bench/judge_wait.py --prompts 8      # a small segment, in which there is little sampling to wait behind

Each run is one segment of the quickstart's configuration without validation, trained on for a step of the few pairs whose responses differ by 300 characters, with an http judge whose
score is the response's length. Measured are the seconds from the segment's beginning until its pairs are selected (its event's
`sample` and `judge`), and `wait` among them. Checked: both judges' runs have the same samples and scores. Needs h5py."""
import argparse
import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import h5py

import study

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARK = "Response:\n"


class Judge(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = asked["messages"][-1]["content"].split(MARK, 1)[1]
        time.sleep(self.server.seconds)
        body = json.dumps({"choices": [{"message": {"role": "assistant", "content": f"[[{len(response)}]]"}, "finish_reason": "stop"}],
                           "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 256


def run(args, seconds, folder):
    """The segment's event, and what was scored how."""
    shutil.rmtree(folder, ignore_errors=True)
    server = Server(("127.0.0.1", 0), Judge)
    server.seconds = seconds
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = {"judge.kind": f"http:http://127.0.0.1:{server.server_port}/v1", "judge.model": "judge", "judge.concurrency": args.concurrency,
                "judge.prompt": f"{{instruction}}\n{MARK}{{response}}", "pairs.margin": 300, "data.validation_prompts": 0,
                "train.batch": args.prompts, "run.sync_steps": 1, "run.steps": 1, "run.dir": folder}
    command = ["mpirun", "-n", str(args.ranks), str(args.tpo), "run", str(ROOT / "configs/quickstart.yaml"), "--quiet"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr, env={**os.environ, "no_proxy": "127.0.0.1"})
    server.shutdown()
    event = study.Run(folder).event("segment", 1)
    with h5py.File(folder / "iter-001/scored.h5") as f:
        scores = [score if scored else None for score, scored in zip(f["score"][:], f["scored"][:])]  # NaN equals nothing
        return event, list(zip(f["prompt_id"][:], f["k"][:], f["response"][:], scores))


def table(args, rounds):
    lines = ["| judge | sample | judge | of both, wait | both |", "| --- | --- | --- | --- | --- |"]
    middle = []
    for name, events in zip(("answers at once", "answers after 2 seconds"), zip(*rounds)):
        of = {key: statistics.median(e["seconds"][key] for e in events) for key in ("sample", "judge", "wait")}
        both = statistics.median(e["seconds"]["sample"] + e["seconds"]["judge"] for e in events)
        middle.append(both)
        lines.append(f"| {name} | {of['sample']:.1f} s | {of['judge']:.1f} s | {of['wait']:.1f} s | {both:.1f} s |")
    event = rounds[0][0]
    return [f"A segment of {event['prompts']} instructions and {event['samples']} samples ({event['drawn_tokens']:.0f} tokens) on {args.ranks} rank(s), "
            f"{args.concurrency} requests at once; medians of {len(rounds)} rounds, taken turn by turn.", "", *lines, "",
            f"Ratio: {middle[1] / middle[0]:.2f}.", "", f"{datetime.date.today()}, {study.cpu()}. {args.note}".rstrip()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=32, help="instructions of the segment")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--tpo", default=ROOT / "build/cpu/tpo")
    parser.add_argument("--runs", default=ROOT / "runs/judge-wait", help="folder of the run folders")
    parser.add_argument("--out", help="Markdown file; without it, standard output alone")
    parser.add_argument("--note", default="", help="a sentence about the machine's load")
    args = parser.parse_args()
    folder, rounds = pathlib.Path(args.runs).resolve(), []
    for _ in range(args.rounds):
        (at_once, one), (waiting, other) = run(args, 0, folder / "at-once"), run(args, 2, folder / "waiting")
        if one != other:
            sys.exit("the two judges' runs have different samples or scores")
        rounds.append((at_once, waiting))
    lines = table(args, rounds)
    print("\n".join(lines))
    if args.out:
        pathlib.Path(args.out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")
    main()
