"""Measure latency, memory, cold start and energy of a bundle or of any ONNX embedding model.

Every model runs in fresh processes; with --with, models are interleaved, so that ratios hold on a noisy machine. A
bundle is verified first, as `pocketrank verify` does.

examples:
  pocketrank benchmark runs/pydocs/bundle --with teacher/model.onnx --out report.json
  pocketrank benchmark runs/pydocs/bundle --device raspberry-pi-4           # emulated: same vectors, instructions
  pocketrank benchmark runs/pydocs/bundle --device ssh://pi@192.168.1.20    # the board itself
  pocketrank benchmark runs/pydocs/bundle --sweep length=8,32,128 --sweep threads=1,2
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.packaged import bundle_path
from .output import make_progress, print_json, print_line, print_table

if TYPE_CHECKING:
    from ..benchmarks.measure import MeasureSettings
    from ..benchmarks.records.report import Report


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", type=bundle_path, metavar="BUNDLE|MODEL.onnx", help="what is measured")
    parser.add_argument(
        "--with",
        dest="others",
        type=bundle_path,
        action="append",
        default=[],
        metavar="OTHER",
        help="another bundle or ONNX file in the same run; the first one is the reference of the ratios",
    )
    parser.add_argument("--texts", type=Path, metavar="FILE", help="queries, one a line or a record, or a BEIR folder")
    _add_duration(parser.add_argument_group("how long and how often"))
    _add_energy(parser.add_argument_group("energy"))
    _add_probes(parser.add_argument_group("beside the main figures"))
    _add_device(parser.add_argument_group("device"))
    _add_output(parser.add_argument_group("output"))


def _add_duration(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--repetitions", type=int, default=7, metavar="N", help="processes a model (default: 7)")
    group.add_argument(
        "--min-seconds", type=float, default=1.0, metavar="S", help="timed region, at least (default: 1)"
    )
    group.add_argument("--min-queries", type=int, default=300, metavar="N", help="queries in it (default: 300)")
    group.add_argument("--threads", type=int, default=1, metavar="N", help="threads of ONNX Runtime (default: 1)")


def _add_energy(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--energy",
        default="auto",
        metavar="SOURCE",
        help="auto (the best one at hand), rapl, pmic (Raspberry Pi 5), ina219, meter, codecarbon, profile-model, none",
    )
    group.add_argument(
        "--meter", type=Path, metavar="FILE.csv", help="energy from what a bench meter is recording into this file"
    )


def _add_probes(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="AXIS=N,N",
        help="vary threads, length (tokens) or batch (texts), one at a time",
    )
    group.add_argument(
        "--sustained", type=float, default=0.0, metavar="S", help="keep each model busy for S seconds and watch"
    )
    group.add_argument(
        "--calibrate",
        type=int,
        default=0,
        metavar="N",
        help="measure the model against itself too, N pairs, and keep the device's own noise for relative limits",
    )
    group.add_argument(
        "--overhead",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the harness itself too, with an empty model (default: yes)",
    )


def _add_device(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--device",
        action="append",
        metavar="NAME",
        help="NAME of `pocketrank devices`, qemu:NAME, cgroup:NAME, ssh://user@host[:port], or replay:FILE "
        "(default: host)",
    )
    group.add_argument("--python", default="", metavar="PATH", help="ssh: an interpreter on the board, with libraries")
    group.add_argument("--keep", action="store_true", help="ssh: leave the environment on the board for the next run")
    group.add_argument("--ssh-config", type=Path, metavar="FILE", help="ssh: instead of your own configuration")
    group.add_argument("--record", type=Path, metavar="FILE", help="write what the device answers, for replay:FILE")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--out", type=Path, metavar="FILE", help="write the report, raw samples included")
    group.add_argument("--html", type=Path, metavar="FILE", help="write the report as one HTML page")
    group.add_argument("--markdown", type=Path, metavar="FILE", help="write the report as Markdown")
    group.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else")


def execute(arguments: argparse.Namespace) -> int:
    """Measure, write and print the report.

    Returns 1 when golden vectors differ on a device, 3 when one is missing, 130 when it was interrupted.
    """
    from ..benchmarks.measure import measure_model
    from ..benchmarks.render.page import require_jinja2
    from ..devices.targets.base import TargetOptions

    if arguments.html:
        require_jinja2()  # before minutes of measuring
    report = measure_model(
        arguments.model,
        arguments.device or ["host"],
        settings=_settings(arguments),
        texts=arguments.texts,
        compare_with=arguments.others,
        progress=make_progress(arguments.json),
        options=TargetOptions(arguments.python, arguments.keep, arguments.ssh_config, arguments.record),
    )
    _write(arguments, report)
    _print(arguments, report)
    return _exit_code(report)


def _settings(arguments: argparse.Namespace) -> "MeasureSettings":
    from ..benchmarks.measure import MeasureSettings
    from ..benchmarks.measure.sweep import parse_sweeps
    from ..runtime.errors import InputError

    try:
        return MeasureSettings(
            repetitions=arguments.repetitions,
            min_seconds=arguments.min_seconds,
            min_queries=arguments.min_queries,
            threads=arguments.threads,
            energy=f"meter:{arguments.meter}" if arguments.meter else arguments.energy,
            overhead=arguments.overhead,
            sweeps=parse_sweeps(arguments.sweep),
            sustained_seconds=arguments.sustained,
            calibration_pairs=arguments.calibrate,
        )
    except ValueError as error:
        raise InputError(f"{error}; fix the arguments") from None


def _write(arguments: argparse.Namespace, report: "Report") -> None:
    from ..benchmarks.records.report import write_report
    from ..benchmarks.render.tables import markdown
    from ..runtime.files import write_bytes

    if arguments.out:
        write_report(arguments.out, report)
    if arguments.html:
        write_bytes(arguments.html, _page(arguments.model, report))
    if arguments.markdown:
        write_bytes(arguments.markdown, markdown(report).encode("utf-8"))


def _page(model: Path, report: "Report") -> bytes:
    from ..benchmarks.render.page import html_page
    from ..export.size.explain import size_breakdown
    from ..runtime.manifest import MANIFEST_NAME

    parts = size_breakdown(model) if model.is_file() or (model / MANIFEST_NAME).is_file() else []
    return html_page(report, parts=parts)


def _print(arguments: argparse.Namespace, report: "Report") -> None:
    from ..benchmarks.records.report import report_mapping
    from ..benchmarks.render.tables import device_table, extra_tables

    if arguments.json:
        print_json(report_mapping(report))
        return
    for device in report.devices:
        for table in (device_table(report, device), *extra_tables(device)):
            print_table(table.title, table.columns, table.rows, table.note)
    if arguments.out:
        print_line(f"report: {arguments.out}")


def _exit_code(report: "Report") -> int:
    if any(device.interrupted for device in report.devices):
        return 130
    if any(not replay.passed for device in report.devices for replay in device.golden):
        return 1
    return 3 if report.unavailable else 0
