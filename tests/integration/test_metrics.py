"""What Prometheus reads: the names that the handbook lists, and figures that are true."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
from exchange_client.testing import LocalCentre
from prometheus_client.parser import text_string_to_metric_families

from document_exchange import manifest
from document_exchange.errors import NotCanonical
from document_exchange.manifest import sha256_hex
from document_exchange.v1 import authority_pb2, authority_pb2_grpc, exchange_pb2
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    envelope,
    now,
    part,
    sealed,
    typed,
)

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def read(address: str) -> str:
    def fetched() -> str:
        with urlopen(f"http://{address}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(fetched)


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def documented(heading: str) -> dict[str, tuple[str, set[str]]]:
    metrics = OPERATIONS.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    section = metrics.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    row = re.compile(r"^\| `(exchange_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
    return {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in row.findall(section)
    }


def offered(text: str) -> dict[str, tuple[str, set[str]]]:
    found = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("process_"):
            continue
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, labels)
    return found


async def test_the_handbook_lists_exactly_what_is_served(
    local_centre: LocalCentre, tmp_path: Path
) -> None:
    inside = CentreInside(local_centre)
    async with inside.second_server(tmp_path / "log"):
        await exchanged(inside)
        text = await read(inside.metrics_address)
    assert offered(text) == documented("Of a server")


async def test_the_handbook_lists_exactly_what_the_authority_serves(
    local_centre: LocalCentre,
) -> None:
    inside = CentreInside(local_centre)
    async with inside.channel(inside.unit(SENDER), inside.description["authority"]["address"]) as c:
        stub = authority_pb2_grpc.AuthorityServiceStub(c)
        await stub.GetCrl(authority_pb2.GetCrlRequest(issuer="seal-ca"), timeout=10)
    text = await read(inside.description["authority"]["metrics"])
    assert offered(text) == documented("Of the authority's service")
    found = samples(text)
    assert found["exchange_certificates_valid", frozenset({("profile", "centre-seal")})] >= 1
    until = found["exchange_crl_next_update_timestamp_seconds", frozenset({("issuer", "root")})]
    assert until > now().timestamp()


async def test_figures_are_those_of_what_happened(
    local_centre: LocalCentre, tmp_path: Path
) -> None:
    inside = CentreInside(local_centre)
    async with inside.second_server(tmp_path / "log"):
        size = await exchanged(inside)
        found = samples(await read(inside.metrics_address))

    def value(name: str, **labels: str) -> float:
        return found[(f"exchange_{name}", frozenset(labels.items()))]

    assert value("documents_total", outcome="ACCEPTED") == 1
    assert value("documents_total", outcome="REPEATED") == 1
    assert value("documents_total", outcome="NOT_CANONICAL") == 1
    assert value("part_bytes_total", direction="received") == size
    assert value("delivery_steps_total", type="DELIVERED") == 1
    assert value("calls_total", method="ExchangeService/Submit", code="OK") == 2
    assert value("calls_total", method="ExchangeService/Submit", code="NOT_CANONICAL") == 1
    assert value("call_duration_seconds_count", method="ExchangeService/Submit") == 3
    assert value("calls_open", method="ExchangeService/Submit") == 0
    assert 0 <= value("registry_age_seconds") < value("registry_max_age_seconds") == 10
    assert value("crl_next_update_timestamp_seconds", issuer="seal-ca") > now().timestamp()
    assert value("certificates_ending", profile="seal") == 0


async def exchanged(inside: CentreInside) -> int:
    """One document sent twice and confirmed, another refused; gives the bytes of the first."""
    data = b"x" * 1000
    made = envelope([part(data)])
    content = manifest.encode(made)
    seal = sealed(content, inside.unit(SENDER, "seal"))
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(Upload(content, seal, (("part-1", data),)).messages(), timeout=10)
        await stub.Submit(Upload(content, seal, ()).messages(), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Submit(Upload(content + b" ", seal, ()).messages(), timeout=10)
        assert isinstance(typed(refused.value), NotCanonical)
    async with inside.stub(inside.unit(RECIPIENT)) as stub:
        confirmation = exchange_pb2.ConfirmDeliveryRequest(
            envelope_id=made.envelope_id, manifest_sha256=sha256_hex(content)
        )
        await stub.ConfirmDelivery(confirmation, timeout=10)
    return len(data)
