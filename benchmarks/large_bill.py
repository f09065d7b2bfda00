"""A bill of many GiB through the real web server: how much memory its processes take, and how long it takes.

    python benchmarks/large_bill.py --gib 5 --by api|page [--allow] [--rows N]

The file is made as it is sent and lies as a whole in the server's own folder only. Without --allow the limits are the
installation's own, and the answer is the refusal; with it BILL_MAX_BYTES and BILL_MAX_ROWS are set above the file.
Everything is in a folder of its own, which needs three times the file for --by page and once for --by api.
"""

import argparse
import hashlib
import http.client
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import psutil

ROOT = Path(__file__).parents[1]
HEADER = b"generation_id,created_at,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,model_permaslug,provider_name,variant,cancelled,streamed,user,finish_reason_normalized,generation_time_ms,time_to_first_token_ms,app_name\n"  # fmt: skip  # noqa: E501
PADDING = "the name of an application as long as such lines are " * 3
ROWS_A_BLOCK, PART, MIB = 20_000, 16 * 2**20, 2**20


def blocks(size: int) -> Iterator[bytes]:
    """A request log of OpenRouter of about `size` bytes, the same each time; each row is another request."""
    yield HEADER
    made, row = len(HEADER), 0
    while made < size:
        block = "".join(_line(number) for number in range(row, row + ROWS_A_BLOCK)).encode()
        yield block
        made, row = made + len(block), row + ROWS_A_BLOCK


def _line(row: int) -> str:
    second = row // 40
    moment = f"2026-{8 + second // 2_419_200 % 3:02}-{1 + second // 86_400 % 28:02} {second // 3600 % 24:02}"
    return (
        f"gen-{row:012},{moment}:{second // 60 % 60:02}:{second % 60:02}.{row % 1000:03},0.00{row % 8999 + 1000},"
        f"{row % 4000 + 10},{row % 700 + 1},0,{row % 10},openai/gpt-4.1-2025-04-14,OpenAI,standard,false,true,,stop,"
        f"{row % 9000 + 100},{row % 900 + 50},{PADDING}\n"
    )


class Memory:
    """The most that each of the server's processes took, by its command."""

    def __init__(self, server: psutil.Process) -> None:
        self._server, self.peaks = server, dict[str, int]()
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.1):
            with suppress(psutil.Error):
                for process in [self._server, *self._server.children(recursive=True)]:
                    with suppress(psutil.Error, OSError):  # it ended meanwhile
                        self._look(process)

    def _look(self, process: psutil.Process) -> None:
        command = next((word for word in process.cmdline() if word.startswith("bill_")), "web")
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        if found:
            self.peaks[command] = max(self.peaks.get(command, 0), int(found[1]) // 1024)

    def told(self) -> str:
        self._stopped.set()
        return ", ".join(f"{command} {mib:,} MiB" for command, mib in sorted(self.peaks.items()))


class Installation:
    def __init__(self, folder: str, limits: dict[str, str]) -> None:
        mode = {"DJANGO_SETTINGS_MODULE": "costadvisor.settings.development", "DEBUG": "false"}
        self.environment = os.environ | mode | {"COSTADVISOR_VAR": folder} | limits
        self.manage("migrate", "--verbosity", "0")
        self.password = secrets.token_urlsafe(12)
        (Path(folder) / "password").write_text(self.password)
        login = ("--admin-email", "a@example.com", "--password-file", f"{folder}/password")
        self.manage("createorganization", "Acme", *login)
        self.token = self.manage("createtoken", "acme", "bench", "--scope", "spend").split()[-1]

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, check=True, text=True, stdout=subprocess.PIPE
        ).stdout

    @contextmanager
    def served(self) -> Iterator[tuple[int, Memory]]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "costadvisor.wsgi", f"--bind=127.0.0.1:{port}", "--threads=4"]
        with subprocess.Popen([*command, "--log-level=warning"], cwd=ROOT, env=self.environment) as server:
            try:
                _until_it_answers(port)
                yield port, Memory(psutil.Process(server.pid))
            finally:
                server.terminate()


def _until_it_answers(port: int) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise SystemExit("The web server did not start.")


class Caller:
    def __init__(self, port: int, token: str) -> None:
        self._port, self._headers = port, {"Authorization": f"Bearer {token}"}

    def __call__(
        self, method: str, path: str, body: bytes = b"{}", kind: str = "application/json"
    ) -> dict[str, object]:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
            connection.request(method, f"/api/v1/{path}", body, self._headers | {"Content-Type": kind})
            answer = connection.getresponse()
            said = json.loads(answer.read() or b"null")
            connection.close()
            if answer.status != 429:
                return {"status": answer.status, **said}
            time.sleep(float(answer.headers["Retry-After"]))


def by_api(call: Caller, size: int) -> dict[str, object]:
    digest, whole = hashlib.sha256(), 0
    for block in blocks(size):
        digest.update(block)
        whole += len(block)
    said = {"file_name": "large.csv", "size_bytes": whole, "sha256": digest.hexdigest()}
    upload = call("POST", "uploads", json.dumps(said).encode())
    if upload["status"] != 201:
        return upload
    offset, waiting = 0, bytearray()
    for block in blocks(size):
        waiting += block
        while len(waiting) >= PART or (waiting and offset + len(waiting) == whole):
            part = bytes(waiting[:PART])
            call("PUT", f"uploads/{upload['id']}/content?offset={offset}", part, "application/octet-stream")
            offset += len(part)
            del waiting[:PART]
    return call("GET", f"uploads/{upload['id']}")


def by_page(port: int, installation: Installation, size: int) -> str:
    """The upload page, logged in as a browser does it; gives the address of the preview, or the refusal."""
    whole = sum(map(len, blocks(size)))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1800)
    cookies: dict[str, str] = {}

    def ask(method: str, path: str, body: object = None, kind: str = "", length: int = 0) -> tuple[int, str, str]:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        if body is not None:
            headers |= {"Content-Type": kind, "Content-Length": str(length)}
        connection.request(method, path, body, headers)  # type: ignore[arg-type]
        answer = connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            cookies[name] = value
        return answer.status, answer.headers.get("Location", ""), answer.read().decode()

    def token_in(page: str) -> str:
        return str(re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[-1])

    fields = {"username": "a@example.com", "password": installation.password}
    form = urlencode(fields | {"csrfmiddlewaretoken": token_in(ask("GET", "/login/")[2])}).encode()
    ask("POST", "/login/", form, "application/x-www-form-urlencoded", len(form))
    token, mark = token_in(ask("GET", "/o/acme/spend/upload/")[2]), "large-bill-boundary"
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n{token}\r\n--{mark}\r\n'
        'Content-Disposition: form-data; name="file"; filename="large.csv"\r\nContent-Type: text/csv\r\n\r\n'
    ).encode()
    tail = f"\r\n--{mark}--\r\n".encode()
    body = (part for parts in ([head], blocks(size), [tail]) for part in parts)
    try:
        status, location, page = ask(
            "POST", "/o/acme/spend/upload/", body, f"multipart/form-data; boundary={mark}",
            len(head) + whole + len(tail),
        )  # fmt: skip
    except (BrokenPipeError, ConnectionResetError):
        answer = connection.response_class(connection.sock)  # it said no and hung up before all was sent
        answer.begin()
        status, location, page = answer.status, "", answer.read().decode()
    said = re.sub(r"<[^>]+>|\s+", " ", page.partition("<main")[2].partition("</main")[0])
    return str(location) or f"{status}: {' '.join(said.split())[:300]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=5.0)
    parser.add_argument("--by", choices=("api", "page"), default="api")
    parser.add_argument("--allow", action="store_true", help="set the limits above the file")
    parser.add_argument("--rows", type=int, default=10**8, help="BILL_MAX_ROWS with --allow")
    args = parser.parse_args()
    size = int(args.gib * 2**30)
    limits = {"BILL_MAX_BYTES": str(size + 2**26), "BILL_MAX_ROWS": str(args.rows)} if args.allow else {}
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(folder, limits)
        with installation.served() as (port, memory):
            measure(args.by, size, installation, port)
            print("most memory:", memory.told())


def measure(by: str, size: int, installation: Installation, port: int) -> None:
    call, began = Caller(port, installation.token), time.monotonic()
    if by == "api":
        upload = by_api(call, size)
    else:
        said = by_page(port, installation, size)
        print(f"sent: {said}")
        found = re.search(r"/uploads/(\d+)/", said)
        upload = call("GET", f"uploads/{found[1]}") if found else {}
    print(f"received after {time.monotonic() - began:.0f} s: {_shown(upload)}", flush=True)
    upload = _wait(call, upload, "reading", began)
    if upload.get("state") == "ready":
        call("POST", f"uploads/{upload['id']}/import")
        upload = _wait(call, call("GET", f"uploads/{upload['id']}"), "storing", began)
    if upload.get("state") == "stored":
        stored = call("GET", f"imports/{upload['import_id']}")
        print(f"stored: {stored['rows_new']:,} rows new")


def _wait(call: Caller, upload: dict[str, object], state: str, began: float) -> dict[str, object]:
    shares = []
    while upload.get("state") == state:
        shares.append(upload["progress"])
        time.sleep(3)
        upload = call("GET", f"uploads/{upload['id']}")
    if shares:
        looks = " ".join(f"{float(str(share)):.0%}" for share in shares[:: max(1, len(shares) // 8)])
        print(f"{state} until {time.monotonic() - began:.0f} s, progress as asked: {looks}", flush=True)
        print(f"  {_shown(upload)}", flush=True)
    return upload


def _shown(upload: dict[str, object]) -> str:
    size = upload.get("size_bytes")
    asked = {name: upload.get(name) for name in ("status", "state", "failure", "errors") if upload.get(name)}
    return f"{asked}" + (f" of {int(str(size)) / MIB:,.0f} MiB" if size else "")


if __name__ == "__main__":
    main()
