"""A server of embeddings as teacher: real requests to a real server on this machine."""

import json
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import small_models
from builders.embedding_server import EmbeddingServer, Encode, serve_teacher
from builders.processes import FORKED
from builders.tiny_run import write_home
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.runner import check_recipe, run_recipe
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.stages import STAGES
from pocketrank.pipeline.teacher.endpoint.admission import TEXTS
from pocketrank.pipeline.teacher.load import Surroundings, load_teacher
from pocketrank.runtime.errors import InputError, UnavailableError

SECRET = "sk-abc123-not-to-be-seen"
HELLO = ["hello world", "merge two sorted lists", "", "open a network connection " * 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.make_teacher(tmp_path_factory.mktemp("endpoint") / "teacher")


@pytest.fixture(scope="module")
def encode(folder: Path) -> Encode:
    teacher = load_teacher(TeacherSettings(model=str(folder)))
    return lambda texts: teacher.encode(texts, "document")


def settings(server: EmbeddingServer, path: str = "", **changes: Any) -> TeacherSettings:
    return TeacherSettings(**({"model": server.address + path, "endpoint_patience": 20, "workers": 1} | changes))


@pytest.mark.parametrize("path", ["", "/v1", "/v1/embeddings", "/embed"])
def test_vectors_are_those_of_the_model_behind_it(encode: Encode, path: str) -> None:
    with EmbeddingServer(encode) as server:
        teacher = load_teacher(settings(server, path))
        found = teacher.encode(HELLO, "query")
    wanted = encode([text or "." for text in HELLO])
    assert np.abs(found - wanted).max() < 1e-6
    assert teacher.dimension == 32 and teacher.first is None
    if path != "/embed":
        assert all(body["encoding_format"] == "base64" for body in server.requests)


def test_a_server_that_only_speaks_in_floats(encode: Encode) -> None:
    with EmbeddingServer(encode) as server:
        server.floats_only = True
        found = load_teacher(settings(server)).encode(HELLO[:2])
    assert np.abs(found - encode(HELLO[:2])).max() < 1e-6


def test_prompts_go_in_front_and_texts_are_cut(encode: Encode) -> None:
    with EmbeddingServer(encode) as server:
        teacher = load_teacher(settings(server, query_prompt="query: ", document_prompt="passage: ", max_length=32))
        teacher.encode(["one"], "query")
        teacher.encode(["one", "word " * 500], "document")
    assert {"query: one", "passage: one"} <= set(server.answered)
    assert max(map(len, set(server.answered) - set(TEXTS))) < 1100
    (long,) = [text for text in server.answered if text.startswith("passage: word")]
    assert len(long) == 120  # 30 tokens of four letters, and two
    assert not teacher.same_for_both_roles


def test_texts_are_asked_in_batches_of_tokens(encode: Encode) -> None:
    texts = [f"word number {number} " * (1 + number % 5) for number in range(40)]
    with EmbeddingServer(encode) as server:
        teacher = load_teacher(settings(server, endpoint_texts=8, batch_tokens=60))
        before = len(server.requests)
        found = teacher.encode(texts)
    batches = [body["input"] for body in server.requests[before:]]
    assert max(map(len, batches)) <= 8
    assert all(len(batch) == 1 or sum(teacher.lengths(batch, "document")) <= 60 for batch in batches)
    assert sorted(text for batch in batches for text in batch) == sorted(texts)
    assert (found * encode(texts)).sum(1).min() > 0.9999


def test_answered_texts_are_never_asked_for_again(encode: Encode, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(32)]  # whole requests of 4, whichever file is damaged
    with EmbeddingServer(encode) as server:
        first = load_teacher(settings(server, endpoint_texts=4), Surroundings(tmp_path)).encode([*texts, *texts])
        assert {server.answered[text] for text in texts} == {1}
        again = load_teacher(settings(server, endpoint_texts=4), Surroundings(tmp_path))
        assert np.array_equal(again.encode(texts, "query"), first[:32])
        assert {server.answered[text] for text in texts} == {1}
        damaged = sorted(tmp_path.rglob("*.answer"))[0]
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
        assert np.allclose(
            load_teacher(settings(server, endpoint_texts=4), Surroundings(tmp_path)).encode(texts),
            first[:32],
            atol=1e-6,
        )
        assert sum(server.answered[text] == 2 for text in texts) == 4


def test_another_model_behind_the_same_address_is_refused(encode: Encode, tmp_path: Path) -> None:
    with EmbeddingServer(encode) as server:
        load_teacher(settings(server), Surroundings(tmp_path)).encode(["one"])
        turn = np.linalg.qr(np.random.default_rng(0).standard_normal((32, 32)))[0].astype(np.float32)
        server.encode = lambda texts: encode(texts) @ turn
        with pytest.raises(InputError, match="answers otherwise than when the answers"):
            load_teacher(settings(server), Surroundings(tmp_path))


def test_a_busy_server_is_asked_again_when_it_says(encode: Encode) -> None:
    with EmbeddingServer(encode) as server:
        teacher = load_teacher(settings(server))
        server.failures = [(429, {"Retry-After": "1"}), (503, {}), (500, {})]
        started = time.monotonic()
        found = teacher.encode(["hello world"])
        assert time.monotonic() - started > 1.0  # what it asked for, which is more than the first pause of ours
    assert np.abs(found - encode(["hello world"])).max() < 1e-6


def test_no_more_requests_a_minute_than_allowed(encode: Encode) -> None:
    with EmbeddingServer(encode) as server:
        teacher = load_teacher(settings(server, requests_per_minute=1200, endpoint_texts=1, workers=4))
        started = time.monotonic()
        teacher.encode([f"text {number}" for number in range(20)])
        assert time.monotonic() - started > 19 * 60 / 1200


@pytest.mark.parametrize("fault", ["key", "redirect", "dead", "busy"])
def test_the_key_is_shown_nowhere(
    fault: str, encode: Encode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TEST_KEY", SECRET)
    with EmbeddingServer(encode, key=SECRET) as server, EmbeddingServer(encode) as elsewhere:
        asked = settings(server, api_key_variable="TEST_KEY", endpoint_patience=0)
        teacher = load_teacher(asked)
        assert SECRET not in json.dumps(teacher.reading) + repr(vars(teacher)) + repr(asked) + teacher.fingerprint
        if fault == "key":
            server.key = "another"
        elif fault == "redirect":
            server.failures = [(307, {"Location": f"{elsewhere.address}/v1/embeddings"})]
        elif fault == "dead":
            server.die_after = 1
        else:
            server.failures = [(503, {})] * 9
        with pytest.raises((InputError, UnavailableError)) as refused:
            teacher.encode(["a text"])
        error: BaseException | None = refused.value
        while error is not None:
            assert SECRET not in str(error)
            error = error.__cause__
        assert not elsewhere.requests and SECRET not in caplog.text
    assert f"Bearer {SECRET}" in server.keys


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": f"http://user:{SECRET}@127.0.0.1:1"}, "holds a key"),
        ({"model": f"http://127.0.0.1:1/v1/embeddings?api_key={SECRET}"}, "holds a key"),
        ({"model": "http://"}, "names no host"),
        ({"model": "http://127.0.0.1:99999999"}, "no address"),
        ({"model": "http://127.0.0.1:1", "api_key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY is empty"),
        ({"model": "http://127.0.0.1:1", "endpoint_patience": 0}, "does not answer after 1 tries"),
    ],
)
def test_wrong_addresses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, UnavailableError), match=message) as refused:
        load_teacher(TeacherSettings(**changes))
    assert SECRET not in str(refused.value)


def test_a_key_with_strange_characters_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", f"{SECRET}\r\nX: y")
    with pytest.raises(InputError, match="TEST_KEY holds no key") as refused:
        load_teacher(TeacherSettings(model="http://127.0.0.1:1", api_key_variable="TEST_KEY"))
    assert SECRET not in str(refused.value)


def faulty(encode: Encode, fault: str) -> Encode:
    rng = np.random.default_rng(0)

    def answer(texts: list[str]) -> np.ndarray:
        vectors = encode([" ".join(text.split()[:6]) for text in texts] if fault == "cut" else texts)
        if fault == "noise":
            vectors = vectors + 0.2 * rng.standard_normal(vectors.shape).astype(np.float32)
        if fault == "batch":
            vectors = vectors + vectors.mean(0)
        if fault == "order":
            vectors = vectors[::-1]
        if fault == "length":
            vectors = 3 * vectors
        if fault == "width" and len(texts) == 1:
            vectors = vectors[:, :-1]
        if fault == "same":
            vectors = np.ones_like(vectors) / np.sqrt(np.float32(vectors.shape[1]))
        if fault == "infinite":
            vectors[0, 0] = np.inf
        if fault == "few":
            vectors = vectors[:-1]
        return vectors

    return answer


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("noise", "when it is asked again .cosine 0"),
        ("batch", "in another batch .cosine 0"),
        ("order", "in another batch .cosine"),
        ("length", "lengths from 3.0000 to 3.0000"),
        ("width", "32 and 31 dimensions|31 and 32 dimensions"),
        ("same", "one vector"),
        ("infinite", "no finite vector"),
        ("few", "31, 32"),
        ("cut", "says that it reads 48 tokens, and after the word"),
    ],
)
def test_a_server_that_cannot_teach_is_refused_with_figures(encode: Encode, fault: str, message: str) -> None:
    info = {"model_id": "tiny", "max_input_length": 48, "model_type": {"embedding": {"pooling": "mean"}}}
    with (
        EmbeddingServer(faulty(encode, fault), info=info) as server,
        pytest.raises(InputError, match=message) as refused,
    ):
        load_teacher(settings(server, "/embed"))
    assert "\n" not in str(refused.value)


def test_what_a_server_says_is_recorded(encode: Encode) -> None:
    info = {"model_id": "tiny", "max_input_length": 48, "model_type": {"embedding": {"pooling": "mean"}}}
    with EmbeddingServer(encode, info=info) as server:
        teacher = load_teacher(settings(server, "/embed"))
    assert (teacher.files.name, teacher.reading["pooling"]) == ("tiny", "mean")
    admission = teacher.reading["endpoint"]["admission"]
    assert admission["asked_twice"] > 0.9999 and admission["other_batches"] > 0.9999
    assert admission["read_words"] == 32  # of 48 tokens, two of them around the text


TEACHER = """\
model = "http://127.0.0.1:1"
endpoint_texts = 8
endpoint_patience = 60
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write_home(tmp_path, TEACHER)


def test_all_stages_with_a_server_as_teacher(home: Path, folder: Path, encode: Encode, monkeypatch: Any) -> None:
    monkeypatch.setenv("TEST_KEY", SECRET)
    with EmbeddingServer(encode, key=SECRET) as server:
        keys = [f"teacher.model={server.address}", "teacher.endpoint_model=tiny", "teacher.api_key_variable=TEST_KEY"]
        resolved = read_recipe(home / "r.toml", keys)
        results = run_recipe(resolved, home / "run")
        assert list(results) == [stage.name for stage in STAGES]
        corpus = {text for text in server.answered if server.answered[text] == 1} - {"one text"}  # of the check before
        record = json.loads((results["teacher"].folder / "teacher.json").read_text())
        assert record["endpoint"]["this_run"]["texts"] == len(corpus)
        assert record["endpoint"]["this_run"]["tokens_counted"] == sum(len(text.split()) + 2 for text in corpus)
        narrow = read_recipe(home / "r.toml", [*keys, "teacher.dimension=12"])
        before = set(server.answered)
        run_recipe(narrow, home / "run", until="teacher")
        assert set(server.answered) == before  # admission alone
    documents = [json.loads(line)["text"] for line in (home / "data" / "corpus.jsonl").read_text().splitlines()]
    found = np.load(results["teacher"].folder / "documents.npy")
    assert (found * encode(documents)).sum(1).min() > 0.9999
    manifest = json.loads((home / "run" / "bundle" / "manifest.json").read_text())
    assert manifest["teacher"]["id"] == "tiny"
    secret = SECRET.encode()
    assert not [path for path in home.rglob("*") if path.is_file() and secret in path.read_bytes()]


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_a_server_that_is_killed_is_asked_only_for_the_rest(home: Path, folder: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "answered.jsonl"

    def start(die_after: int) -> Any:
        process = FORKED.Process(target=serve_teacher, args=(str(folder), port, str(log), die_after), daemon=True)
        process.start()
        for _ in range(6000):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    return process
            time.sleep(0.05)
        raise AssertionError("the server did not start")

    resolved = read_recipe(home / "r.toml", [f"teacher.model=http://127.0.0.1:{port}", "teacher.endpoint_patience=0"])
    first = start(die_after=90)  # after the admissions, in the midst of the texts
    try:
        with pytest.raises(UnavailableError, match="answered texts are kept"):
            run_recipe(resolved, home / "run", until="teacher")
        first.join(300)
        assert first.exitcode == 9
    finally:
        first.kill()
    training = [json.loads(line)["text"] for line in lines_of(home / "run/stages/queries/training.jsonl")]
    count = Counter(map(json.loads, lines_of(log)))
    assert 0 < sum(text in count for text in training) < len(training)
    second = start(die_after=0)
    try:
        run_recipe(resolved, home / "run", until="teacher")
    finally:
        second.kill()
    count = Counter(map(json.loads, lines_of(log)))
    queries = [f"bast {number} goton" for number in range(16)]
    assert {count[text] for text in (*training, *queries)} == {1}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("vocabulary.kind=teacher", "needs the files of the teacher"),
        ("evaluate.baselines=['model2vec']", "needs"),
        ("student.initialise=teacher", "takes the weights of the teacher"),
        ("evaluate.baselines=['teacher-int8']", "takes the weights of the teacher"),
        ("teacher.precision=bf16", "not ours to choose"),
        ("teacher.device=auto", "teacher.device is not ours to choose"),
        ("teacher.dimension=33", "more than the teacher's own 32"),
        ("teacher.ensemble=[{model='./nowhere'}]", r"teacher.ensemble\[0\].model"),
        ("teacher.model=http://127.0.0.1:1 teacher.endpoint_patience=0", "does not answer"),
    ],
)
def test_what_a_server_cannot_give_is_refused_before_the_first_stage(
    override: str, message: str, home: Path, encode: Encode
) -> None:
    with EmbeddingServer(encode) as server:
        resolved = read_recipe(home / "r.toml", [f"teacher.model={server.address}", *override.split()])
        with pytest.raises((InputError, UnavailableError), match=message):
            list(check_recipe(resolved, home / "out"))
    assert not (home / "out").exists()
