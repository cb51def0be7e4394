"""The verdict as a JUnit XML file, which continuous-integration servers show as a list of tests."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from ...runtime.files import write_bytes
from .judge import Verdict


def junit_bytes(verdict: Verdict) -> bytes:
    """Return the XML: one test a limit; a broken limit is a failure, an inconclusive one an error."""
    outcomes = [check.outcome for check in verdict.checks]
    suite = ElementTree.Element(
        "testsuite",
        name=f"pocketrank gate {verdict.subject}",
        tests=str(len(outcomes)),
        failures=str(outcomes.count("fail")),
        errors=str(outcomes.count("inconclusive")),
    )
    for check in verdict.checks:
        group = f"{check.section}.{check.device}" if check.device else check.section
        case = ElementTree.SubElement(suite, "testcase", classname=_plain(group), name=_plain(check.metric))
        if check.outcome != "pass":
            tag = "failure" if check.outcome == "fail" else "error"
            problem = ElementTree.SubElement(case, tag, message=_plain(check.reason), type=check.outcome)
            problem.text = _plain(f"{check.place}\n{check.method}\n{check.advice}")
        else:
            ElementTree.SubElement(case, "system-out").text = _plain(f"{check.reason}\n{check.place}")
    ElementTree.indent(suite)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, "utf-8") + b"\n"


def write_junit(path: Path, verdict: Verdict) -> None:
    """Write the XML file, whole or not at all."""
    write_bytes(path, junit_bytes(verdict))


def _plain(text: str) -> str:
    """Return text without the control characters that XML cannot hold."""
    return "".join(character for character in text if character.isprintable() or character == "\n")
