"""The scan finds planted secrets of each kind and leaves look-alikes alone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("secrets_scan.py")
_spec = importlib.util.spec_from_file_location("secrets_scan", SCRIPT)
scan = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scan)

# Put together at run time, so that this file holds none of them.
RANDOM = "q7Rk2Vx9" + "Lw4Tz8Bn3" + "Hs6Jd1Pf5"
PLANTED = {
    "cloud access key": "key = " + "AKIA" + "Z7QK2VX9LW4TZ8BN",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "source-forge token": "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0a1B2c3D4e5F6g7H8",
    "chat token": "xox" + "b-1234567890-abcdefghij",
    "web token": "ey" + "JhbGciOiJIUzI1NiJ9." + "ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w",
    "password in an address": "postgresql://admin:" + "hunter2000" + "@db.example.net/x",
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found(kind):
    assert kind in scan.findings(PLANTED[kind])


@pytest.mark.parametrize("name", ["MASSIVE_API_KEY", "aws_secret_access_key", "db.password", "auth_token"])
@pytest.mark.parametrize("form", ["{} = '{}'", '"{}": "{}"', "{}={}", "{}: {}"])
def test_a_random_value_under_a_telling_name_is_found(name, form):
    assert scan.findings(form.format(name, RANDOM)) == ["named secret with a random value"]


@pytest.mark.parametrize(
    "line",
    [
        "api_key = os.environ['MASSIVE_API_KEY']",
        "password: ${oc.env:DATABASE_PASSWORD}",
        "secret_access_key = credentials.secret_access_key",
        'aws_secret_access_key="testing"',
        "postgresql://user:{password}@host/db",
        "postgresql://${USER}:${PASSWORD}@host/db",
        "the passwords of the team are kept elsewhere",
        "data_fingerprint = '5f0c8d1e9b7a6c4d2e3f1a0b9c8d7e6f'",
        "api_key = 'aaaaaaaaaaaaaaaaaaaa1'",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:polygon",
    ],
)
def test_look_alikes_are_left_alone(line):
    assert scan.findings(line) == []


def test_a_marked_line_is_left_alone():
    assert scan.findings(f"{PLANTED['cloud access key']}  # not-a-secret") == []


def test_a_secret_that_was_removed_again_is_found_in_the_history(tmp_path, monkeypatch, capsys):
    def git(*arguments):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("config", "user.email", "test@example.net")
    git("config", "user.name", "test")
    leaked = tmp_path / "settings.py"
    leaked.write_text(PLANTED["cloud access key"])
    git("add", ".")
    git("commit", "-qm", "leak")
    leaked.write_text("key = None")
    git("commit", "-qam", "remove")
    monkeypatch.setattr(scan, "ROOT", tmp_path)
    assert scan.main([]) == 0
    assert scan.main(["--history"]) == 1
    printed = capsys.readouterr().out
    assert "settings.py: cloud access key" in printed
    assert "Z7QK2VX9" not in printed


def test_the_project_itself_holds_no_secret():
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
