"""List the device profiles, and say which of them can be measured from this machine and how.

A board is emulated by name, the mode chosen by itself: ARM boards under qemu, x86 boards as this machine held to their
limits. The mode can be named, and a real board is reached by ssh:

examples:
  pocketrank devices --setup qemu
  pocketrank benchmark BUNDLE --device raspberry-pi-4            # the best mode from here
  pocketrank benchmark BUNDLE --device qemu:raspberry-pi-4       # runs? same vectors? how many instructions?
  pocketrank benchmark BUNDLE --device cgroup:raspberry-pi-4     # this machine, held to cores, clock and memory
  pocketrank benchmark BUNDLE --device ssh://pi@192.168.1.20     # the board itself
"""

import argparse
from typing import TYPE_CHECKING

from .output import make_progress, print_json, print_line, print_table

if TYPE_CHECKING:
    from ..devices.profile import Profile


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", help="show the facts of one device, with their sources")
    parser.add_argument("--setup", choices=("qemu",), help="make ARM emulation ready (about 80 MB, cached)")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else")


def execute(arguments: argparse.Namespace) -> int:
    """Print the profiles, or set up what measures them."""
    from ..devices.profile import profile_names, read_profile

    if arguments.setup:
        _set_up(arguments.json)
    elif arguments.name:
        _print_facts(read_profile(arguments.name), arguments.json)
    else:
        _print_list([read_profile(name) for name in profile_names()], arguments.json)
    return 0


def _set_up(as_json: bool) -> None:
    from ..devices.emulation.setup import set_up
    from ..runtime.schema import to_mapping

    setup = set_up(make_progress(as_json))
    if as_json:
        print_json(to_mapping(setup))
    else:
        wheels = ", ".join(f"{name} {version}" for name, version in sorted(setup.wheels.items()))
        print_line(f"qemu {setup.qemu_version}, Python {setup.python} for ARM, {wheels}")


def _print_facts(profile: "Profile", as_json: bool) -> None:
    from ..devices.profile import facts
    from ..runtime.units import format_quantity

    if as_json:
        print_json(facts(profile))
        return
    rows = [["system on chip", profile.soc or "-", profile.soc_source or "-"]]
    for core in profile.cores:
        rows.append(["cores", f"{core.count} x {core.model}, {core.megahertz:,.0f} MHz", core.source])
    if profile.memory:
        rows.append(["memory", format_quantity(profile.memory.bytes, "B"), profile.memory.source])
    if profile.power:
        watts = f"{profile.power.idle_watts:g} W idle, {profile.power.active_watts:g} W all cores busy"
        rows.append(["power", watts, profile.power.source])
    print_table(profile.title, ["fact", "value", "source"], rows, profile.notes)


def _print_list(profiles: "list[Profile]", as_json: bool) -> None:
    from ..devices.profile import facts
    from ..devices.targets.open import readiness
    from ..runtime.units import format_quantity

    entries, rows = [], []
    for profile in profiles:
        ready, how = readiness(profile)
        entries.append({**facts(profile), "ready": ready, "how": how})
        cores = " + ".join(f"{core.count} x {core.model}" for core in profile.cores) or "-"
        memory = format_quantity(profile.memory.bytes, "B") if profile.memory else "-"
        watts = f"{profile.power.idle_watts:g} … {profile.power.active_watts:g} W" if profile.power else "-"
        measured_by = how if ready else "not yet: " + how.rpartition("; ")[2]
        rows.append([profile.name, profile.title, cores, memory, watts, measured_by])
    if as_json:
        print_json(entries)
    else:
        print_table("devices", ["name", "board", "cores", "memory", "power", "measured by"], rows)
