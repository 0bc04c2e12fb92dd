"""The words of a delivery's life: steps, deadlines, notes, and advice when a step is not legal.

Advice is for a verb and the state that the delivery is in, see ``advice_words``.
"""

from __future__ import annotations

from collections.abc import Mapping

# Each entry: English, Chinese.
LIFE_WORDS: Mapping[str, tuple[str, str]] = {
    # States of deliveries; SIGNED_FOR and so on are steps, too
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
    "REMINDED": ("reminded", "到期提醒"),
    "OVERDUE": ("overdue", "逾期"),
    "PROGRESS": ("progress", "办理进展"),
    "URGED": ("urged", "催办"),
    "OFFERED_AGAIN": ("offered again", "补发"),
    "WITHDRAWAL_REQUESTED": ("withdrawal requested", "申请撤回"),
    "WITHDRAWAL_GRANTED": ("withdrawal granted", "同意撤回"),
    "WITHDRAWAL_DECLINED": ("withdrawal declined", "不同意撤回"),
    # Deadlines and notes
    "deadline": ("deadline", "时限"),
    "due_at": ("due at", "截止时间"),
    "due": ("due", "办理期限"),
    "notes": ("notes", "提示"),
    "replaced_by": ("replaced by", "被替代"),
    "REPLACED": ("replaced", "已被替代"),
    "SIGN_FOR": ("to sign for", "签收"),
    "REPLY": ("to reply", "答复"),
    # Sentences
    "recorded": (
        "{type}: envelope {envelope_id}, recipient {recipient}, no. {seq}, {recorded_at}",
        "{type}：信封 {envelope_id}，收文单位 {recipient}，序号 {seq}，{recorded_at}",
    ),
    "recorded_before": (
        "had been recorded before: {type}: envelope {envelope_id}, recipient {recipient}, "
        "no. {seq}, {recorded_at}",
        "此前已记录：{type}：信封 {envelope_id}，收文单位 {recipient}，序号 {seq}，{recorded_at}",
    ),
    "won": (
        "recorded before: {type} by {by}, no. {seq}, {recorded_at}; verified",
        "此前已记录：{type}，签署者 {by}，序号 {seq}，{recorded_at}；已验证",
    ),
    "news": (
        "{type}: {title}, recipient {recipient}, no. {seq}, {updated_at} ({envelope_id})",
        "{type}：{title}，收文单位 {recipient}，序号 {seq}，{updated_at}（{envelope_id}）",
    ),
    "was_replaced": (
        "note: {title} ({envelope_id}) was superseded or declared void by envelope {replaced_by}; "
        "see  exchange thread {envelope_id}",
        "注意：{title}（{envelope_id}）已被信封 {replaced_by} 替代或声明作废；"
        "请用 exchange thread {envelope_id} 查看",
    ),
    "seen": (
        "noted up to no. {seq}: {state}, envelope {envelope_id}, recipient {recipient}",
        "已阅至序号 {seq}：{state}，信封 {envelope_id}，收文单位 {recipient}",
    ),
    # Wrong usage
    "reason_needed": ("--reason is needed with --code OTHER", "--code OTHER 须同时给出 --reason"),
    "nobody_named": ("it names no unit", "未给出任何单位"),
    "follow_takes_all": (
        "--follow takes everything: name no ENVELOPE",
        "--follow 接收全部公文，不能同时指定信封编号",
    ),
    "one_choice_of_states": (
        "--all, --open and --state exclude each other",
        "--all、--open 和 --state 不能同时使用",
    ),
}

_RECEIVE_FIRST = (
    "Receive it first:  exchange receive {envelope_id}.",
    "请先接收：exchange receive {envelope_id}。",
)
_SIGN_FIRST = (
    "Sign for it first:  exchange sign {envelope_id}.",
    "请先签收：exchange sign {envelope_id}。",
)
_NOT_REQUESTED = (
    "The sender has no request for withdrawal open; see  exchange track {envelope_id}.",
    "来文单位没有待答复的撤回申请；请用 exchange track {envelope_id} 查看。",
)

_LOOK_FIRST = (
    "It may have been recorded all the same: look with  exchange track ENVELOPE  first, and repeat "
    "it only if it is not there.",
    "可能已被记录：请先用 exchange track 信封编号 查看，确无记录再重复操作。",
)
"""For what may be recorded twice. A single command forgets its receipt, so it can't hand it in."""

_RECIPIENTS = (
    "Name one of its recipients: see  exchange track {envelope_id}.",
    "请指定其收文单位之一：可用 exchange track {envelope_id} 查看。",
)
_OF_THE_SENDER = (
    "This is a step of the sender, {sender}. What was recorded so far says  exchange track "
    "{envelope_id}.",
    "此环节只能由发文单位 {sender} 办理；已记录的环节可用 exchange track {envelope_id} 查看。",
)

LIFE_ADVICE: Mapping[str, tuple[str, str]] = {
    **{
        f"{doing}.NOT_FOUND.{attribute}": advice
        for doing in ("withdraw", "urge", "offer-again")
        for attribute, advice in (("recipient", _RECIPIENTS), ("sender", _OF_THE_SENDER))
    },
    **{
        f"{doing}.{code}": _LOOK_FIRST
        for doing in ("progress", "decline", "withdraw", "urge", "offer-again")
        for code in ("UNAVAILABLE", "INTERNAL")
    },
    "sign.STATE_CONFLICT.state=PENDING": _RECEIVE_FIRST,
    "refuse.STATE_CONFLICT.state=PENDING": _RECEIVE_FIRST,
    "refuse.STATE_CONFLICT.state=SIGNED_FOR": (
        "It was signed for: return it with  exchange return {envelope_id} --code CODE.",
        "已签收：请用 exchange return {envelope_id} --code CODE 退文。",
    ),
    "progress.STATE_CONFLICT.state=PENDING": _RECEIVE_FIRST,
    "progress.STATE_CONFLICT.state=DELIVERED": _SIGN_FIRST,
    "complete.STATE_CONFLICT.state=PENDING": _RECEIVE_FIRST,
    "complete.STATE_CONFLICT.state=DELIVERED": _SIGN_FIRST,
    "return.STATE_CONFLICT.state=PENDING": _RECEIVE_FIRST,
    "return.STATE_CONFLICT.state=DELIVERED": (
        "It was not signed for: refuse it with  exchange refuse {envelope_id} --code CODE.",
        "尚未签收：请用 exchange refuse {envelope_id} --code CODE 拒收。",
    ),
    "grant.STATE_CONFLICT": _NOT_REQUESTED,
    "decline.STATE_CONFLICT": _NOT_REQUESTED,
    "withdraw.STATE_CONFLICT.state=SIGNED_FOR": (
        "It was signed for: ask the recipient with  exchange withdraw {envelope_id} --from "
        "{recipient} --request TEXT,  unless it was asked already.",
        "已签收：如尚未申请，请用 exchange withdraw {envelope_id} --from {recipient} "
        "--request 理由 向收文单位申请撤回。",
    ),
    "withdraw.STATE_CONFLICT.state=COMPLETED": (
        "It was dealt with and stays: send another with --voids to declare it void.",
        "已办结，不能撤回：可用 --voids 另发公文声明作废。",
    ),
    "offer-again.STATE_CONFLICT": (
        "Only what was refused is offered again: see  exchange track {envelope_id}.",
        "仅被拒收的公文可补发：请用 exchange track {envelope_id} 查看。",
    ),
}
