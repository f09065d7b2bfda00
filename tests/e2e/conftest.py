"""Installations: a folder with its own SQLite file, filesystem broker and tiny model; workers are real processes."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.rows import dict_row
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
FAKE_ENGINE = ROOT / "tests" / "costadvisor" / "calibration" / "fake_engine.py"


class Installation:
    """Its processes carry its folder in their environment (HOME), by which they are found; engines inherit it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.var = folder / "var"
        self.log = folder / "worker.log"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}",
            "DJANGO_SETTINGS_MODULE": "quick_settings",
            "COSTADVISOR_VAR": str(self.var),
        }

    def python(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def operate(self, *arguments: str) -> list[str]:
        return self.python(str(HERE / "operate.py"), *arguments).split()

    def use_fake_engine(self, behaviour: str) -> None:
        """From now on; `behaviour` is one of fake_engine.py."""
        fake = [sys.executable, str(FAKE_ENGINE), behaviour, str(self.folder / "record.json")]
        self.environment["FAKE_ENGINE"] = os.pathsep.join(fake)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """A command of manage.py, in a session of its own as a terminal's foreground job."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start_worker(self, pool: str = "solo", fake_engine: str | None = None) -> "subprocess.Popen[bytes]":
        """A Celery worker in a session of its own; `fake_engine` names a behaviour of fake_engine.py."""
        if fake_engine:
            self.use_fake_engine(fake_engine)
        command = [sys.executable, "-m", "celery", "-A", "costadvisor", "worker", "-P", pool, "-c", "1", "-l", "INFO"]
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        for worker in self.workers:
            worker.wait()

    def row(self, job_id: int) -> dict[str, Any]:
        """The job's row, as another process left it."""
        (found,) = self.query("SELECT * FROM calibration_calibrationjob WHERE id = ?", job_id)
        progress = found["progress_json"]
        return found | {"progress": json.loads(progress) if isinstance(progress, str) else progress}

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Rows as they lie in the database; values stand at `?`."""
        if "DATABASE_URL" in self.environment:
            with psycopg.connect(self.environment["DATABASE_URL"], row_factory=dict_row) as connection:
                return connection.execute(statement.replace("?", "%s").encode(), values).fetchall()
        database = sqlite3.connect(f"file:{self.var / 'costadvisor.sqlite3'}?mode=ro", uri=True)
        try:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(statement, values)]
        finally:
            database.close()

    def wait_for(
        self, job_id: int, condition: Callable[[dict[str, Any]], bool], within_s: float = 180
    ) -> dict[str, Any]:
        """The row once it is so; fails with the row and the workers' log if that takes too long."""
        end = time.monotonic() + within_s
        while not condition(row := self.row(job_id)):
            assert time.monotonic() < end, f"{row}\n{self.log.read_text()[-6000:]}"
            time.sleep(0.1)
        return row

    def processes(self, word: str = "") -> dict[int, str]:
        """What runs in this installation and has the word in its command line: process id and command line."""
        marker = f"HOME={self.folder}\0".encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker in environment + b"\0" and word.encode() in command:
                found[int(entry.name)] = command.replace(b"\0", b" ").decode()
        return found

    def all_ended(self, word: str = "", within_s: float = 5) -> bool:
        """Whether no such process is left after at most so long."""
        end = time.monotonic() + within_s
        while (left := self.processes(word)) and time.monotonic() < end:
            time.sleep(0.05)
        return not left


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database and a tiny random model, made once."""
    installation = Installation(tmp_path_factory.mktemp("template"))
    installation.python("manage.py", "migrate", "--verbosity=0")
    save_tiny_llama(installation.var / "models" / "tiny")
    return installation.folder


@pytest.fixture
def installation(template: Path, tmp_path: Path) -> Iterator[Installation]:
    folder = tmp_path / "installation"
    shutil.copytree(template, folder)
    made = Installation(folder)
    yield made
    made.close()


@pytest.fixture
def job(installation: Installation) -> int:
    """A queued job; its message lies at the broker, and no worker runs yet."""
    return int(installation.operate("start", "1")[0])


def save_tiny_llama(folder: Path) -> None:
    """A random Llama of two layers: what it says is nonsense, how the engine serves it is not."""
    hidden, intermediate, heads, kv_heads, head, vocab = 32, 64, 4, 2, 8, 320
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 2, "hidden_size": hidden,
        "intermediate_size": intermediate, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head, "vocab_size": vocab, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": False, "hidden_act": "silu", "bos_token_id": 0,
        "eos_token_id": 1, "torch_dtype": "float32",
    }  # fmt: skip
    block = {
        "self_attn.q_proj": (heads * head, hidden),
        "self_attn.k_proj": (kv_heads * head, hidden),
        "self_attn.v_proj": (kv_heads * head, hidden),
        "self_attn.o_proj": (hidden, heads * head),
        "mlp.gate_proj": (intermediate, hidden),
        "mlp.up_proj": (intermediate, hidden),
        "mlp.down_proj": (hidden, intermediate),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    shapes = {"model.embed_tokens": (vocab, hidden), "model.norm": (hidden,), "lm_head": (vocab, hidden)}
    shapes |= {f"model.layers.{layer}.{name}": shape for layer in range(2) for name, shape in block.items()}
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    weights = {f"{name}.weight": rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors")
