"""Finding data sets, on a machine that has them, lacks them, or is offline."""

import builtins
import gc
import hashlib
import http.server
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from sparsesolve import data
from sparsesolve.datasets import registry
from sparsesolve.datasets.registry import REGISTRY, DataSet


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Neither an own folder, nor a checkout's neighbour, nor a filled cache."""
    monkeypatch.delenv("SPARSESOLVE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "__file__", str(tmp_path / "site" / "pkg" / "data.py"))
    return tmp_path


@pytest.fixture
def publisher(tmp_path):
    """An HTTP server that publishes one file."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "a.csv").write_bytes(b"1,2\n")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False  # closing waits for them
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/a.csv"
    server.shutdown()
    thread.join()
    server.server_close()


DIGEST = hashlib.sha256(b"1,2\n").hexdigest()


def entry(address="", digest=DIGEST):
    return DataSet(
        title="Two numbers",
        place="here/numbers",
        files={"a.csv": digest},
        licence="CC0",
        publisher="https://example.org/numbers",
        addresses={"a.csv": address} if address else {},
        reading="by eye",
    )


def fill(folder, name):
    for file in REGISTRY[name].files:
        single = Path(REGISTRY[name].place).name == file
        path = folder / REGISTRY[name].place / ("" if single else file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize("name", ["merit", "samson", "misicnet"])
def test_own_folder_comes_first(nowhere, monkeypatch, name):
    own, cache = nowhere / "own", nowhere / "cache" / "sparsesolve"
    own.mkdir()
    fill(cache, name)
    monkeypatch.setenv("SPARSESOLVE_DATA", str(own))
    assert data.find(name) == cache / REGISTRY[name].place
    fill(own, name)
    assert data.find(name) == own / REGISTRY[name].place


def test_beside_the_checkout(nowhere):
    fill(nowhere / "shared" / "data", "merit")
    with pytest.raises(FileNotFoundError):  # installed, not checked out
        data._local(REGISTRY["merit"]) or data._download("merit", entry())
    (nowhere / "site").mkdir()
    (nowhere / "site" / "setup.cfg").touch()
    assert data.find("merit") == nowhere / "shared" / "data" / "radar" / "merit"


def test_half_a_data_set_does_not_count(nowhere, monkeypatch):
    monkeypatch.setenv("SPARSESOLVE_DATA", str(nowhere))
    fill(nowhere, "merit")
    (nowhere / "radar" / "merit" / "frequencies.csv").unlink()
    rows = {row["name"]: row for row in data.table()}
    assert rows["merit"]["found"] == ""


def test_own_folder_that_does_not_exist(nowhere, monkeypatch):
    monkeypatch.setenv("SPARSESOLVE_DATA", str(nowhere / "typo"))
    with pytest.raises(FileNotFoundError, match=r"\$SPARSESOLVE_DATA is .*typo"):
        data.find("merit")


@pytest.mark.parametrize("name", ["merrit", "../../etc/passwd", "/etc/passwd", ""])
def test_unknown_names(nowhere, name):
    with pytest.raises(ValueError, match="is unknown; known: merit, samson") as caught:
        data.find(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["samson", "mnist"])
def test_without_an_address(nowhere, name):
    with pytest.raises(FileNotFoundError, match=r"get it from https?://") as caught:
        data.find(name)
    text = str(caught.value)
    assert REGISTRY[name].licence in text
    assert f"put it at {REGISTRY[name].place} under $SPARSESOLVE_DATA" in text


def test_without_pooch(nowhere, monkeypatch):
    real = builtins.__import__

    def no_pooch(name, *args, **kwargs):
        if name == "pooch":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_pooch)
    with pytest.raises(FileNotFoundError, match="needs pooch") as caught:
        data.find("merit")
    assert "https://github.com/EMFMed/MERIT (licence: Apache-2.0)" in str(caught.value)


def test_download_and_cache(nowhere, publisher, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setitem(REGISTRY, "numbers", entry(publisher))
    place = data.find("numbers")
    assert place == nowhere / "cache" / "sparsesolve" / "here" / "numbers"
    assert (place / "a.csv").read_bytes() == b"1,2\n"
    monkeypatch.setitem(sys.modules, "pooch", None)  # not needed a second time
    assert data.find("numbers") == place


def test_download_of_something_else(nowhere, publisher, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setitem(REGISTRY, "numbers", entry(publisher, digest="0" * 64))
    with pytest.raises(FileNotFoundError, match="could not be downloaded") as caught:
        data.find("numbers")
    assert "hash" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p for p in (nowhere / "cache").rglob("*") if p.is_file()] == []


# pooch leaves the answer to a refused request unclosed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", ["/gone.csv", ""])
def test_offline_or_gone(nowhere, publisher, monkeypatch, path):
    pytest.importorskip("pooch")
    address = publisher.replace("/a.csv", path) if path else "http://127.0.0.1:9/a.csv"
    monkeypatch.setitem(REGISTRY, "numbers", entry(address))
    with pytest.raises(FileNotFoundError, match="could not be downloaded") as caught:
        data.find("numbers")
    text = str(caught.value)
    assert "get it from https://example.org/numbers (licence: CC0)" in text
    assert "\n" not in text
    del caught
    gc.collect()


def test_table_has_a_row_for_each(nowhere):
    rows = data.table()
    assert [row["name"] for row in rows] == data.names() == list(REGISTRY)
    assert all(row["found"] == "" for row in rows)
    assert all(row["licence"] and row["publisher"] for row in rows)


@pytest.mark.parametrize("name", list(REGISTRY))
def test_registry_is_whole(name):
    entry = REGISTRY[name]
    assert all(len(digest) == 64 for digest in entry.files.values())
    assert set(entry.addresses) in (set(), set(entry.files))
    for path in (entry.place, *entry.files):
        assert ".." not in Path(path).parts
        assert not Path(path).is_absolute()
    readme = Path(registry.__file__).with_name("README.md").read_text()
    assert f"| `{name}` |" in readme
    assert entry.publisher in readme


@pytest.mark.parametrize("name", list(REGISTRY))
def test_hashes_are_those_of_the_files(data_folder, name):
    entry = REGISTRY[name]
    for file, path in data._files(data_folder, entry).items():
        if not path.is_file():
            pytest.skip(f"{path} is absent")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.files[file]


@pytest.mark.parametrize(
    ("platform", "place"),
    [
        ("linux", ".cache"),
        ("darwin", "Library/Caches"),
        ("win32", "AppData/Local"),
    ],
)
def test_cache_of_each_system(tmp_path, monkeypatch, platform, place):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(data.Path, "home", lambda: tmp_path)
    monkeypatch.setattr(data, "sys", SimpleNamespace(platform=platform))
    assert data.cache_folder() == tmp_path / place / "sparsesolve"
