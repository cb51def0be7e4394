"""One process that runs queries under codecarbon and reports the energy that codecarbon saw or assumed.

    python -I codecarbon_worker.py /folder/of/worker < request.json > result.json

The tracker follows this process alone (`tracking_mode="process"`). Only the processor's share is reported: memory is a
constant guess of several watts there, and would drown a model that runs for microseconds.
"""

import json
import os
import runpy
import sys
import time
from importlib import metadata


def main() -> None:
    """Read the worker's request from standard input, write energy and counts to standard output."""
    worker = runpy.run_path(os.path.join(sys.argv[1], "worker.py"))
    config = dict(worker["DEFAULTS"], **json.load(sys.stdin))
    texts = [config["prompt"] + text for text in config["texts"]]
    model, _ = worker["load"](config, {}, {})
    worker["end_with_parent"]()
    for text in texts[: config["warmup"]]:
        model.encode(text)

    import codecarbon

    tracker = codecarbon.OfflineEmissionsTracker(
        country_iso_code="USA",  # only turns energy into emissions, which are not used
        tracking_mode="process",
        measure_power_secs=1,
        save_to_file=False,
        log_level="critical",
        allow_multiple_runs=True,
    )
    tracker.start()
    began = time.process_time()
    queries = worker["timed_queries"](model, texts, config)
    cpu = time.process_time() - began
    tracker.stop()
    data = tracker.final_emissions_data
    processors = [part for part in tracker._hardware if type(part).__name__ == "CPU"]
    modes = sorted({str(getattr(part, "_mode", "unknown")) for part in processors})
    watts = sum(float(getattr(part, "_tdp", None) or 0) for part in processors)
    result = {
        "joules": data.cpu_energy * 3.6e6,
        "queries": queries["count"],
        "wall": queries["wall"],
        "cpu": cpu,
        "mode": "+".join(modes),
        "watts": watts,
        "processor": data.cpu_model,
        "version": metadata.version("codecarbon"),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
