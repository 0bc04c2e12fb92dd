"""What ``thread`` and ``circulation`` say, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping

CORRESPONDENCE_WORDS: Mapping[str, tuple[str, str]] = {
    # Headers
    "place": ("no.", "序号"),
    "parties": ("from -> to", "来文 -> 收文"),
    "links": ("links", "关联"),
    "signed_for_at": ("signed for", "签收时间"),
    "answered_at": ("answered", "答复时间"),
    "late": ("late", "逾期"),
    # Kinds of recipients
    "TO": ("to", "主送"),
    "CC": ("copy", "抄送"),
    # How an envelope refers to an earlier one
    "link_REPLY_TO": ("answers {earlier}", "答复 {earlier}"),
    "link_SUPERSEDES": ("supersedes {earlier}", "代替 {earlier}"),
    "link_REFERS_TO": ("refers to {earlier}", "参照 {earlier}"),
    "link_VOIDS": ("voids {earlier}", "废止 {earlier}"),
    # Sentences
    "several_units": ("{count} units", "{count} 个单位"),
    "more_units": ("{units} and {others} more", "{units} 等 {count} 个单位"),
    "thread_truncated": (
        "there are more: these {count} are the nearest to {envelope_id}",
        "还有更多：以上 {count} 件与 {envelope_id} 关系最近",
    ),
    "circulation": (
        "{title}: signed {signed} of {recipients}, answered {answered}, late {late}",
        "{title}：已签收 {signed}/{recipients}，已答复 {answered}，逾期 {late}",
    ),
}
