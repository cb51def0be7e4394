"""A server of embeddings for tests: a real teacher behind HTTP, with faults to order."""

import base64
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

Encode = Callable[[list[str]], np.ndarray]


class EmbeddingServer:
    """`/v1/embeddings`, `/embed` and `/info` on a port of this machine."""

    def __init__(self, encode: Encode, key: str = "", port: int = 0, info: dict[str, Any] | None = None) -> None:
        self.encode, self.key, self.info, self.port = encode, key, info or {}, port
        self.answered: Counter[str] = Counter()  # text -> how often its vector was sent
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.failures: list[tuple[int, dict[str, str]]] = []  # answers to the next requests
        self.die_after = 0  # requests; 0: never
        self.floats_only = False
        self._lock = threading.Lock()

    def __enter__(self) -> "EmbeddingServer":
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(200 if outer.info else 404, outer.info)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.requests.append(body)
                    outer.keys.append(self.headers.get("Authorization", ""))
                    if outer.die_after and len(outer.requests) > outer.die_after:
                        self.close_connection = True
                        return  # as a server that was killed: no answer
                    failure = outer.failures.pop(0) if outer.failures else None
                    if failure:
                        return self.reply(
                            failure[0], {"error": f"busy, {self.headers.get('Authorization')}"}, failure[1]
                        )
                    if outer.key and self.headers.get("Authorization") != f"Bearer {outer.key}":
                        return self.reply(401, {"error": f"wrong key {self.headers.get('Authorization')}"})
                    texts = body.get("inputs") or body["input"]
                    if outer.floats_only and body.get("encoding_format") == "base64":
                        return self.reply(400, {"error": "encoding_format: base64 is not supported"})
                    vectors = outer.encode(texts)
                    outer.answered.update(texts)
                    self.reply(200, outer.content(body, vectors))

            def reply(self, code: int, value: Any, headers: dict[str, str] | None = None) -> None:
                data = json.dumps(value).encode()
                self.send_response(code)
                for name, text in (headers or {}).items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def content(self, body: dict[str, Any], vectors: np.ndarray) -> Any:
        if "inputs" in body:
            return vectors.tolist()
        short = body.get("encoding_format") == "base64"
        data = [
            {
                "index": place,
                "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode() if short else row.tolist(),
            }
            for place, row in enumerate(vectors)
        ]
        tokens = sum(len(text.split()) + 2 for text in body["input"])
        return {"data": data[::-1], "usage": {"prompt_tokens": tokens}}  # any order is allowed


def serve_teacher(folder: str, port: int, log: str, die_after: int) -> None:
    """Serve the teacher in `folder` from a process of its own, which dies by itself in the midst of a request."""
    from pocketrank.pipeline.settings import TeacherSettings
    from pocketrank.pipeline.teacher.load import load_teacher

    teacher = load_teacher(TeacherSettings(model=folder))
    asked = Counter[str]()

    def encode(texts: list[str]) -> np.ndarray:
        asked["requests"] += 1
        if die_after and asked["requests"] > die_after:
            os._exit(9)
        vectors = teacher.encode(texts, "document")
        with open(log, "a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(text) + "\n" for text in texts)
        return vectors

    with EmbeddingServer(encode, port=port):
        time.sleep(600)
