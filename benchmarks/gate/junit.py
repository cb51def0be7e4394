"""The verdict as a JUnit XML file, which continuous-integration servers show as a list of tests."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from ...runtime.files import write_bytes
from ...runtime.progress import visible
from .judge import Check, Verdict


def junit_bytes(verdict: Verdict) -> bytes:
    """Return the XML: one test a limit; a broken limit is a failure, an inconclusive one an error."""
    outcomes = [check.outcome for check in verdict.checks]
    suite = ElementTree.Element(
        "testsuite",
        name=visible(f"pocketrank gate {verdict.subject}"),
        tests=str(len(outcomes)),
        failures=str(outcomes.count("fail")),
        errors=str(outcomes.count("inconclusive")),
    )
    for check in verdict.checks:
        group = f"{check.section}.{check.device}" if check.device else check.section
        case = ElementTree.SubElement(suite, "testcase", classname=visible(group), name=visible(check.metric))
        if check.outcome != "pass":
            tag = "failure" if check.outcome == "fail" else "error"
            problem = ElementTree.SubElement(case, tag, message=visible(check.reason), type=check.outcome)
            problem.text = "\n".join(map(visible, (check.place, check.method, check.advice, *_changed(check))))
        else:
            lines = (check.reason, check.place, *_changed(check))
            ElementTree.SubElement(case, "system-out").text = "\n".join(map(visible, lines))
    ElementTree.indent(suite)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, "utf-8") + b"\n"


def _changed(check: Check) -> Iterator[str]:
    for changed in check.changed:
        before, now = (" | ".join(names) for names in (changed.before, changed.now))
        yield f"{changed.query}: {changed.overlap10:.0%} of ten kept; before: {before}; now: {now}"


def write_junit(path: Path, verdict: Verdict) -> None:
    """Write the XML file, whole or not at all."""
    write_bytes(path, junit_bytes(verdict))
