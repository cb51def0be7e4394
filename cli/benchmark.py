"""Measure latency, memory, cold start and energy of a bundle or of any ONNX embedding model.

Every model runs in fresh processes; with --with, models take turns, so that ratios hold on a noisy machine.

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
    parser.add_argument(
        "--device",
        action="append",
        metavar="NAME",
        help="NAME of `pocketrank devices`, qemu:NAME, cgroup:NAME, or ssh://user@host[:port] (default: host)",
    )
    parser.add_argument("--texts", type=Path, metavar="FILE", help="queries: a text or JSONL file, or a BEIR folder")
    parser.add_argument("--repetitions", type=int, default=7, metavar="N", help="processes a model (default: 7)")
    parser.add_argument(
        "--min-seconds", type=float, default=1.0, metavar="S", help="timed region, at least (default: 1)"
    )
    parser.add_argument("--min-queries", type=int, default=300, metavar="N", help="queries in it (default: 300)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of ONNX Runtime (default: 1)")
    parser.add_argument(
        "--energy",
        default="auto",
        metavar="SOURCE",
        help="auto (the best one at hand), rapl, pmic (Raspberry Pi 5), ina219, meter, codecarbon, profile-model, none",
    )
    parser.add_argument(
        "--meter", type=Path, metavar="FILE.csv", help="energy from what a bench meter is recording into this file"
    )
    parser.add_argument(
        "--calibrate",
        type=int,
        default=0,
        metavar="N",
        help="measure the model beside itself too, N pairs, and keep the device's own noise for relative limits",
    )
    parser.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="AXIS=N,N",
        help="vary threads, length (tokens) or batch (texts), one at a time",
    )
    parser.add_argument(
        "--sustained", type=float, default=0.0, metavar="S", help="keep each model busy for S seconds and watch"
    )
    parser.add_argument(
        "--overhead",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the harness itself too, with an empty model (default: yes)",
    )
    parser.add_argument("--python", default="", metavar="PATH", help="ssh: an interpreter on the board, with libraries")
    parser.add_argument("--keep", action="store_true", help="ssh: leave the environment on the board for the next run")
    parser.add_argument("--ssh-config", type=Path, metavar="FILE", help="ssh: instead of your own configuration")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report, raw samples included")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as one HTML page")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report as Markdown")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else")


def execute(arguments: argparse.Namespace) -> int:
    """Measure, print, and write the report.

    Returns 1 when golden vectors differ on a device, 3 when one is missing, 130 when it was interrupted.
    """
    from ..benchmarks.measure.calibration import calibrated, check_pairs
    from ..benchmarks.measure.energy import check_source
    from ..benchmarks.measure.model_files import bundle_measurements, find_model, quality_measurements, require_runtime
    from ..benchmarks.measure.query_texts import BUILT_IN, read_texts
    from ..benchmarks.measure.run import MeasureSettings, measure
    from ..benchmarks.measure.sweep import parse_sweeps
    from ..benchmarks.records.report import write_report
    from ..benchmarks.render.page import require_jinja2
    from ..benchmarks.render.tables import device_table, extra_tables, markdown
    from ..devices.targets.base import BoardOptions
    from ..devices.targets.open import check_devices
    from ..runtime.errors import InputError
    from ..runtime.files import write_bytes
    from ..runtime.schema import to_mapping

    if arguments.html:
        require_jinja2()  # before minutes of measuring
    devices = arguments.device or ["host"]
    check_devices(devices)
    energy = f"meter:{arguments.meter}" if arguments.meter else arguments.energy
    check_source(energy)
    if arguments.calibrate:
        check_pairs(arguments.calibrate)
    if "host" in devices:
        for path in (arguments.model, *arguments.others):
            require_runtime(path)
    models = [find_model(path) for path in (arguments.model, *arguments.others)]
    texts = read_texts(arguments.texts) if arguments.texts else BUILT_IN
    try:
        settings = MeasureSettings(
            repetitions=arguments.repetitions,
            min_seconds=arguments.min_seconds,
            min_queries=arguments.min_queries,
            threads=arguments.threads,
            energy=energy,
            overhead=arguments.overhead,
            sweeps=parse_sweeps(arguments.sweep),
            sustained_seconds=arguments.sustained,
        )
    except ValueError as error:
        raise InputError(f"{error}; fix the arguments") from None
    progress = make_progress(arguments.json)
    options = BoardOptions(arguments.python, arguments.keep, arguments.ssh_config)
    report = measure(
        models,
        devices,
        settings,
        texts,
        progress,
        text_source=arguments.texts.name if arguments.texts else "built-in questions",
        bundle=bundle_measurements(arguments.model),
        quality=quality_measurements(arguments.model),
        options=options,
    )
    interrupted = any(device.interrupted for device in report.devices)
    if arguments.calibrate and not interrupted:
        report = calibrated(report, models[0], devices, arguments.calibrate, settings, texts, progress, options)
    if arguments.out:
        write_report(arguments.out, report)
    if arguments.html:
        write_bytes(arguments.html, _page(arguments.model, report))
    if arguments.markdown:
        write_bytes(arguments.markdown, markdown(report).encode("utf-8"))
    if arguments.json:
        print_json(to_mapping(report))
    else:
        for device in report.devices:
            table = device_table(report, device)
            print_table(table.title, table.columns, table.rows, table.note)
            for extra in extra_tables(device):
                print_table(extra.title, extra.columns, extra.rows, extra.note)
        if arguments.out:
            print_line(f"report: {arguments.out}")
    if interrupted:
        return 130
    if any(not replay.passed for device in report.devices for replay in device.golden):
        return 1
    return 3 if report.unavailable else 0


def _page(model: Path, report: "Report") -> bytes:
    from ..benchmarks.render.page import html_page
    from ..export.size.explain import size_breakdown
    from ..runtime.manifest import MANIFEST_NAME

    parts = size_breakdown(model) if model.is_file() or (model / MANIFEST_NAME).is_file() else []
    return html_page(report, parts=parts)
