"""One measured process: load a tokenizer and an ONNX embedding model, turn texts into vectors, report what it cost.

    python -I worker.py < request.json > result.json

This file stands alone (standard library, numpy, tokenizers and onnxruntime), so that it can be copied to a board and
run there by any Python from 3.9 on. Run it with `-I`: its folder must not shadow modules of the standard library.

The request is one JSON object, see `DEFAULTS`. The environment variable `POCKETRANK_SPAWNED` may hold the moment, on
the monotonic clock, at which the process was started; without it the start of the process is read from `/proc` with
the resolution of the kernel's tick. `POCKETRANK_PARENT` may hold the number of the process that started it: this one
ends with that one. The result holds raw samples only; nothing is judged or averaged here.
"""

import time

_FIRST_LINE = time.monotonic()

import array  # noqa: E402
import base64  # noqa: E402
import contextlib  # noqa: E402
import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import zlib  # noqa: E402

# onnxruntime reports usage by default since 1.29; the thread pools of the others are pinned to one thread unless the
# request asks for more, because a second thread on a busy machine measures the scheduler.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

VCGENCMD = ("/usr/bin/vcgencmd", "/opt/vc/bin/vcgencmd")
DEFAULTS = {
    "onnx": "",  # path of the model
    "tokenizer": "",  # path of tokenizer.json
    "max_length": 256,  # tokens, special tokens included
    "output": "",  # name of the output to take; empty: sentence_embedding, else the first one
    "prompt": "",  # put in front of every text
    "threads": 1,
    "texts": [],
    "warmup": 20,  # untimed queries
    "min_seconds": 2.0,  # the timed region ends when it lasted this long ...
    "min_queries": 300,  # ... and held this many queries, in whole rounds over the texts ...
    "max_seconds": 120.0,  # ... or when this time is up
    "idle_seconds": 0.0,  # idle window before the timed region, for energy counters
    "batch": 1,  # texts in one call of the model; times are those of a whole batch
    "sustained_seconds": 0.0,  # afterwards, keep going for so long in windows of `window_seconds`
    "window_seconds": 1.0,
    "vectors": 0,  # return the vectors and token ids of this many texts
    "marks": False,  # call getppid() around the timed region, for an instruction counter outside
}


def measure(request):
    """Run one request and return the result as a dict of plain values. Times in seconds unless the name says ns."""
    config = dict(DEFAULTS, **request)
    unknown = sorted(set(config) - set(DEFAULTS))
    if unknown:
        raise SystemExit("unknown keys in the request: " + ", ".join(unknown))
    texts = [config["prompt"] + text for text in config["texts"]]
    if not texts:
        raise SystemExit("the request holds no texts")
    phases, memory = {"interpreter": _seconds_since_spawn()}, {}
    memory["interpreter"] = read_memory()

    model, facts = load(config, phases, memory)
    end_with_parent()

    begin = time.monotonic()
    vector = model.encode(texts[0])[1]
    phases["first"] = time.monotonic() - begin
    memory["first"] = read_memory()

    for index in range(config["warmup"]):
        model.encode(texts[index % len(texts)])
    energy = _Energy(config["idle_seconds"])
    before = conditions()
    energy.start()
    queries = timed_queries(model, texts, config)
    energy.stop()
    after = conditions()
    windows = sustained_windows(model, texts, config) if config["sustained_seconds"] > 0 else []
    gc.collect()
    memory["settled"] = read_memory()
    result = {
        "phases": phases,
        "memory": memory,
        "peak_rss": _status_bytes("VmHWM"),
        "queries": queries,
        "tokens": [len(model.tokenize(text)) for text in texts],
        "dimension": len(vector),
        "conditions": {"before": before, "after": after},
        "energy": energy.readings,
        "windows": windows,
        "machine": machine(),
    }
    result.update(facts)
    if config["vectors"]:
        pairs = [model.encode(text) for text in texts[: config["vectors"]]]
        result["ids"] = [[int(number) for number in ids] for ids, _ in pairs]
        result["vectors"] = [[float(number) for number in vector] for _, vector in pairs]
    return result


def end_with_parent():
    """Have the kernel end this process as soon as the one that started it ends, killed or not.

    Called after the imports: numpy has loaded ctypes by then. Whether the parent is still there is not asked by
    getppid(), which is a mark for the instruction counter.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import ctypes

        ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL; Linux alone has it
    parent = os.environ.get("POCKETRANK_PARENT")
    if parent and _status("PPid") not in (None, int(parent)):
        raise SystemExit("the process that started this one has ended")


def load(config, phases, memory):
    """Import the libraries, open tokenizer and model; return (model, facts).

    Fills `phases` with seconds and `memory` with readings.
    """
    begin = time.monotonic()
    import numpy
    import onnxruntime
    import tokenizers

    phases["import"] = time.monotonic() - begin
    memory["import"] = read_memory()

    begin = time.monotonic()
    tokenizer = tokenizers.Tokenizer.from_file(config["tokenizer"])
    tokenizer.no_padding()
    tokenizer.enable_truncation(config["max_length"])
    phases["tokenizer"] = time.monotonic() - begin
    memory["tokenizer"] = read_memory()

    begin = time.monotonic()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A pool that spins between queries would burn the CPU time that is measured here.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(config["onnx"], options, providers=["CPUExecutionProvider"])
    phases["session"] = time.monotonic() - begin
    memory["session"] = read_memory()

    outputs = [output.name for output in session.get_outputs()]
    wanted = config["output"] or ("sentence_embedding" if "sentence_embedding" in outputs else outputs[0])
    if wanted not in outputs:
        raise SystemExit(f"the model has no output {wanted!r} (it has: {', '.join(outputs)})")
    model = Model(numpy, tokenizer, session, wanted)
    versions = {module.__name__: module.__version__ for module in (numpy, onnxruntime, tokenizers)}
    return model, {"output": wanted, "libraries": versions}


class Model:
    """A tokenizer and a session; one text at a time."""

    def __init__(self, numpy, tokenizer, session, output):
        self.numpy, self.tokenizer, self.session, self.outputs = numpy, tokenizer, session, [output]
        self.feeds = [_feed(numpy, value) for value in session.get_inputs()]

    def tokenize(self, text):
        """Return the token ids of a text."""
        return self.tokenizer.encode(text).ids

    def embed(self, ids):
        """Return the vector of a list of token ids."""
        row = self.numpy.array([ids], dtype=self.numpy.int64)
        mask = self.numpy.ones(row.shape, dtype=self.numpy.int64)
        (output,) = self.session.run(self.outputs, {name: make(row, mask) for name, make in self.feeds})
        return _pool(self.numpy, output)

    def embed_batch(self, lists):
        """Run lists of token ids in one call, padded to the longest; the output is left as the model gives it."""
        longest = max(len(ids) for ids in lists)
        rows = self.numpy.zeros((len(lists), longest), dtype=self.numpy.int64)
        mask = self.numpy.zeros_like(rows)
        for index, ids in enumerate(lists):
            rows[index, : len(ids)] = ids
            mask[index, : len(ids)] = 1
        self.session.run(self.outputs, {name: make(rows, mask) for name, make in self.feeds})

    def encode(self, text):
        """Return (token ids, vector) of a text."""
        ids = self.tokenize(text)
        return ids, self.embed(ids)


def _feed(numpy, value):
    """Return (name, function from token ids and mask to the array that this input of the model wants)."""
    kinds = {"tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32}
    name = value.name
    if value.type not in kinds:
        raise SystemExit(f"input {name!r} of the model is {value.type}; only integer inputs are known")
    kind = kinds[value.type]
    if "position" in name:
        return name, lambda rows, mask: numpy.arange(rows.shape[1], dtype=kind)[None].repeat(len(rows), axis=0)
    if "type" in name or "segment" in name:
        return name, lambda rows, mask: numpy.zeros(rows.shape, dtype=kind)
    if "mask" in name:
        return name, lambda rows, mask: mask.astype(kind, copy=False)
    if "ids" in name or name in ("input", "tokens"):
        return name, lambda rows, mask: rows.astype(kind, copy=False)
    raise SystemExit(f"input {name!r} of the model is none of: token ids, attention mask, token types, positions")


def _pool(numpy, output):
    """Return one vector: a pooled output as it is, token outputs as their normalised mean."""
    if output.ndim == 2:
        return output[0]
    mean = output[0].mean(axis=0)
    return mean / max(float(numpy.sqrt((mean * mean).sum())), 1e-12)


def timed_queries(model, texts, config):
    """Time queries one by one, from text to vector; return counts, wall and CPU seconds, and packed samples."""
    now = time.perf_counter_ns
    total, tokenizing = array.array("Q"), array.array("Q")
    tokenize, embed = model.tokenize, model.embed
    if config["batch"] > 1:
        texts = _batches(texts, config["batch"])
        embed = model.embed_batch

        def tokenize(batch):
            return [model.tokenize(text) for text in batch]

    if config["marks"]:
        gc.collect()
        gc.freeze()  # a full collection looks at every object of the libraries: in one run it comes, in the next not
        os.getppid()
    cpu = time.process_time_ns()
    begin = now()
    least, most = begin + int(config["min_seconds"] * 1e9), begin + int(config["max_seconds"] * 1e9)
    stop, done = begin, False
    while not done:
        for text in texts:
            start = now()
            ids = tokenize(text)
            middle = now()
            embed(ids)
            stop = now()
            total.append(stop - start)
            tokenizing.append(middle - start)
            if stop >= most:
                break
        done = stop >= most or (stop >= least and len(total) >= config["min_queries"])
    wall = now() - begin
    cpu = time.process_time_ns() - cpu
    if config["marks"]:
        os.getppid()
    return {
        "count": len(total),
        "wall": wall / 1e9,
        "cpu": cpu / 1e9,
        "latency_ns": pack(total),
        "tokenize_ns": pack(tokenizing),
    }


def _batches(texts, size):
    """Return whole batches, going round over the texts until all of them were taken."""
    count = -(-len(texts) // size)
    return [[texts[(start * size + index) % len(texts)] for index in range(size)] for start in range(count)]


def sustained_windows(model, texts, config):
    """Time queries in one window after the other; clock, heat and throttling are read between two windows."""
    began = time.monotonic()
    least = {"min_seconds": config["window_seconds"], "min_queries": 1, "marks": False}
    settings, windows = dict(config, **least), []
    while time.monotonic() - began < config["sustained_seconds"]:
        start = time.monotonic() - began
        queries = timed_queries(model, texts, settings)
        windows.append(dict(queries, start=start, conditions=conditions()))
    return windows


def pack(values):
    """Return whole numbers as text: little-endian unsigned 64 bit, deflated, base64."""
    numbers = array.array("Q", values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(zlib.compress(numbers.tobytes(), 9)).decode("ascii")


def read_memory():
    """Return resident, proportional and private bytes of this process from the kernel's counters."""
    names = {"Rss": "rss", "Pss": "pss", "Private_Clean": "private", "Private_Dirty": "private"}
    memory = {}
    try:
        with open("/proc/self/smaps_rollup", encoding="ascii", errors="replace") as stream:
            for line in stream:
                name, _, rest = line.partition(":")
                if name in names:
                    memory[names[name]] = memory.get(names[name], 0) + int(rest.split()[0]) * 1024
    except OSError:  # kernels before 4.14, and user emulation
        rss = _status_bytes("VmRSS")
        if rss is not None:
            memory["rss"] = rss
    return memory


def _status_bytes(name):
    kilobytes = _status(name)
    return None if kilobytes is None else kilobytes * 1024


def _status(name):
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
            for line in stream:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
    except OSError:
        return None
    return None


def _seconds_since_spawn():
    """Return the seconds from the start of the process to this file's first line, or None when nobody knows."""
    spawned = os.environ.get("POCKETRANK_SPAWNED")
    if spawned:
        return max(_FIRST_LINE - float(spawned), 0.0)
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as stream:
            ticks = int(stream.read().rpartition(")")[2].split()[19])
        offset = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        return max(_FIRST_LINE + offset - ticks / os.sysconf("SC_CLK_TCK"), 0.0)
    except (OSError, AttributeError, ValueError, IndexError):
        return None


def conditions():
    """Return what may disturb a measurement, read outside the timed region: load, clocks, temperature, switches."""
    state = dict.fromkeys(("load", "megahertz", "celsius", "throttled", "steal_ticks", "switches", "major_faults"))
    state["megahertz"] = _largest("/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq", os.cpu_count() or 1)
    state["celsius"] = _largest("/sys/class/thermal/thermal_zone{}/temp", 16)
    state["throttled"] = _throttled()
    if hasattr(os, "getloadavg"):
        with contextlib.suppress(OSError):
            state["load"] = os.getloadavg()[0]
    fields = _read_line("/proc/stat").split()
    if len(fields) > 8 and fields[0] == "cpu":
        state["steal_ticks"] = int(fields[8])
    with contextlib.suppress(ImportError):
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        state["switches"], state["major_faults"] = usage.ru_nivcsw, usage.ru_majflt
    return state


def _largest(path, count):
    """Return the largest number in the files of this path, numbered from 0, in thousands; None where there is none."""
    texts = [_read_line(path.format(number)) for number in range(count)]
    return max((int(text) / 1000 for text in texts if text.lstrip("-").isdigit()), default=None)


def _throttled():
    """Return the throttle bits of a Raspberry Pi's firmware, or None: from the kernel, else from vcgencmd."""
    text = _read_line("/sys/devices/platform/soc/soc:firmware/get_throttled")
    if not text:
        tool = next((path for path in VCGENCMD if os.access(path, os.X_OK)), None)
        if tool is None:
            return None
        import subprocess  # only here: it would weigh on every cold start

        done = subprocess.run([tool, "get_throttled"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        text = done.stdout.decode("ascii", "replace").strip().rpartition("=")[2]  # throttled=0x50005
    try:
        return int(text, 16)
    except ValueError:
        return None


def machine():
    """Return what this machine is: the facts that must be equal for two timings to be comparable."""
    system = os.uname()
    facts = {
        "system": system.sysname,
        "kernel": system.release,
        "architecture": system.machine,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "cores": os.cpu_count(),
    }
    if hasattr(os, "sched_getaffinity"):
        facts["usable_cores"] = len(os.sched_getaffinity(0))
    with contextlib.suppress(ValueError, OSError):
        facts["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    facts.update(_processor())
    board = _read_line("/proc/device-tree/model").rstrip("\0")
    if board:
        facts["board"] = board
    governor = _read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor:
        facts["governor"] = governor
    return facts


def _processor():
    """Return what the kernel says about the first core; of its features those that matrix products use."""
    keys = {"model name": "cpu", "Model": "board", "Hardware": "hardware", "CPU part": "cpu_part"}
    keys.update({"CPU implementer": "cpu_implementer", "flags": "isa", "Features": "isa"})
    facts = {}
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            name, _, value = line.partition(":")
            key = keys.get(name.strip())
            if key:
                facts.setdefault(key, value.strip())
    flags = facts.pop("isa", "").split()
    facts["virtual"] = "hypervisor" in flags
    relevant = ("avx", "fma", "amx", "asimd", "sve", "i8mm", "bf16", "fphp", "f16c")
    facts["isa"] = " ".join(sorted({flag for flag in flags if flag.startswith(relevant)}))
    return facts


def _read_line(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.readline().strip()
    except OSError:
        return ""


class _Energy:
    """Cumulative energy counters of the processor package, read right before and after the timed region."""

    root = "/sys/class/powercap"

    def __init__(self, idle_seconds):
        self.zones = self._find()
        self.readings = {}
        if self.zones and idle_seconds > 0:
            before = self._read()
            time.sleep(idle_seconds)
            self.readings["idle"] = self._difference(before, idle_seconds)

    def start(self):
        if self.zones:
            self._began, self._before = time.monotonic(), self._read()

    def stop(self):
        if self.zones:
            self.readings["active"] = self._difference(self._before, time.monotonic() - self._began)

    def _find(self):
        zones = {}
        try:
            names = sorted(os.listdir(self.root))
        except OSError:
            return zones
        for name in names:
            folder = os.path.join(self.root, name)
            # Packages only (intel-rapl:0): their sub-zones are parts of the same energy.
            if name.count(":") == 1 and os.access(os.path.join(folder, "energy_uj"), os.R_OK):
                zones[_read_line(os.path.join(folder, "name")) + "@" + name] = folder
        return zones

    def _read(self):
        return {name: int(_read_line(os.path.join(folder, "energy_uj"))) for name, folder in self.zones.items()}

    def _difference(self, before, seconds):
        joules = {}
        for name, value in self._read().items():
            microjoules = value - before[name]
            if microjoules < 0:  # the counter wrapped around
                microjoules += int(_read_line(os.path.join(self.zones[name], "max_energy_range_uj")))
            joules[name] = microjoules / 1e6
        return {"seconds": seconds, "joules": joules}


def main():
    """Read the request from standard input, write the result to standard output."""
    sys.stdout.write(json.dumps(measure(json.load(sys.stdin))) + "\n")


if __name__ == "__main__":
    main()
