import functools
import threading
import uuid
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import obstore
import pytest
from obstore.store import from_url
from remote.server import environment, make_bucket, s3_server


@pytest.fixture(scope="session")
def endpoint():
    with s3_server() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(address).items():
            patch.setenv(name, value)
        yield address


class Bucket:
    """A bucket of its own for each test."""

    def __init__(self, endpoint):
        name = f"bucket-{uuid.uuid4().hex}"
        make_bucket(endpoint, name)
        self.url = f"s3://{name}"
        self.store = from_url(self.url, client_options={"allow_http": True})

    def names(self):
        """Return the names at the top."""
        found = obstore.list_with_delimiter(self.store)
        return sorted([*found["common_prefixes"], *(item["path"] for item in found["objects"])])

    def contents(self, name):
        """Read all chunks of a store."""
        listed = obstore.list(self.store, name).collect()
        paths = [
            item["path"] for item in listed if not item["path"].endswith(("zarr.json", ".metadata.json"))
        ]
        return {path.removeprefix(f"{name}/"): bytes(self.store.get(path).bytes()) for path in paths}


@pytest.fixture
def bucket(endpoint):
    return Bucket(endpoint)


@pytest.fixture
def quick(monkeypatch):
    """Runs that are taken for dead after two seconds: fewer, and a busy machine looks like a death."""
    monkeypatch.setattr("salzarr.lease.HEARTBEAT", 0.1)
    monkeypatch.setattr("salzarr.lease.EXPIRY", 2.0)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
