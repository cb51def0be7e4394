"""Device profiles: strict, complete, every fact with its source."""

import pytest
from pocketrank.devices.profile import load_profile, profile_names, read_profile
from pocketrank.runtime.errors import InputError

BOARDS = {"raspberry-pi-zero-2-w", "raspberry-pi-3b-plus", "raspberry-pi-4", "raspberry-pi-5", "x86-n100"}


def test_the_boards_that_people_own_are_there():
    assert BOARDS | {"android-low", "android-mid", "host"} <= set(profile_names())


@pytest.mark.parametrize("name", profile_names())
def test_every_fact_has_a_source(name):
    profile = read_profile(name)
    if profile.architecture == "host":
        return
    assert profile.soc_source.startswith("https://")
    assert profile.cores
    assert all(core.source.startswith("https://") for core in profile.cores)
    assert profile.memory is None or profile.memory.source.startswith("https://")
    assert profile.power is None or profile.power.source.startswith("https://")
    clocks = [core.megahertz for core in profile.cores]
    assert clocks == sorted(clocks, reverse=True)
    if profile.architecture == "aarch64":
        assert profile.cores[0].qemu_cpu.startswith("cortex-")
        assert profile.cores[0].part.startswith("0xd")


def test_unknown_names_get_the_nearest():
    with pytest.raises(InputError, match="there is no device 'raspberry-pi-4b'; did you mean 'raspberry-pi-4'"):
        read_profile("raspberry-pi-4b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('title = "x"\n', "the key 'architecture' is missing"),
        ('title = "x"\narchitecture = "mips"\n', "is not one of 'aarch64', 'x86_64', 'host'"),
        ('title = "x"\narchitecture = "host"\nsock = ""\n', "unknown key 'sock'; did you mean 'soc'"),
        (
            'title = "x"\narchitecture = "host"\n[power]\nidle_watts = 3\nactive_watts = 2\nsource = "s"\n',
            "idle_watts must be positive and below active_watts",
        ),
        (
            'title = "x"\narchitecture = "host"\n[power]\nidle_watts = 1\nactive_watts = 2\nsource = ""\n',
            "power has an empty source",
        ),
        (
            'title = "x"\narchitecture = "host"\n[[cores]]\nmodel = "c"\ncount = -3\nmegahertz = 1\nsource = "s"\n',
            "board.toml: cores[0].count = -3 must be at least 1",
        ),
        (
            'title = "x"\narchitecture = "host"\n[power]\nidle_watts = 1\nactive_watts = nan\nsource = "s"\n',
            "power.active_watts = nan must be a finite number",
        ),
        ('name = "y"\ntitle = "x"\narchitecture = "host"\n', "differs from the file's name"),
    ],
)
def test_profiles_are_read_strictly(text, message, tmp_path):
    path = tmp_path / "board.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_profile(path)
    assert message in str(caught.value)


def test_command_line_lists_devices(pocketrank):
    done = pocketrank("devices")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in BOARDS)
    one = pocketrank("devices", "raspberry-pi-3b-plus")
    assert "5.6 W all cores busy" in " ".join(one.stdout.split())
    wrong = pocketrank("devices", "raspberry-pi-7")
    assert wrong.returncode == 2
    assert "did you mean" in wrong.stderr
