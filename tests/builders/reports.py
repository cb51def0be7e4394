"""Measurements and reports made by hand."""

from pocketrank.benchmarks.records import report
from pocketrank.benchmarks.records.metrics import Measurement


def one(metric, value, unit="s", **more):
    return Measurement(metric, unit, more.pop("kind", "measured"), "test", value=value, model="m", device="f", **more)


def make_report(*rows, bundle=(), quality=(), fingerprint="f", device="host", runs=()):
    facts = report.ModelFacts("m", "subject", 1, "0" * 64, 1, "0" * 64, 256)
    devices = (report.DeviceReport(device, "local", fingerprint, {}, {}, {}, tuple(runs), tuple(rows)),)
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
