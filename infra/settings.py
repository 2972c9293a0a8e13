"""The settings: every knob of the ledger, from the environment (prefix `PARTNER_LEDGER_`) or a `.env` in the current folder.

Where no server is named the project starts its own (`infra.embedded`); naming Kafka, PostgreSQL or both uses those. One
login for everything is allowed on a PostgreSQL of one's own: the logins that are not named fall back to `DATABASE_URL`.
That works, but loses the separation: the process that decides could then change what only migrations may.

A wrong value and an unknown name are refused by name, all of them in one message: a mistyped setting that is silently
ignored would be found too late.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2
from dotenv import dotenv_values
from psycopg2.extensions import parse_dsn
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import LedgerError

PREFIX = "PARTNER_LEDGER_"
ENV_FILE = Path(".env")
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")
_PASSWORD = re.compile(r"(?<=:)[^:@/?]*(?=@)|(?<=password=)[^&]*")


class SettingsError(LedgerError):
    """A setting that is wrong or unknown. The message names each of them and says what is expected."""


class Settings(BaseSettings):
    """All settings with their defaults; `load_settings` reads them from the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(
        Path(".partner-ledger"),
        description="The data folder: the embedded servers' data, logs and process records. Deleting it deletes the ledger.",
    )
    database_url: str | None = Field(
        None, description="PostgreSQL URL of the application's login, which appends. Not named: an embedded PostgreSQL."
    )
    admin_database_url: str | None = Field(
        None, description="PostgreSQL URL of the owner, used for migrations only. Not named: DATABASE_URL."
    )
    read_database_url: str | None = Field(
        None, description="PostgreSQL URL of the login that only reads. Not named: DATABASE_URL."
    )
    projector_database_url: str | None = Field(
        None,
        description="PostgreSQL URL of the projector's login, which owns the projections. Not named: DATABASE_URL.",
    )
    kafka: str | None = Field(
        None, description="Kafka bootstrap servers, host:port[,host:port]. Not named: an embedded Kafka."
    )
    signing_key: Path | None = Field(
        None,
        description="The file of the key that signs tree heads, made on first use; outside HOME. Not named:"
        " partner-ledger/signing-key.pem in the user's configuration folder ($XDG_CONFIG_HOME or ~/.config).",
    )
    timezone: str = Field("Europe/Zurich", description="The time zone in which 'today' is meant (IANA name).")
    topic_prefix: str = Field(
        "partner-ledger",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$",
        description="What the names of this ledger's topics and consumer group begin with; ledgers on one Kafka need one each.",
    )
    kafka_partitions: int = Field(
        6,
        ge=1,
        le=1000,
        description="Partitions of the events topic; fixed once the topic exists, key order depends on it.",
    )
    kafka_replication_factor: int = Field(
        1, ge=1, le=32767, description="Copies of each partition; 1 on the embedded Kafka, 3 is usual on a cluster."
    )
    kafka_heap_mb: int = Field(512, ge=256, description="Java heap of the embedded Kafka, in MB.")
    import_batch_facts: int = Field(1000, ge=1, le=100_000, description="Facts an import records in one transaction.")
    relay_batch_events: int = Field(
        2000, ge=1, le=100_000, description="Events the relay puts into one Kafka transaction, at most."
    )
    projector_batch_events: int = Field(
        5000, ge=1, le=100_000, description="Events the projector applies in one transaction, at most."
    )
    poll_interval_ms: int = Field(
        500, ge=1, le=60_000, description="How often relay and projector look for work if nothing wakes them, in ms."
    )
    session_timeout_ms: int = Field(
        6000,
        ge=1000,
        le=300_000,
        description="After how long without a sign of life a projector is replaced by another one of its group, in ms.",
    )
    wait_timeout_s: int = Field(
        60,
        ge=1,
        le=86_400,
        description="How long a command waits for a service or for the projections before it says so, in s.",
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("signing_key")
    @classmethod
    def _absolute_key(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @field_validator("database_url", "admin_database_url", "read_database_url", "projector_database_url")
    @classmethod
    def _is_postgresql_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parse_dsn(url)
        except psycopg2.ProgrammingError:
            understood = False
        else:
            understood = url.startswith(("postgresql://", "postgres://"))
        if not understood:
            raise ValueError("name it as postgresql://login@host:port/database")
        return url

    @field_validator("kafka")
    @classmethod
    def _are_bootstrap_servers(cls, servers: str | None) -> str | None:
        if servers is None:
            return None
        trimmed = [server.strip() for server in servers.split(",")]
        for server in trimmed:
            matched = _HOST.fullmatch(server)
            if matched is None or not 1 <= int(matched[1]) <= 65_535:
                raise ValueError("name it as host:port, several with commas between them")
        return ",".join(trimmed)

    @field_validator("timezone")
    @classmethod
    def _is_known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:  # not found, a folder, not a name
            raise ValueError("name an IANA time zone, for example Europe/Zurich") from error
        return name

    @model_validator(mode="after")
    def _other_logins_need_the_first(self) -> "Settings":
        others = ("admin_database_url", "read_database_url", "projector_database_url")
        if self.database_url is None and (named := [PREFIX + each.upper() for each in others if getattr(self, each)]):
            raise ValueError(f"{PREFIX}DATABASE_URL is not named, but {' and '.join(named)}; name it as well")
        return self

    @property
    def admin_url(self) -> str | None:
        """The owner's login of a named PostgreSQL; None if PostgreSQL is embedded."""
        return self.admin_database_url or self.database_url

    @property
    def signing_key_path(self) -> Path:
        """Where the key is that signs tree heads, whether it was made yet or not."""
        if self.signing_key is not None:
            return self.signing_key
        configured = Path(os.environ.get("XDG_CONFIG_HOME") or "")  # to be ignored where it is not absolute
        folder = configured if configured.is_absolute() else Path("~/.config").expanduser()
        return folder / "partner-ledger" / "signing-key.pem"

    @property
    def read_url(self) -> str | None:
        """The reader's login of a named PostgreSQL; None if PostgreSQL is embedded."""
        return self.read_database_url or self.database_url

    @property
    def projector_url(self) -> str | None:
        """The projector's login of a named PostgreSQL; None if PostgreSQL is embedded."""
        return self.projector_database_url or self.database_url


@dataclass(frozen=True)
class SettingRow:
    """One setting as `partner-ledger settings` shows it."""

    variable: str
    value: str
    default: str
    description: str
    source: str  # environment, .env or default


def load_settings() -> Settings:
    """Read the settings in force. Raises SettingsError with everything that is wrong with them in one message."""
    wrong = [*_unknown_names(os.environ, "environment"), *_unknown_names(_env_file(), str(ENV_FILE))]
    try:
        settings = Settings()
    except ValidationError as error:
        wrong += _wrong_values(error)
    else:
        if not wrong:
            return settings
    raise SettingsError("These settings are wrong: " + "; ".join(wrong) + ".")


def settings_table() -> list[SettingRow]:
    """Every setting: its variable, value in force, default, meaning and where the value comes from; passwords are masked."""
    settings = load_settings()
    return [
        SettingRow(
            variable=PREFIX + name.upper(),
            value=_shown(getattr(settings, name)),
            default=_shown(field.default),
            description=field.description or "",
            source=_source(PREFIX + name.upper()),
        )
        for name, field in Settings.model_fields.items()
    ]


def mask_password(url: str) -> str:
    """Give the URL with *** in place of its password, for messages, logs and tables."""
    return _PASSWORD.sub("***", url)


def _unknown_names(variables: Mapping[str, str | None], where: str) -> list[str]:
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    unknown = sorted(name for name in variables if name.upper().startswith(PREFIX) and name.upper() not in known)
    found = []
    for name in unknown:
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0)
        found.append(f"{name} ({where}) is not a setting, the nearest one is {near[0]}")
    return found


def _wrong_values(error: ValidationError) -> list[str]:
    wrong = []
    for each in error.errors(include_url=False):
        message = each["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:] if message.startswith("Input") else message
        if not each["loc"]:  # about several settings at once: the message names them
            wrong.append(message)
            continue
        variable = PREFIX + str(each["loc"][0]).upper()
        wrong.append(f"{variable}={_shown(each['input'])!r} ({_source(variable)}): {message}")
    return wrong


def _source(variable: str) -> str:
    if _given(os.environ, variable):
        return "environment"
    return str(ENV_FILE) if _given(_env_file(), variable) else "default"


def _given(variables: Mapping[str, str | None], variable: str) -> bool:
    return any(name.upper() == variable and value for name, value in variables.items())


def _env_file() -> Mapping[str, str | None]:
    return dotenv_values(ENV_FILE) if ENV_FILE.is_file() else {}


def _shown(value: object) -> str:
    return "" if value is None else mask_password(str(value))
