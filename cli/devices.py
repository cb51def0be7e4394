"""List the device profiles, and say which of them can be measured from this machine and how.

pocketrank devices
"""

import argparse

from .output import print_json, print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", help="show the facts of one device, with their sources")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else")


def execute(arguments: argparse.Namespace) -> int:
    """Print the profiles."""
    from ..benchmarks.units import format_quantity
    from ..devices.profile import facts, profile_names, read_profile
    from ..devices.target import readiness

    if arguments.name:
        profile = read_profile(arguments.name)
        if arguments.json:
            print_json(facts(profile))
            return 0
        rows = [["system on chip", profile.soc or "-", profile.soc_source or "-"]]
        for core in profile.cores:
            rows.append(["cores", f"{core.count} x {core.model}, {core.megahertz:,.0f} MHz", core.source])
        if profile.memory:
            rows.append(["memory", format_quantity(profile.memory.bytes, "B"), profile.memory.source])
        if profile.power:
            watts = f"{profile.power.idle_watts:g} W idle, {profile.power.active_watts:g} W all cores busy"
            rows.append(["power", watts, profile.power.source])
        print_table(profile.title, ["fact", "value", "source"], rows, profile.notes)
        return 0
    profiles = [read_profile(name) for name in profile_names()]
    if arguments.json:
        print_json([{**facts(one), "ready": readiness(one)[0], "how": readiness(one)[1]} for one in profiles])
        return 0
    rows = []
    for profile in profiles:
        ready, how = readiness(profile)
        cores = " + ".join(f"{core.count} x {core.model}" for core in profile.cores) or "-"
        memory = format_quantity(profile.memory.bytes, "B") if profile.memory else "-"
        watts = f"{profile.power.idle_watts:g} … {profile.power.active_watts:g} W" if profile.power else "-"
        rows.append([profile.name, profile.title, cores, memory, watts, how if ready else "not from here"])
    print_table("devices", ["name", "board", "cores", "memory", "power", "measured by"], rows)
    return 0
