"""What the tables and messages of the command line say, in English and in Chinese."""

from __future__ import annotations

import os
from collections.abc import Mapping

from exchange_client.cli.admin_words import ADMIN_WORDS
from exchange_client.cli.enrolment_words import ENROLMENT_WORDS

LANGUAGES = ("en", "zh")

# Each entry: English, Chinese.
_WORDS: Mapping[str, tuple[str, str]] = {
    **ADMIN_WORDS,
    **ENROLMENT_WORDS,
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
    # States of deliveries
    "PENDING": ("pending", "待送达"),
    "DELIVERED": ("delivered", "已送达"),
    "SIGNED_FOR": ("signed for", "已签收"),
    "COMPLETED": ("completed", "已办结"),
    "REFUSED": ("refused", "已拒收"),
    "RETURNED": ("returned", "已退文"),
    "WITHDRAWN": ("withdrawn", "已撤回"),
    "EXPIRED": ("expired", "已失效"),
    # Further steps
    "ACCEPTED": ("accepted", "已受理"),
    "OVERDUE": ("overdue", "逾期"),
    "PROGRESS": ("progress", "办理进展"),
    "URGED": ("urged", "催办"),
    "OFFERED_AGAIN": ("offered again", "补发"),
    "WITHDRAWAL_REQUESTED": ("withdrawal requested", "申请撤回"),
    "WITHDRAWAL_GRANTED": ("withdrawal granted", "同意撤回"),
    "WITHDRAWAL_DECLINED": ("withdrawal declined", "不同意撤回"),
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
    "changed": ("{state}: {title} ({envelope_id})", "{state}：{title}（{envelope_id}）"),
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

# What to do, by the stable code of an error; the codes of its base classes stand in.
_ADVICE: Mapping[str, tuple[str, str]] = {
    "CONFIGURATION": (
        "Mend the profile or the option that the message names.",
        "请按提示修改配置或参数。",
    ),
    "KEY_UNUSABLE": (
        "Check the key file, its mode (chmod 600) and EXCHANGE_KEY_PASSPHRASE.",
        "请检查密钥文件、权限（chmod 600）和 EXCHANGE_KEY_PASSPHRASE。",
    ),
    "UNAUTHENTICATED": (
        "Ask the exchange centre's operator about this certificate or unit.",
        "请向交换中心管理员核实该证书或单位的状态。",
    ),
    "CERTIFICATE_EXPIRED": (
        "Renew the system certificate, or set this machine's clock right.",
        "请更新系统证书，或校准本机时钟。",
    ),
    "CERTIFICATE_REVOKED": ("Enrol again for a new certificate.", "请重新申请证书。"),
    "NOT_PERMITTED": (
        "Use the profile of a unit that may do this, or ask the operator for the right.",
        "请改用有权限的单位配置，或向管理员申请权限。",
    ),
    "NOT_FOUND": (
        "Check the identifier; you see only what your unit sent or received.",
        "请核对编号；只能查看本单位收发的公文。",
    ),
    "INVALID_REQUEST": ("Correct the value that the message names.", "请更正所提示的内容。"),
    "LIMIT_EXCEEDED": (
        "Send or read less at once; the same will pass the limit again.",
        "请减少一次收发的数据量；原样重试仍会超限。",
    ),
    "REFUSED": (
        "Correct the document and send it as a new one; the same will be refused again.",
        "请改正后重新发送；原样重发仍会被拒绝。",
    ),
    "SIGNATURE_MISSING": (
        "Give the seal of each other issuer with --seal PROFILE.",
        "请用 --seal 配置名 提供其他发文单位的印章。",
    ),
    "RECIPIENTS_REFUSED": (
        "Remove or correct the recipients named; see  exchange units.",
        "请删除或更正所列收文单位；可用 exchange units 查询。",
    ),
    "ENVELOPE_CONFLICT": (
        "Give another --doc-id; see  exchange outbox  for what was sent.",
        "请更换 --doc-id；可用 exchange outbox 查看已发公文。",
    ),
    "STATE_CONFLICT": (
        "See  exchange track ENVELOPE  for what was recorded instead.",
        "请用 exchange track 查看已记录的环节。",
    ),
    "VERIFICATION_FAILED": (
        "Do not use it. Refuse it with BAD_SIGNATURE or DIGEST_MISMATCH and tell the operator.",
        "请勿使用。以 BAD_SIGNATURE 或 DIGEST_MISMATCH 拒收，并告知管理员。",
    ),
    "UNAVAILABLE": ("Try again later; nothing is sent twice.", "请稍后再试；不会重复发送。"),
    "INTERNAL": (
        "Try again later; if it stays, give the operator the time of this message.",
        "请稍后再试；如仍失败，请将出错时间告知管理员。",
    ),
    "FILES": (
        "Make room, or see that the file or directory exists and may be written by you.",
        "请腾出空间，或确认文件、目录存在且可写。",
    ),
    "USAGE": ("See  {command} --help.", "请参阅 {command} --help。"),
}


def default_language() -> str:
    """zh where the locale's language is Chinese, otherwise en (POSIX: LC_ALL before LANG)."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


class Words:
    """The words of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """The word or sentence for ``key``; an unknown key stands for itself."""
        found = _WORDS.get(key)
        text = found[self._place] if found is not None else key
        return text.format(**values) if values else text

    def optional(self, key: str, **values: object) -> str:
        """The sentence for ``key``; empty if there is none."""
        return self(key, **values) if key in _WORDS else ""

    def advice(self, codes: tuple[str, ...], command: str = "exchange") -> str:
        """What to do about an error: that of the first of ``codes`` for which there is any.

        ``command`` is the one that was misused, in words of the command line.
        """
        for code in codes:
            if code in _ADVICE:
                return _ADVICE[code][self._place].format(command=command)
        return ""
