#!/usr/bin/env python3
"""Makes the pictures beside it: the README's examples in a terminal, and the status page under load.

    ./quickstart && tools/setup.sh --tests && apt-get install chromium
    docs/screenshots/make.py

Commands are taken from the README's own blocks and run against a server on the default ports. texts.jsonl is made up
here.
"""

import contextlib
import html
import http.server
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #1c1f26; color: #d8dee9; font: 13px/1.35 "DejaVu Sans Mono", monospace; padding: 16px; width: 1040px }}
pre {{ margin: 0; white-space: pre-wrap; font: inherit }} b {{ color: #a3be8c }}</style><pre>{}</pre>"""
ENVIRONMENT = os.environ | {"PATH": f"{ROOT}/.deps/bin:{os.environ['PATH']}", "OMP_WAIT_POLICY": "passive"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def shell(command: str, folder: Path) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def shorten(text: str, lines: int = 16, width: int = 400) -> str:
    kept = [line if len(line) <= width else line[:width] + " …" for line in text.rstrip().splitlines()]
    return "\n".join(kept[:lines] + (["…"] if len(kept) > lines else []))


def transcript(commands: list[str], folder: Path) -> str:
    parts = []
    for command in commands:
        print("$", command, file=sys.stderr)
        parts.append(f"<b>$ {html.escape(command)}</b>\n{html.escape(shorten(shell(command, folder)))}\n")
    return PAGE.format("\n".join(parts))


def shoot(url: str, out: Path, height: int, wait_ms: int = 500, width: int = 1072) -> None:
    subprocess.run(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}",
                    f"--timeout={wait_ms}", f"--screenshot={out}", url], check=True, capture_output=True, timeout=120)  # fmt: skip


class Late(http.server.BaseHTTPRequestHandler):
    """The server's own pages, with a picture that comes late: a browser takes its screenshot of a page that is loaded whole."""

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/late":
            time.sleep(12)
            kind, body = "image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
        else:
            with urllib.request.urlopen(f"http://127.0.0.1:9090{self.path}") as answer:
                kind, body = answer.headers["content-type"], answer.read()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body + (b"<img src=/late width=0>" if self.path == "/" else b""))


def terminal(name: str, commands: list[str], folder: Path, height: int) -> None:
    page = folder / f"{name}.html"
    page.write_text(transcript(commands, folder))
    shoot(page.as_uri(), HERE / f"{name}.png", height)


def main() -> None:
    server = subprocess.Popen([ROOT / "build/release/midlayer-server", "--model", ROOT / "models/all-MiniLM-L6-v2", "--selection-store", "memory"],
                              env=ENVIRONMENT, stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for link in ("build", "proto", "models"):
                (folder / link).symlink_to(ROOT / link)
            (folder / "texts.jsonl").write_text("".join(f'{{"text": "Text number {i}."}}\n' for i in range(1000)))
            shell("until build/release/midlayer health --timeout 1; do sleep 0.2; done", folder)
            lines = [line for block in blocks("sh") for line in block.replace("\\\n", "").splitlines()]
            examples = [re.sub(r"  +", " ", line) for line in lines if re.match(r"build/release/midlayer (embed --layer|info)|grpcurl", line)]
            examples = [line for line in examples if "--tls" not in line]
            python = f"cd proto && python3 - <<'END'\n{blocks('python')[0]}END"
            shell(f"ln -sf {ROOT}/.deps/venv/bin/python3 python3", folder)
            os.environ["PATH"] = ENVIRONMENT["PATH"] = f"{folder}:{ENVIRONMENT['PATH']}"
            terminal("examples", [*examples, "wc -l vectors.jsonl", python], folder, 1160)
            terminal("bench", ["build/release/midlayer bench --layer 1,3,6 --concurrency 8"], folder, 460)
            load = subprocess.Popen([ROOT / "build/release/midlayer", "bench", "--layer", "1,2,3,4,5,6", "--duration", "60"], stdout=subprocess.DEVNULL)
            time.sleep(3)
            late = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late)
            threading.Thread(target=late.serve_forever, daemon=True).start()
            shoot(f"http://127.0.0.1:{late.server_port}/", HERE / "status.png", 1600, wait_ms=30000, width=1000)
            late.shutdown()
            load.terminate()
            load.wait()
            urllib.request.urlopen("http://127.0.0.1:9090/readyz").read()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
