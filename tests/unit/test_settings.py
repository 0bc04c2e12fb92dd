"""The settings: what is wrong is refused by name, and the table of operations.md names them all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from exchange_pki.service import config as authority_config
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from document_exchange.errors import ConfigurationError
from exchange_server import config

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
MINIMAL = """\
[tls]
certificate = "server.pem"
key = "server.key"
client_ca = "/pki/tls-ca.pem"
[seal]
certificate = "seal.pem"
key = "seal.key"
[trust]
root = "root.pem"
seal_ca = "seal-ca.pem"
[ledger]
dsn = "postgresql://of-the-file/exchange"
[blobs]
endpoint = "127.0.0.1:8333"
access_key = "reader"
secret_key = "secret of the store"
"""


@dataclass(frozen=True)
class Service:
    """A service with settings of its own, and where operations.md shows them."""

    config: ModuleType
    heading: str
    example: str
    """The name of the file that the page shows."""


SERVER = Service(config, "Settings of a server", "server.toml")
AUTHORITY = Service(authority_config, "Settings of the authority's service", "authority.toml")
SERVICES = pytest.mark.parametrize(
    "service", [SERVER, AUTHORITY], ids=lambda service: service.example
)


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every setting as the documents name it, with its default as they write it."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, f"{name}.")
        else:
            default = field.default
            yield prefix + name, "required" if default is PydanticUndefined else shown(default)


def shown(default: object) -> str:
    match default:
        case bool():
            return str(default).lower()
        case "" | None | ():
            return "none"
        case str():
            return f"`{default}`"
        case int() if default and default % config.MIB == 0:
            return f"{default // config.MIB} MiB"
        case int() | float():
            return f"{default:g}"
    raise AssertionError(f"no way to write {default!r} in the table")


def documented(heading: str) -> dict[str, str]:
    """Each setting of a table with its default; a row may name several, with one default or
    one for each."""
    text = OPERATIONS.read_text(encoding="utf-8")
    section = text.partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    found: dict[str, str] = {}
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", row[0])
        defaults = row[1].split(", ")
        assert len(defaults) in (1, len(names)), row
        if len(defaults) < len(names):
            defaults *= len(names)
        assert not found.keys() & set(names), row
        found.update(zip(names, defaults, strict=True))
    return found


@SERVICES
def test_the_table_names_every_setting_with_its_default(service: Service) -> None:
    assert documented(service.heading) == dict(settings_of(service.config.Settings))


def example_of(service: Service) -> str:
    """The file that the page shows after naming it last."""
    before, *blocks = re.split(r"^```toml$", OPERATIONS.read_text(encoding="utf-8"), flags=re.M)
    found = []
    for block in blocks:
        content, _, after = block.partition("\n```\n")
        if re.findall(r"`(\w+\.toml)`", before)[-1:] == [service.example]:
            found.append(content)
        before = after
    [example] = found
    return example


@SERVICES
def test_the_example_is_complete(service: Service, tmp_path: Path) -> None:
    path = tmp_path / service.example
    path.write_text(example_of(service), encoding="utf-8")
    assert service.config.load(path).tls.key == tmp_path / "server.key"


def test_the_authoritys_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / AUTHORITY.example
    path.write_text('passphrase_file = "passphrase"\n' + example_of(AUTHORITY), encoding="utf-8")
    loaded = authority_config.load(path)
    assert loaded.state == tmp_path / "pki"
    assert loaded.passphrase_file == tmp_path / "passphrase"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for section in ("TLS__CERTIFICATE", "LEDGER__DSN", "BLOBS__SECRET_KEY", "LISTEN"):
        monkeypatch.delenv(f"EXCHANGE_SERVER_{section}", raising=False)
    path = tmp_path / "server.toml"
    path.write_text(MINIMAL)
    return path


def test_paths_are_relative_to_the_file(file: Path) -> None:
    loaded = config.load(file)
    assert loaded.tls.certificate == file.parent / "server.pem"
    assert loaded.tls.client_ca == Path("/pki/tls-ca.pem")


def test_the_environment_goes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_SERVER_LEDGER__DSN", "postgresql://of-the-environment/exchange")
    loaded = config.load(file)
    assert loaded.ledger.dsn == SecretStr("postgresql://of-the-environment/exchange")
    assert loaded.ledger.connections == 10


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("unheard_of = 1\n", "unheard_of"),
        ("[limits]\nunheard_of = 1\n", "limits.unheard_of"),
        ("[limits]\nmemory_bytes = 1\n", "limits.memory_bytes"),
        ("[limits]\ndownload_memory_bytes = 1\n", "limits.download_memory_bytes"),
        ("[limits]\nstatus_max_age_s = 0\n", "limits.status_max_age_s"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_without_showing_secrets(
    file: Path, more: str, where: str
) -> None:
    file.write_text(more + MINIMAL if more.startswith("unheard") else MINIMAL + more)
    with pytest.raises(ConfigurationError) as refused:
        config.load(file)
    assert refused.value.attributes["field"] == where
    assert "secret of the store" not in refused.value.message


def test_a_missing_setting_is_named(file: Path) -> None:
    file.write_text(MINIMAL.replace('secret_key = "secret of the store"\n', ""))
    with pytest.raises(ConfigurationError) as refused:
        config.load(file)
    assert refused.value.attributes["field"] == "blobs.secret_key"


def test_all_that_is_wrong_is_named_at_once(file: Path) -> None:
    file.write_text("unheard_of = 1\n" + MINIMAL.replace('key = "seal.key"\n', ""))
    with pytest.raises(ConfigurationError) as refused:
        config.load(file)
    assert set(refused.value.attributes["field"].split(", ")) == {"seal.key", "unheard_of"}
    assert "seal.key: Field required" in refused.value.message
    assert "unheard_of: " in refused.value.message


@pytest.mark.parametrize("content", [b"listen = ", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="can't be read"):
        config.load(file)
