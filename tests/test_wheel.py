"""The wheel works elsewhere: built, installed outside the checkout beside the locked dependencies, and asked to do something."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PACKAGED = """
import json
from importlib import resources
from pathlib import Path
import domain, infra
from infra.embedded import configuration, jars
from infra.postgres.migrate import packaged
from infra.postgres.projections import builds
from producers.programme_files import read_programme_file

programmes = resources.files("infra.demo").joinpath("programmes")
print(json.dumps({
    "where": [str(Path(module.__file__).resolve()) for module in (domain, infra)],
    "migrations": [migration.name for migration in packaged()],
    "build": resources.files("infra.postgres.projections").joinpath("build.sql").read_text("utf-8"),
    "jars": len(jars.locked_jars()),
    "programmes": [read_programme_file(path).programme for path in sorted(Path(str(programmes)).glob("*.yaml"))],
    "kafka_log": configuration.KAFKA_LOG4J,
    "pages": sorted(each.name for each in resources.files("infra.replay").joinpath("pages").iterdir()),
    "typed": resources.files("domain").joinpath("py.typed").is_file(),
}))
"""


def run(*argv: str | Path, cwd: Path) -> str:
    """Run a program with nothing of this project in its environment; give what it prints."""
    foreign = ("PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in foreign and not name.upper().startswith("PARTNER_LEDGER_")
    }
    done = subprocess.run(
        list(map(str, argv)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and install it with its locked dependencies; give the folder of the environment's programs."""
    uv = shutil.which("uv")
    assert uv is not None, "uv runs the tests, so it is there"
    folder = tmp_path_factory.mktemp("elsewhere")
    run(uv, "build", "--wheel", "--quiet", "--out-dir", folder / "dist", ROOT, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    locked = folder / "locked.txt"
    export = ("--frozen", "--no-dev", "--no-emit-project", "--quiet", "--output-file", locked)
    run(uv, "export", *export, "--project", ROOT, cwd=folder)
    programs = folder / "environment" / "bin"
    run(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, folder / "environment", cwd=folder)
    run(uv, "pip", "install", "--quiet", "--python", programs / "python", "-r", locked, cwd=folder)
    run(uv, "pip", "install", "--quiet", "--python", programs / "python", "--no-deps", wheel, cwd=folder)
    return programs


def test_the_command_runs(installed: Path, tmp_path: Path) -> None:
    """`partner-ledger` is there, helps and lists its settings; its home is where it is called."""
    assert "Start with: partner-ledger demo" in run(installed / "partner-ledger", "--help", cwd=tmp_path)
    settings = json.loads(run(installed / "partner-ledger", "settings", "--json", cwd=tmp_path))
    assert settings[0]["name"] == "PARTNER_LEDGER_HOME"
    assert settings[0]["value"] == str(tmp_path / ".partner-ledger")


def test_everything_the_code_reads_is_packaged(installed: Path, tmp_path: Path) -> None:
    """Migrations, the projections' tables, the jars' digests, the demo's programmes, pages and the marker for type checkers."""
    found = json.loads(run(installed / "python", "-c", PACKAGED, cwd=tmp_path))
    assert all(Path(where).is_relative_to(installed.parent) for where in found["where"]), "not the checkout's"
    assert found["migrations"] == sorted(path.name for path in (ROOT / "infra/postgres/migrations").glob("*.sql"))
    assert found["build"] == (ROOT / "infra/postgres/projections/build.sql").read_text("utf-8")
    assert found["jars"] > 0
    assert len(found["programmes"]) == len(list((ROOT / "infra/demo/programmes").glob("*.yaml"))) > 0
    assert "appenders" in found["kafka_log"].lower()
    assert found["pages"] == sorted(path.name for path in (ROOT / "infra/replay/pages").iterdir())
    assert found["typed"]
