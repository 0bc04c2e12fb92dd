"""What the commands print: tables in two languages or JSON lines on stdout, the rest on stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence

import click

LANGUAGES = ("en", "zh")
Row = Mapping[str, object]

# Each entry: English, Chinese.
_WORDS: Mapping[str, tuple[str, str]] = {
    "state": ("state", "状态目录"),
    "trust_domain": ("trust domain", "信任域"),
    "root_fingerprint": ("root fingerprint", "根证书指纹"),
    "serial": ("serial", "序列号"),
    "profile": ("profile", "证书类型"),
    "identity": ("identity", "身份"),
    "role": ("role", "角色"),
    "status": ("status", "使用状态"),
    "not_after": ("valid until", "有效期至"),
    "fingerprint": ("fingerprint", "指纹"),
    "certificate": ("certificate", "证书文件"),
    "key": ("key", "私钥文件"),
    "reason": ("reason", "理由"),
    "revoked_at": ("revoked", "吊销时间"),
    "issuer": ("issuer", "签发机构"),
    "number": ("no.", "序号"),
    "next_update": ("next update", "下次更新"),
    "revoked": ("revoked", "已吊销数"),
    "file": ("file", "文件"),
    "kind": ("problem", "问题"),
    "what": ("what", "说明"),
    "remedy": ("remedy", "处置"),
    "authorities": ("authorities", "签发机构"),
    "certificates": ("certificates", "证书"),
    "revocations": ("revocations", "吊销"),
    "crls": ("CRLs", "吊销列表"),
    "token": ("token", "登记令牌"),
    "token_id": ("token id", "令牌编号"),
    "expires_at": ("expires", "令牌有效期至"),
    "command": ("to enrol", "注册命令"),
    "VALID": ("valid", "有效"),
    "NOT_YET_VALID": ("not yet valid", "尚未生效"),
    "EXPIRED": ("expired", "已过期"),
    "REVOKED": ("revoked", "已吊销"),
}


def default_language() -> str:
    """The language that the locale asks for, English where it is none of ours."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if locale := os.environ.get(variable):
            return "zh" if locale.startswith("zh") else "en"
    return "en"


class Report:
    """Prints rows for people in one language, or for programs."""

    def __init__(self, *, as_json: bool, language: str | None) -> None:
        self._as_json = as_json
        self._column = LANGUAGES.index(language or default_language())

    def rows(self, rows: Iterable[Row], columns: Sequence[str]) -> None:
        """A JSON object a line with every field, or a table of ``columns``."""
        if self._as_json:
            for row in rows:
                click.echo(json.dumps(row, ensure_ascii=False))
        elif listed := list(rows):
            self._table(listed, columns)

    def row(self, row: Row) -> None:
        """One result: a JSON object, or a line for each field."""
        if self._as_json:
            self.rows([row], ())
            return
        for name, value in row.items():
            if value is not None:
                click.echo(f"{self._word(name)}: {self._shown(name, value)}")

    def notice(self, english: str, chinese: str) -> None:
        """Something worth knowing that is no result: on stderr."""
        click.echo((english, chinese)[self._column], err=True)

    def _word(self, key: str) -> str:
        words = _WORDS.get(key)
        return words[self._column] if words else key

    def _shown(self, column: str, value: object) -> str:
        if value is None:
            return ""
        return self._word(str(value)) if column == "status" else str(value)

    def _table(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(self._word(column), overflow="fold")
        for row in rows:
            table.add_row(*(Text(self._shown(column, row.get(column))) for column in columns))
        console = Console(soft_wrap=False)
        if not console.is_terminal:  # a file or a pipe gets whole lines
            console = Console(width=1000)
        with console.capture() as captured:
            console.print(table)
        for line in captured.get().splitlines():  # rich fills them up with blanks
            click.echo(line.rstrip(" "))
