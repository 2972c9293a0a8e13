"""The settings: where they come from, what is refused, what is shown."""

from pathlib import Path

import pytest

from infra.settings import PREFIX, Settings, SettingsError, load_settings, mask_password, settings_table


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_defaults_need_no_setting(tmp_path: Path) -> None:
    """Without any setting both servers are embedded and the home is in the current folder."""
    settings = load_settings()
    assert settings.home == tmp_path / ".partner-ledger"
    assert (settings.kafka, settings.database_url, settings.admin_url) == (None, None, None)
    assert settings.timezone == "Europe/Zurich"


def test_environment_wins_over_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A `.env` in the current folder is read; the environment goes before it; the table says which it was."""
    (tmp_path / ".env").write_text("PARTNER_LEDGER_TIMEZONE=Asia/Tokyo\nPARTNER_LEDGER_KAFKA_PARTITIONS=3\nOTHER=1\n")
    monkeypatch.setenv("PARTNER_LEDGER_KAFKA_PARTITIONS", "12")
    settings = load_settings()
    assert (settings.timezone, settings.kafka_partitions) == ("Asia/Tokyo", 12)
    sources = {row.variable: row.source for row in settings_table()}
    assert sources["PARTNER_LEDGER_TIMEZONE"] == ".env"
    assert sources["PARTNER_LEDGER_KAFKA_PARTITIONS"] == "environment"
    assert sources["PARTNER_LEDGER_HOME"] == "default"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("KAFKA", "localhost", "host:port"),
        ("KAFKA", "localhost:99999", "host:port"),
        ("KAFKA", "a:1,,b:2", "host:port"),
        ("TIMEZONE", "Mars/Olympus", "IANA"),
        ("TIMEZONE", "../etc", "IANA"),
        ("DATABASE_URL", "mysql://x", "postgresql://"),
        ("KAFKA_PARTITIONS", "0", "greater than or equal to 1"),
        ("IMPORT_BATCH_FACTS", "100001", "less than or equal to 100000"),
        ("POLL_INTERVAL_MS", "soon", "integer"),
    ],
)
def test_wrong_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    """The message has the variable, the value, where it was set and what is expected."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert f"{PREFIX}{name}='{value}' (environment)" in str(caught.value)
    assert said in str(caught.value)


def test_all_wrong_settings_are_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two wrong values and an unknown name are told together, the unknown one with the nearest known one."""
    monkeypatch.setenv("PARTNER_LEDGER_TIMEZONE", "Nowhere")
    monkeypatch.setenv("PARTNER_LEDGER_WAIT_TIMEOUT_S", "-1")
    monkeypatch.setenv("PARTNER_LEDGER_DATABASEURL", "postgresql://x")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert "PARTNER_LEDGER_TIMEZONE" in message
    assert "PARTNER_LEDGER_WAIT_TIMEOUT_S" in message
    assert (
        "PARTNER_LEDGER_DATABASEURL (environment) is not a setting, the nearest one is PARTNER_LEDGER_DATABASE_URL"
        in message
    )


def test_logins_not_named_fall_back_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """One login for everything is allowed; naming the others without the first is not."""
    monkeypatch.setenv("PARTNER_LEDGER_READ_DATABASE_URL", "postgresql://reader@db/ledger")
    with pytest.raises(SettingsError, match="DATABASE_URL is not named, but PARTNER_LEDGER_READ_DATABASE_URL"):
        load_settings()
    monkeypatch.setenv("PARTNER_LEDGER_DATABASE_URL", "postgresql://app@db/ledger")
    settings = load_settings()
    assert settings.read_url == "postgresql://reader@db/ledger"
    assert settings.admin_url == settings.projector_url == "postgresql://app@db/ledger"


def test_passwords_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the table nor an error message has the password of a URL."""
    monkeypatch.setenv("PARTNER_LEDGER_DATABASE_URL", "postgresql://app:s3cret@db/ledger")
    assert "s3cret" not in str(settings_table())
    assert "postgresql://app:***@db/ledger" in str(settings_table())
    assert mask_password("postgresql://db/x?user=a&password=s3cret") == "postgresql://db/x?user=a&password=***"
    monkeypatch.setenv("PARTNER_LEDGER_DATABASE_URL", "postgre://app:s3cret@db/ledger")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


def test_every_setting_is_described() -> None:
    """A setting without a description would be missing from the documentation."""
    assert all(row.description for row in settings_table())
    assert len(settings_table()) == len(Settings.model_fields)
