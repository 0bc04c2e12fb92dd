"""What the tables and messages of the command line say, in English and in Chinese."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

from exchange_client.cli.admin_words import ADMIN_WORDS
from exchange_client.cli.advice_words import ADVICE
from exchange_client.cli.correspondence_words import CORRESPONDENCE_WORDS
from exchange_client.cli.enrolment_words import ENROLMENT_WORDS
from exchange_client.cli.evidence_words import EVIDENCE_WORDS
from exchange_client.cli.joint_words import JOINT_WORDS
from exchange_client.cli.life_words import LIFE_WORDS

LANGUAGES = ("en", "zh")
_NOTHING: Mapping[str, str] = MappingProxyType({})

# Each entry: English, Chinese.
_GENERAL_WORDS: Mapping[str, tuple[str, str]] = {
    # Headers
    "envelope_id": ("envelope", "信封编号"),
    "state": ("state", "状态"),
    "urgency": ("urgency", "紧急程度"),
    "sender": ("from", "来文单位"),
    "recipient": ("to", "收文单位"),
    "title": ("title", "标题"),
    "number": ("number", "发文字号"),
    "doc_id": ("document", "公文标识"),
    "size_bytes": ("bytes", "字节数"),
    "accepted_at": ("accepted", "受理时间"),
    "deliveries": ("deliveries", "送达情况"),
    "seq": ("no.", "序号"),
    "type": ("step", "环节"),
    "by": ("by", "签署者"),
    "recorded_at": ("recorded", "记录时间"),
    "reason_code": ("reason", "理由"),
    "reason": ("in words", "说明"),
    "unit_id": ("unit", "单位编号"),
    "name": ("name", "名称"),
    "kind": ("kind", "类别"),
    "organisation_code": ("org. code", "组织机构代码"),
    "status": ("status", "使用状态"),
    "groups": ("groups", "所属分组"),
    "profile": ("profile", "配置"),
    "system": ("system", "系统"),
    "seal": ("seal", "电子印章"),
    "address": ("address", "地址"),
    "not_after": ("valid until", "有效期至"),
    # Urgency
    "NORMAL": ("normal", "普通"),
    "URGENT": ("urgent", "加急"),
    "EXTRA_URGENT": ("extra urgent", "特急"),
    # Units
    "DISTRICT": ("district", "区市"),
    "DEPARTMENT": ("department", "部门"),
    "OFFICE": ("office", "机关"),
    "CENTRE": ("centre", "中心"),
    "ACTIVE": ("active", "正常"),
    "SUSPENDED": ("suspended", "暂停"),
    "CLOSED": ("closed", "撤销"),
    # Reasons
    "NOT_OUR_REMIT": ("not our remit", "不属本机关职权范围"),
    "RULE_VIOLATION": ("breaks the rules of writing", "不符合行文规则"),
    "GENRE_OR_FORMAT": ("genre or format", "文种、格式不规范"),
    "NOT_CONSULTED": ("units concerned not consulted", "未会签"),
    "BAD_SIGNATURE": ("bad signature", "签名无效"),
    "DIGEST_MISMATCH": ("digest mismatch", "摘要不符"),
    "WRONG_RECIPIENT": ("wrong recipient", "误投"),
    "DUPLICATE": ("duplicate", "重复来文"),
    "OTHER": ("other", "其他"),
    # Sentences
    "yes": ("yes", "有"),
    "no": ("no", "无"),
    "sent": (
        "accepted by the centre: envelope {envelope_id}, document {doc_id}, {accepted_at}",
        "中心已受理：信封 {envelope_id}，公文标识 {doc_id}，{accepted_at}",
    ),
    "sent_before": (
        "had been accepted before: envelope {envelope_id}, document {doc_id}, {accepted_at}",
        "此前已受理：信封 {envelope_id}，公文标识 {doc_id}，{accepted_at}",
    ),
    "received": (
        "{state}: {title} -> {directory}",
        "{state}：{title} -> {directory}",
    ),
    "changed": ("{last_type}: {title} ({envelope_id})", "{last_type}：{title}（{envelope_id}）"),
    "nothing": ("nothing to show", "没有记录"),
    "no_profiles": (
        "there are no profiles in {directory}: set EXCHANGE_CONFIG to the directory that holds "
        "them, join with  exchange enrol,  or import one with  exchange profile import DIR",
        "{directory} 中没有配置：请将 EXCHANGE_CONFIG 设为配置所在目录，"
        "用 exchange enrol 注册，或用 exchange profile import 导入",
    ),
    "imported": ("profile {profile} is ready: {system}", "配置 {profile} 已就绪：{system}"),
    "more": (
        "only the newest {limit} are shown; --limit 0 shows all",
        "仅显示最新 {limit} 条；--limit 0 显示全部",
    ),
    "retry": (
        "{error} ... trying again for {budget_s} s",
        "{error}……将在 {budget_s} 秒内继续重试",
    ),
    "error": ("error", "错误"),
    "what_to_do": ("what to do", "处理办法"),
    "interrupted": ("interrupted", "已中断"),
    "verified": (
        "every signature was verified under root {root}",
        "全部签名均已验证，根证书 {root}",
    ),
}

DICTIONARIES = (
    _GENERAL_WORDS,
    ADMIN_WORDS,
    CORRESPONDENCE_WORDS,
    ENROLMENT_WORDS,
    EVIDENCE_WORDS,
    JOINT_WORDS,
    LIFE_WORDS,
)
"""No key is in two of them: each command gets its words by key alone."""

_WORDS = {key: entry for words in DICTIONARIES for key, entry in words.items()}


def default_language() -> str:
    """zh where the locale's language is Chinese, otherwise en (POSIX: LC_ALL before LANG)."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


class Words:
    """The words of one language."""

    def __init__(self, language: str, doing: str = "") -> None:
        """``doing``: the command, where the same error calls for something else."""
        self.language = language
        self._doing = doing
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """The word or sentence for ``key``; an unknown key stands for itself."""
        found = _WORDS.get(key)
        text = found[self._place] if found is not None else key
        return text.format(**values) if values else text

    def optional(self, key: str, **values: object) -> str:
        """The sentence for ``key``; empty if there is none."""
        return self(key, **values) if key in _WORDS else ""

    def advice(
        self,
        codes: tuple[str, ...],
        command: str = "exchange",
        attributes: Mapping[str, str] = _NOTHING,
    ) -> str:
        """What to do about an error: that of the first of ``codes`` for which there is any.

        What is right while doing this comes before what is right anywhere.

        Args:
            codes: the error's own and those of its base classes.
            command: the one that was misused, in words of the command line.
            attributes: the error's, which may tell two cases of one code apart.
        """
        for code in codes:
            here = f"{self._doing}.{code}"
            values = (f"{here}.{name}={value}" for name, value in attributes.items())
            for key in (*values, *(f"{here}.{name}" for name in attributes), here, code):
                if key in ADVICE:
                    text = ADVICE[key][self._place]
                    return text.format_map({**attributes, "command": command})
        return ""
