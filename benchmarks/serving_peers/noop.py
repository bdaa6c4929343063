"""A Flask route that does nothing: what any answer costs under this server."""

from flask import Flask

app = Flask(__name__)


@app.post("/noop")
def noop() -> str:
    return "ok"
