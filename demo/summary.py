"""The summary that people read: a table by line of business, the rates, and the books."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

from exchange_client.cli.life_words import LIFE_WORDS
from rich import box
from rich.console import Console
from rich.table import Table

from demo.balance import Balance
from demo.books import Books, Matter
from demo.city import City
from demo.plan import PlannedDocument
from demo.proof import EVIDENCE, FINGERPRINT, UNPACKED, Proof
from document_exchange.receipt import State

MEGABYTE = 1_000_000
MOST_UNITS = 4
MATTER_NAMES = {
    "returned": ("Return", "退文"),
    "withdrawn": ("Withdrawal", "撤回"),
    "joint": ("Joint issue", "联合行文"),
    "circulated": ("Circulation", "会签"),
    "overdue": ("Overdue", "逾期"),
}


def show(console: Console, city: City, books: Books, balance: Balance) -> None:
    """Print everything."""
    console.print()
    console.print(_by_business(city, books))
    console.print(_rates(books))
    console.print(_matters(city, books.matters))
    console.print(_books(city, books, balance))
    for problem in balance.shown():
        console.print(f"  [red]✗[/red] {problem}", highlight=False)


def show_proof(console: Console, proof: Proof, out: Path) -> None:
    """Where the evidence is, and what its script says of it."""
    bundle, folder = (shlex.quote(str(out / name)) for name in (EVIDENCE, UNPACKED))
    script = "env -i PATH=/usr/bin:/bin sh verify.sh"
    for line in (
        "Evidence of the joint issue; to check it yourself · 联合行文的证据，可自行验证:",
        f"  python3 -m zipfile -e {bundle} {folder}",
        f'  (cd {folder} && {script} "$(cat ../{FINGERPRINT})")',
        f"  exits · 退出码 {proof.code}: {proof.last_line}",
        f"  with one byte changed · 改动一个字节后 {proof.code_when_changed}:"
        f" {proof.last_line_when_changed}",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    for problem in proof.problems:
        console.print(f"  [red]✗[/red] {problem}", highlight=False)


def result_line(city: City, books: Books, balance: Balance) -> str:
    """The last line: one JSON object."""
    return json.dumps(
        {
            "units": len(city.units),
            "documents": len(books.sent),
            "deliveries": len(books.concluded),
            "signed_for": books.signed_for,
            "refused": books.refused,
            "lost": balance.lost,
            "duplicated": balance.duplicated,
            "seconds": round(books.seconds, 1),
            "matters": _matter_counts(books.matters),
        }
    )


def _matter_counts(matters: Sequence[Matter]) -> dict[str, int]:
    """How often each of these has happened; ``joint`` counts issuers' documents."""
    views = [matter.view for matter in matters if matter.name == "circulated"]
    return {
        "returned": sum(matter.count(State.RETURNED) for matter in matters),
        "withdrawn": sum(matter.count(State.WITHDRAWN) for matter in matters),
        "joint": sum(matter.name == "joint" for matter in matters),
        "circulated": sum(len(view.entries) for view in views if view),
        "answered": sum(view.answered for view in views if view),
        "overdue": sum(matter.overdue for matter in matters),
    }


def _matters(city: City, matters: Sequence[Matter]) -> Table:
    table = _table("Matters · 办理")
    for heading in ("Matter\n事项", "Units\n单位", "What happened\n经过", "Final states\n最终状态"):
        table.add_column(heading, overflow="fold")
    for matter in matters:
        name_en, name_zh = MATTER_NAMES[matter.name]
        units = [city.by_id[unit].short_zh for unit in matter.units]
        shown = "、".join(units[:MOST_UNITS]) + (f" 等{len(units)}家" * (len(units) > MOST_UNITS))
        table.add_row(
            f"{name_en} {name_zh}\n{matter.title}",
            shown,
            f"{matter.what_en}\n{matter.what_zh}",
            _final_states(matter),
        )
    return table


def _final_states(matter: Matter) -> str:
    """How many deliveries stand where; requests and answers of the matter included."""
    counted = Counter(each.state for each in matter.deliveries.values())
    lines = [f"{count} {' '.join(LIFE_WORDS[state])}" for state, count in counted.items()]
    return "\n".join([*lines, *([f"{matter.overdue} overdue 逾期"] if matter.overdue else [])])


def _by_business(city: City, books: Books) -> Table:
    table = _table("Workday by line of business · 各业务办理情况")
    table.add_column("Business\n业务", no_wrap=True)
    headings = (
        "Sent\n发文",
        "Extra\nurgent\n特急",
        "With\nfiles\n附件",
        "Units\n送达",
        "Signed\nfor\n已签收",
        "Re-\nfused\n拒收",
        "MB",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    documents = books.workday.documents
    for business in city.businesses:
        chosen = [each for each in documents if each.business == business.code]
        if not chosen:
            continue
        table.add_row(f"{business.name_zh} {business.name_en}", *_cells(chosen, books))
    table.add_section()
    table.add_row("Total · 合计", *_cells(documents, books), style="bold")
    return table


def _cells(documents: Sequence[PlannedDocument], books: Books) -> list[str]:
    keys = {document.key for document in documents}
    outcomes = [outcome for outcome in books.concluded.values() if outcome.key in keys]
    signed = sum(outcome.signed_for for outcome in outcomes)
    size = sum(sent.size_bytes for key, sent in books.sent.items() if key in keys)
    return [
        f"{len(documents):,}",
        f"{sum(document.urgency == 'EXTRA_URGENT' for document in documents):,}",
        f"{sum(bool(document.attachments) for document in documents):,}",
        f"{len(outcomes):,}",
        f"{signed:,}",
        f"{len(outcomes) - signed:,}",
        f"{size / MEGABYTE:,.1f}",
    ]


def _rates(books: Books) -> Table:
    seconds = books.seconds
    up, down = books.bytes_up / MEGABYTE, books.bytes_down / MEGABYTE
    sending = [sent.seconds for sent in books.sent.values()]
    concluding = [outcome.seconds for outcome in books.concluded.values()]
    return _pairs(
        "Rates · 速率",
        ("Duration · 用时", f"{seconds:.1f} s"),
        ("Documents sealed, sent, accepted · 发文", f"{len(books.sent) / seconds:.1f} /s"),
        ("Deliveries verified, concluded · 收文", f"{len(books.concluded) / seconds:.1f} /s"),
        ("Sent · 上传", f"{up:,.0f} MB, {up / seconds:.1f} MB/s"),
        ("Received · 下载", f"{down:,.0f} MB, {down / seconds:.1f} MB/s"),
        ("Sending one document · 单件发送", _p50_p99(sending)),
        ("From acceptance to sign-off · 从接受到签收", _p50_p99(concluding)),
    )


def _books(city: City, books: Books, balance: Balance) -> Table:
    planned, sent = len(books.workday.documents), len(books.sent)
    deliveries, concluded = books.workday.delivery_count, len(books.concluded)
    compared = f"{balance.files_checked:,} ({balance.bytes_checked / MEGABYTE:,.0f} MB)"
    verdict = "[red]DO NOT BALANCE · 账目不符[/red]"
    if balance.is_even:
        verdict = "[green]balance · 账目相符[/green]"
    return _pairs(
        "Books: plan, ledger, recipients' files · 账目核对",
        (
            "Units, enrolled with a token of their own · 单位 总数/凭令牌入网",
            f"{len(city.units):,} / {balance.enrolled:,}",
        ),
        ("Documents planned, sent · 文件 计划/发出", f"{planned:,} / {sent:,}"),
        ("Deliveries planned, concluded · 送达 计划/办结", f"{deliveries:,} / {concluded:,}"),
        ("Files on recipients' disks compared · 核对文件", compared),
        ("Lost · 丢失", f"{balance.lost:,}"),
        ("Duplicated · 重复", f"{balance.duplicated:,}"),
        ("The books · 结论", verdict),
    )


def _pairs(title: str, *rows: tuple[str, str]) -> Table:
    table = _table(title)
    table.show_header = False
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_style="bold", title_justify="left", box=box.SIMPLE_HEAD)


def _p50_p99(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "–"
    cuts = quantiles(seconds, n=100, method="inclusive")
    return f"p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s"
