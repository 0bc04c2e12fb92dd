"""What ``evidence`` and ``verify`` say, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping

EVIDENCE_WORDS: Mapping[str, tuple[str, str]] = {
    "subject": ("about", "对象"),
    # A verdict; the others are those of doctor and of self-tests
    "NOTE": ("note", "提示"),
    # Steps
    "evidence_bundle": ("bundle: readable, safe and known names", "证据包：可读，文件名合规"),
    "evidence_root": ("root: the one that was asked for", "根证书：与给定指纹一致"),
    "evidence_authorities": ("authorities: under this root", "签发机构：由该根证书签发"),
    "evidence_index": ("index: sealed by the centre", "目录：由交换中心签章"),
    "evidence_files": ("files: every digest, none missing or added", "文件：摘要一致，无缺无增"),
    "evidence_manifest": ("manifest: well formed", "信封清单：格式合规"),
    "evidence_accepted": ("acceptance: by the centre", "受理：由交换中心签章"),
    "evidence_seals": ("seals: of every issuer", "印章：各发文机关齐全有效"),
    "evidence_parts": ("parts: size and digest", "正文附件：大小和摘要一致"),
    "evidence_receipt": ("receipt: by whom it must be", "回执：由应签者签章"),
    "evidence_admission": ("admission: recorded by the centre", "登记：由交换中心签章"),
    "evidence_leaf": ("event: committed to", "事件：与签章的承诺一致"),
    "evidence_history": ("history: no gap, every step legal", "流转过程：无缺环，步骤合规"),
    "evidence_timestamp": ("time-stamp", "时间戳"),
    "evidence_log": ("log proof", "日志证明"),
    # Sentences
    "saved_evidence": (
        "evidence about {envelope_id} as of {made_at}, recipients: {recipients} -> {path}",
        "信封 {envelope_id} 的证据，截至 {made_at}，收文单位：{recipients} -> {path}",
    ),
    "evidence_holds": (
        "the evidence holds: {envelope_id}, as of {made_at}, under root {root}\n"
        "about {recipients} of {of_recipients} recipients: {states}; {content}; notes: {notes}",
        "证据成立：信封 {envelope_id}，截至 {made_at}，根证书 {root}\n"
        "涉及 {of_recipients} 个收文单位中的 {recipients} 个：{states}；{content}；提示 {notes} 条",
    ),
    "evidence_digests": ("without content", "不含正文附件"),
    "evidence_parts_too": ("with content", "含正文附件"),
    "evidence_fails": (
        "THE EVIDENCE DOES NOT HOLD: steps failed: {failed}, the first about {subject}: {step}",
        "证据不成立：{failed} 个步骤不通过，首先涉及 {subject}：{step}",
    ),
    "evidence_none": (
        "NO BUNDLE OF EVIDENCE: {path} is no zip, or one that was cut off; nothing is proved",
        "不是证据包：{path} 不是 zip 文件，或文件不完整；未证明任何内容",
    ),
    "where_is_the_fingerprint": (
        "--root-fingerprint is missing: the SHA-256 of the exchange's root certificate, 64 hex "
        "digits. Get it from the exchange centre or another trusted place, never from who brings "
        "the evidence; a unit finds it in its own profile (root_fingerprint in profile.toml, and "
        "at the end of  exchange track).",
        "缺少 --root-fingerprint：交换中心根证书的 SHA-256 指纹，64 位十六进制数。"
        "请从交换中心或其他可信渠道获取，不得由提供证据的一方给出；"
        "入网单位可在自己的配置（profile.toml 的 root_fingerprint）"
        "或 exchange track 的输出末尾找到。",
    ),
}

EVIDENCE_ADVICE: Mapping[str, tuple[str, str]] = {
    "evidence.STATE_CONFLICT": (
        "Ask without its content:  exchange evidence {envelope_id} --without-content -o FILE.zip.",
        "请改取不含正文附件的证据：exchange evidence {envelope_id} --without-content -o 文件.zip。",
    ),
    "evidence.LIMIT_EXCEEDED": (
        "Ask about fewer recipients at a time with --recipient, or tomorrow; what was made before "
        "is given again at any time.",
        "请用 --recipient 分批获取，或次日再取；已生成过的证据可随时重新获取。",
    ),
}
