"""What ``draft`` and ``countersign`` say, and what to do about their errors."""

from __future__ import annotations

from collections.abc import Mapping

JOINT_WORDS: Mapping[str, tuple[str, str]] = {
    # Headers
    "issuer": ("issuer", "发文单位"),
    "sealed": ("sealed", "已盖章"),
    "countersign_request": ("request", "会签函"),
    "part_role": ("part", "组成"),
    "filename": ("file name", "文件名"),
    "path": ("file", "文件"),
    "has_sealed": ("yes", "是"),
    "has_not_sealed": ("no", "否"),
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
        "sealed for {unit}, and the seal was sent to {sender}: envelope {answer_id}",
        "已以 {unit} 的印章盖章，并已送交 {sender}：信封 {answer_id}",
    ),
    "answered_before": (
        "{unit} has answered the request {request_id} already, {answered_at}: envelope {answer_id} "
        "brings its seal to {sender}. To answer anew, first  exchange withdraw {answer_id}",
        "{unit} 已于 {answered_at} 答复会签函 {request_id}：信封 {answer_id} 已将印章送交 "
        "{sender}。如需重新答复，请先用 exchange withdraw {answer_id} 撤回",
    ),
    "answer_not_taken": (
        "the answer {envelope_id} of {sender} was not taken: {why}",
        "未采用 {sender} 的会签答复 {envelope_id}：{why}",
    ),
    "request_lapsed": (
        "the seal of {unit} was taken, though its request {request_id} is {state}: ask {unit} "
        "whether it stands by the seal before you send the document",
        "已采用 {unit} 的印章，但其会签函 {request_id} 的状态为“{state}”：发出前请向 {unit} 确认",
    ),
    "one_way_to_countersign": (
        "give DIR, DIR --request, DIR --collect, or --envelope ENVELOPE without DIR",
        "请给出 DIR、DIR --request、DIR --collect，或仅给出 --envelope ENVELOPE",
    ),
    "envelope_is_no_directory": (
        "there is no directory {envelope_id}: if this is the request to seal a draft, give "
        "--envelope {envelope_id}",
        "没有文件夹 {envelope_id}：如这是会签函的信封编号，请用 --envelope {envelope_id}",
    ),
    "reply_due_is_for_requests": (
        "--reply-due goes with --request",
        "--reply-due 须与 --request 同用",
    ),
    "nobody_to_ask": (
        "there is nobody to ask: look at the draft, then give --yes",
        "无人可确认：请先查看会签稿，再加 --yes",
    ),
    "draft_is_whole": (
        "--draft has all of the document: give nothing else",
        "--draft 已含公文全部内容：请勿再给出其他参数",
    ),
    "files_needed": (
        "FILES are needed: the first is the body of the document",
        "请给出文件：第一个为公文正文",
    ),
    "title_needed": ("--title is needed", "请给出 --title"),
    "recipients_needed": (
        "--to is needed, unless --reply-to, --supersedes or --voids says who it is for",
        "请给出 --to，或以 --reply-to、--supersedes、--voids 表明收文单位",
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
    "send.SIGNATURE_REFUSED.file": (
        "Remove the file that the message names. If it was to be a unit's seal, get that anew with "
        " exchange countersign DIR --request  and  --collect,  then send the draft.",
        "请删除所提示的文件。如其本应为某单位的印章，请用 exchange countersign DIR --request "
        "及 --collect 重新取得，然后发出。",
    ),
    "send.ENVELOPE_ID_OUT_OF_RANGE": (
        "Make a new draft with  exchange draft,  and have it sealed anew.",
        "请用 exchange draft 重新拟稿并重新会签。",
    ),
    "draft.NOT_PERMITTED.field=document.issuers": (
        "Have it drafted by the unit that is to send it: one of the issuers, or one that acts for "
        "the leading issuer; the operator knows which units do.",
        "请由发出单位拟稿：须为发文单位之一，或可代首位发文单位发文的单位（可向管理员核实）。",
    ),
    "countersign.INVALID_REQUEST.business": (
        "Nothing is wrong with the document, and there is nothing to countersign: it is received "
        "with  exchange receive {envelope_id}.  Requests for a seal are in  exchange inbox,  with "
        "a title that begins with 会签：.",
        "该公文并无问题，只是无需会签：请用 exchange receive {envelope_id} 接收。"
        "会签函可用 exchange inbox 查看，其标题以“会签：”开头。",
    ),
    "countersign.ENVELOPE_ID_OUT_OF_RANGE": (
        "Ask the unit that drafted it for a new draft.",
        "请拟稿单位重新拟稿。",
    ),
    "countersign.SIGNATURE_REFUSED.file": (
        "The draft can't be used as it is: remove the file that the message names. If that was to "
        "be a unit's seal, get it anew with --request and --collect, or by file; if you were asked "
        "to seal the draft, ask the unit that drafted it for it again.",
        "会签稿目前不可用：请删除所提示的文件。如其本应为某单位的印章，"
        "请用 --request、--collect 或通过文件重新取得；"
        "如系请贵单位会签，请向拟稿单位重新索取会签稿。",
    ),
    "countersign.SIGNATURE_REFUSED": (
        "Only an issuer seals a draft, and once.",
        "仅发文单位可会签，且只盖章一次。",
    ),
    "countersign.STATE_CONFLICT": (
        "Do not seal it: the request does not stand any more. Ask the unit that sent it; it can "
        "ask anew with  exchange countersign DIR --request.",
        "请勿盖章：会签函已失效。请联系来文单位，由其用 exchange countersign DIR --request "
        "重新发出。",
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
