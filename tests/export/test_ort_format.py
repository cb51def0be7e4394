"""Files for ONNX Runtime Mobile: the same vectors, the same bytes at each run, and operators that are known."""

import subprocess
import sys

import numpy as np
import pytest
from builders.small_student import small_model
from pocketrank.export.graph.ort_format import canonical, to_ort_format
from pocketrank.export.graph.schemes import FP32, make_plan
from pocketrank.export.graph.weights import read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.runtime.encoder import open_session
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.graph_reader import read_graph
from pocketrank.runtime.required_operators import required_operators

PLANS = {
    "fp32": FP32,
    "int7-exact": make_plan("int8", "int7-exact"),
    "int7": make_plan("int8", "int7"),
    "int4": make_plan("int4", "int4"),
}
# In a process of its own: the order in which the runtime writes depends on memory addresses and random seeds.
AGAIN = """
import sys
from pathlib import Path
from pocketrank.export.graph.ort_format import to_ort_format
Path(sys.argv[2]).write_bytes(to_ort_format(Path(sys.argv[1]).read_bytes()).model)
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("student")
    small_model(folder)
    return read_weights(folder)


@pytest.mark.parametrize("name", PLANS)
def test_the_mobile_file_gives_the_same_vectors_and_the_same_bytes(weights, name, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(write_graph(weights, PLANS[name]))
    files = to_ort_format(path.read_bytes())
    (tmp_path / "model.ort").write_bytes(files.model)
    one, two = open_session(path), open_session(tmp_path / "model.ort")
    for length in (1, 7, 64):
        ids = np.arange(2, 2 + 2 * length).reshape(2, length) % 200
        mask = np.ones_like(ids)
        mask[1, length // 2 + 1 :] = 0
        inputs = {"input_ids": ids, "attention_mask": mask}
        for expected, found in zip(one.run(None, inputs), two.run(None, inputs), strict=True):
            assert np.abs(expected - found).max() < 1e-5
    subprocess.run([sys.executable, "-c", AGAIN, path, tmp_path / "again.ort"], check=True, timeout=60)
    assert (tmp_path / "again.ort").read_bytes() == files.model
    assert canonical(files.model) == files.model
    required = set(required_operators(files.operators.decode()))
    assert required <= set(read_graph(path).operators)  # with 4-bit layers constants are folded: fewer are left
    assert "com.microsoft:MultiHeadAttention" in required
    assert str(tmp_path) not in files.operators.decode()


def test_another_file_is_refused():
    with pytest.raises(InputError, match="not a file in ORT format"):
        canonical(b"\x08\x00\x00\x00ONNX" + bytes(64))
