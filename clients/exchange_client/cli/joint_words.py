"""What ``draft`` and ``countersign`` say, and what to do about their errors."""

from __future__ import annotations

from collections.abc import Mapping

JOINT_WORDS: Mapping[str, tuple[str, str]] = {
    # Headers
    "issuer": ("issuer", "发文单位"),
    "sealed": ("sealed", "已盖章"),
    "request_id": ("request", "会签函"),
    "role": ("part", "组成"),
    "filename": ("file name", "文件名"),
    "path": ("file", "文件"),
    # Parts
    "BODY": ("body", "正文"),
    "ATTACHMENT": ("attachment", "附件"),
    "SEAL_DATA": ("seal data", "印章数据"),
    "DATA": ("data", "数据"),
    # Sentences
    "joint_draft": (
        "{title}\ndocument {doc_id}, number {number}, envelope {envelope_id}\n"
        "issuers: {issuers}\nrecipients: {recipients}\nsealed by: {sealed_by}\n"
        "to be sent by {send_by}",
        "{title}\n公文标识 {doc_id}，发文字号 {number}，信封 {envelope_id}\n"
        "发文单位：{issuers}\n收文单位：{recipients}\n已盖章：{sealed_by}\n"
        "须于 {send_by} 前发出",
    ),
    "seal_it": ("Seal this document for {unit}?", "是否以 {unit} 的印章会签本文？"),
    "not_sealed": ("it was not sealed", "未盖章"),
    "sealed_by_file": (
        "sealed for {unit}. Give {directory}, or signatures/{unit}.p7s in it, back to {sender}",
        "已以 {unit} 的印章盖章。请将 {directory} 或其中的 signatures/{unit}.p7s 交还 {sender}",
    ),
    "sealed_by_answer": (
        "sealed for {unit}, and the seal was sent to {sender}: envelope {envelope_id}",
        "已以 {unit} 的印章盖章，并已送交 {sender}：信封 {envelope_id}",
    ),
    "answer_not_taken": (
        "the answer {envelope_id} of {sender} was not taken: {why}",
        "未采用 {sender} 的会签答复 {envelope_id}：{why}",
    ),
    "seals_asked": (
        "take the seals that come with  exchange countersign {directory} --collect",
        "请用 exchange countersign {directory} --collect 收取印章",
    ),
    "seals_missing": (
        "not sealed yet: {missing}. Ask them with  exchange countersign {directory} --request  and "
        "take their seals with  --collect,  or hand them the directory",
        "尚未盖章：{missing}。可用 exchange countersign {directory} --request 请其会签，"
        "用 --collect 收取印章，或直接交送文件夹",
    ),
    "seals_complete": (
        "every issuer has sealed: send it with  exchange send --draft {directory}",
        "各发文单位均已盖章：请用 exchange send --draft {directory} 发出",
    ),
}

JOINT_ADVICE: Mapping[str, tuple[str, str]] = {
    "send.SIGNATURE_MISSING.draft": (
        "Take the seals that have come with  exchange countersign {draft} --collect,  or ask for "
        "them with  --request.",
        "请用 exchange countersign {draft} --collect 收取已到的印章，或用 --request 请其会签。",
    ),
    "send.ENVELOPE_ID_OUT_OF_RANGE": (
        "Make a new draft with  exchange draft,  and have it sealed anew.",
        "请用 exchange draft 重新拟稿并重新会签。",
    ),
    "countersign.ENVELOPE_ID_OUT_OF_RANGE": (
        "Ask the unit that drafted it for a new draft.",
        "请拟稿单位重新拟稿。",
    ),
    "countersign.SIGNATURE_REFUSED.file": (
        "Do not seal it. Remove the file that the message names, or ask for the draft again.",
        "请勿盖章。请删除所提示的文件，或向拟稿单位重新索取。",
    ),
    "countersign.SIGNATURE_REFUSED": (
        "Only an issuer seals a draft, and once.",
        "仅发文单位可会签，且只盖章一次。",
    ),
    "countersign.PART_REFUSED": (
        "Do not seal it, and ask the unit that drafted it for the draft again.",
        "请勿盖章，并向拟稿单位重新索取。",
    ),
    "countersign.MANIFEST_REFUSED": (
        "Do not seal it, and ask the unit that drafted it for the draft again.",
        "请勿盖章，并向拟稿单位重新索取。",
    ),
    "countersign.VERIFICATION_FAILED": (
        "Do not seal it. Refuse or return the request, and tell the unit that sent it.",
        "请勿盖章。请拒收或退回会签函，并告知来文单位。",
    ),
}
