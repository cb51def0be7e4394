"""Read a board's own power sensor at a steady rate, and write the raw readings down with the time of each.

    (echo '{"source": "pmic", "hertz": 10}'; sleep 20) | python -I power_sampler.py > readings.json

Stands alone (standard library, Python 3.9), so that it can be copied to a board. Nothing is computed here: a reading
is the text or the registers that the sensor gave. Runs as a process of its own beside the worker, between whose timed
calls it never stands; the idle baseline is read by this very process too, so that its own cost is in both.

Sources: `pmic` (Raspberry Pi 5, `vcgencmd pmic_read_adc`), `ina219` (through the kernel's hwmon or iio files, or raw
registers on an I2C bus).
"""

import glob
import json
import os
import select
import subprocess
import sys
import time

DEFAULTS = {"source": "pmic", "seconds": 600.0, "hertz": 10.0, "bus": 1, "address": 0x40}
I2C_SLAVE = 0x0703  # ioctl that chooses the chip, from linux/i2c-dev.h
SHUNT_REGISTER, BUS_REGISTER = 0x01, 0x02
HWMON_FILES = ("power1_input", "in1_input", "curr1_input")
IIO_FILES = ("in_power2_raw", "in_power2_scale", "in_power_raw", "in_power_scale")


def main():
    """Read the request from the first line, then sample until standard input ends or the time is up."""
    request = dict(DEFAULTS, **json.loads(sys.stdin.readline()))
    read = open_source(request)
    readings = []
    begin = time.monotonic()
    step = 1.0 / request["hertz"]
    told = False
    while True:
        now = time.monotonic()
        if now - begin > request["seconds"]:
            break
        # The reading belongs to the middle of the time that it took.
        value = read()
        after = time.monotonic()
        readings.append([(now + after) / 2, value])
        if told:
            break
        if len(readings) == 1:  # an empty line says that there is a sensor and that it was read
            sys.stdout.write("\n")
            sys.stdout.flush()
        # One reading follows the order to stop: it lies after everything that was to be measured.
        told = bool(select.select([sys.stdin], [], [], max(begin + len(readings) * step - after, 0.0))[0])
    sys.stdout.write(json.dumps({"source": request["source"], "readings": readings}) + "\n")


def open_source(request):
    """Return a function that reads once; end with one line when there is no such sensor."""
    if request["source"] == "pmic":
        return pmic
    if request["source"] != "ina219":
        raise SystemExit("unknown source: " + str(request["source"]))
    for pattern, names in (("/sys/class/hwmon/hwmon*", HWMON_FILES), ("/sys/bus/iio/devices/iio:device*", IIO_FILES)):
        for folder in sorted(glob.glob(pattern)):
            if _line(os.path.join(folder, "name")).startswith("ina2"):
                return lambda folder=folder, names=names: files(folder, names)
    return i2c(request["bus"], request["address"])


def pmic():
    """Return what the firmware prints about the rails."""
    try:
        done = subprocess.run(["vcgencmd", "pmic_read_adc"], stdout=subprocess.PIPE, check=False)
    except OSError:
        raise SystemExit("vcgencmd is not installed: only a Raspberry Pi 5 has a power controller to read") from None
    text = done.stdout.decode("ascii", "replace")
    if done.returncode or "=" not in text or "rror" in text:
        raise SystemExit("vcgencmd pmic_read_adc gives nothing here: only a Raspberry Pi 5 has such a controller")
    return text


def files(folder, names):
    """Return the files of a kernel driver that are there, by name."""
    return {name: _line(os.path.join(folder, name)) for name in names if os.path.exists(os.path.join(folder, name))}


def i2c(bus, address):
    """Return a function that reads shunt and bus registers of an INA219 without a kernel driver."""
    import fcntl

    path = f"/dev/i2c-{bus}"
    try:
        device = os.open(path, os.O_RDWR)
        fcntl.ioctl(device, I2C_SLAVE, address)
    except OSError as error:
        problem = f"no INA219: no ina2xx driver under /sys, and {path} at {address:#x} says: {error.strerror}"
        raise SystemExit(problem) from None

    def register(number):
        os.write(device, bytes([number]))
        return int.from_bytes(os.read(device, 2), "big")

    return lambda: {"shunt_register": register(SHUNT_REGISTER), "bus_register": register(BUS_REGISTER)}


def _line(path):
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.readline().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
