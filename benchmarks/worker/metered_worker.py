"""One process that runs queries in long windows while something measures the power of the board.

    python -I metered_worker.py /path/of/worker.py /path/of/power_sampler.py < request.json > result.json

The request is the worker's own, plus `metering`: {"source": "pmic" | "ina219" | "" (an outside meter), "idle_seconds",
"seconds", "windows", "hertz"}. An idle window comes first, then the windows with queries; all times are on the
monotonic clock, and `epoch` is what to add for seconds since 1970.
"""

import json
import runpy
import subprocess
import sys
import time


def main():
    """Read the request from standard input, write windows, counts and raw power readings to standard output."""
    request = json.load(sys.stdin)
    metering = request.pop("metering")
    worker = runpy.run_path(sys.argv[1])
    config = dict(worker["DEFAULTS"], **request)
    config["min_seconds"], config["min_queries"] = metering["seconds"], 1
    texts = [config["prompt"] + text for text in config["texts"]]
    model, _ = worker["load"](config, {}, {})
    worker["end_with_parent"]()
    for index in range(config["warmup"]):
        model.encode(texts[index % len(texts)])

    sampler = start_sampler(sys.argv[2], metering) if metering["source"] else None
    time.sleep(0.5)  # the sampler and this process come to rest
    idle = [time.monotonic()]
    time.sleep(metering["idle_seconds"])
    idle.append(time.monotonic())
    windows = []
    for _ in range(metering["windows"]):
        began = time.monotonic()
        queries = worker["timed_queries"](model, texts, config)
        windows.append({"begin": began, "end": time.monotonic(), "count": queries["count"], "cpu": queries["cpu"]})
    power = None
    if sampler is not None:
        output, errors = sampler.communicate()  # closes its input, which stops it after one more reading
        if sampler.returncode:
            raise SystemExit(errors.strip().splitlines()[-1] if errors.strip() else "the power sampler failed")
        power = json.loads(output)
    result = {"idle": idle, "windows": windows, "epoch": time.time() - time.monotonic(), "power": power}
    sys.stdout.write(json.dumps(result) + "\n")


def start_sampler(path, metering):
    """Start the power sampler beside this process; end with its own words when it finds no sensor."""
    command = [sys.executable, "-I", path]
    sampler = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True
    )
    assert sampler.stdin is not None and sampler.stdout is not None
    sampler.stdin.write(json.dumps({"source": metering["source"], "hertz": metering["hertz"]}) + "\n")
    sampler.stdin.flush()
    if not sampler.stdout.readline():  # an empty line follows the first reading
        raise SystemExit(sampler.communicate()[1].strip().splitlines()[-1])
    return sampler


if __name__ == "__main__":
    main()
