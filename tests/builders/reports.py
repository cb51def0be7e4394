"""Measurements and reports made by hand."""

import dataclasses

from pocketrank.benchmarks.records import report
from pocketrank.benchmarks.records.metrics import Measurement


def one(metric, value, unit="s", **more):
    more = {"kind": "measured", "method": "test", "model": "m", "device": "f", "count": 1, **more}
    return Measurement(metric, unit, value=value, **more)


def make_report(*rows, bundle=(), quality=(), fingerprint="f", device="host", runs=None):
    facts = report.ModelFacts("m", "subject", 1, "0" * 64, 1, "0" * 64, 256)
    rows = tuple(dataclasses.replace(row, device=fingerprint) for row in rows)
    if runs is None:
        runs = [report.Run("m", 0, 0, "ok", count=300)] if rows else []
    devices = (report.DeviceReport(device, "local", fingerprint, {}, {}, {}, tuple(runs), rows),)
    return report.Report(
        report.SCHEMA,
        report.VERSION,
        "0",
        "m",
        (facts,),
        report.TextFacts("t", 1, "0" * 64, 1.0),
        {},
        devices,
        tuple(bundle),
        tuple(quality),
    )
