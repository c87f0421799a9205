"""The champion in a container: the four functions that the serving toolkit calls, and a small server that calls them too.

A request is MLflow's: ``{"dataframe_split": {"columns": [...], "data": [[...]]}, "params": {"certificate_sha": "..."}}`` with
the rows of one whole session. Without `model_fn` a framework container never answers its ping.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

JSON = "application/json"
AS_OF = "CONVICTION_SERVE_AS_OF"


def model_fn(model_dir: str) -> Any:
    """Read the model; the copy of the library lies beside this file."""
    here = str(Path(__file__).parent)
    if here not in sys.path:
        sys.path.insert(0, here)
    from conviction.serving import ServedModel

    return ServedModel.load(Path(model_dir) / "served")


def input_fn(body: Any, content_type: str = JSON) -> dict[str, Any]:
    """Return rows and certificate of a request."""
    if content_type.split(";", maxsplit=1)[0].strip() != JSON:
        raise ValueError(f"content type {content_type!r}; allowed: {JSON}")
    given = json.loads(body)
    table = given.get("dataframe_split")
    if not isinstance(table, dict) or not {"columns", "data"} <= set(table):
        raise ValueError("the body has no dataframe_split with columns and data")
    return {"columns": table["columns"], "data": table["data"], "params": given.get("params") or {}}


def predict_fn(given: dict[str, Any], model: Any) -> Any:
    """Answer one whole session, or say why it may not be answered."""
    import polars as pl

    rows = pl.DataFrame(given["data"], schema=given["columns"], orient="row", infer_schema_length=None)
    # The day of a replay is a setting of the endpoint, never of a request.
    text = os.environ.get(AS_OF)
    now = datetime.fromisoformat(text) if text else datetime.now(tz=timezone.utc)
    return model.answer(rows, certificate_sha=str(given["params"].get("certificate_sha", "")), now=now)


def output_fn(answer: Any, accept: str = JSON) -> Any:
    """Return the answer as JSON, one object a row."""
    del accept
    return json.dumps({"predictions": answer.to_dicts()}, default=str)


class _Handler(BaseHTTPRequestHandler):
    model: Any = None

    def do_GET(self) -> None:  # the name that http.server calls
        self._say(200 if self.path == "/ping" else 404, "")

    def do_POST(self) -> None:
        if self.path != "/invocations":
            self._say(404, "")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            answer = output_fn(predict_fn(input_fn(body, self.headers.get("Content-Type", "")), self.model))
        except Exception as error:  # noqa: BLE001  # what cannot be answered is the request's fault, and told
            self._say(400, json.dumps({"error": f"{type(error).__name__}: {error}"}))
        else:
            self._say(200, answer)

    def _say(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", JSON)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""


def serve(home: Path) -> None:
    """Load the model of a folder and answer on a free port of this machine, which is printed first."""
    _Handler.model = model_fn(str(home))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[sys.argv.index("--serve") + 1]))
