"""The wording of the sample documents: opening, points and closing lines of each genre."""

from __future__ import annotations

import random
from datetime import date

_OPENINGS = {
    "REQUEST": "为推进{subject}工作，我单位会同有关部门作了认真研究。现将有关情况请示如下。",
    "REPLY": "你单位报来的请示收悉。经研究，现就{subject}批复如下。",
    "REPORT": "按照市政府统一部署，我单位扎实推进{subject}工作。现将有关情况报告如下。",
    "LETTER": "因工作需要，现就{subject}有关事宜函告如下，请予支持。",
    "CIRCULAR": "近期，有关部门就{subject}组织了专项检查。现将检查情况通报如下。",
    "MINUTES": "会议听取了{subject}工作情况的汇报，研究了存在的问题，议定事项如下。",
    "OPINION": "为深入贯彻落实上级精神，现就{subject}提出以下意见。",
    "MOTION": "为做好{subject}工作，现提出议案，请予审议。",
    "NONE": "现将《{title}》送你单位，请研究办理。",
}
_OPENING = "为切实做好{subject}工作，根据国家、省有关规定，结合我市实际，现将有关事项通知如下。"

_POINTS = (
    "提高思想认识。各级各部门要充分认识此项工作的重要意义，切实加强组织领导，主要负责同志亲自抓。",
    "明确责任分工。牵头单位负责统筹协调，配合单位按照职责分工抓好落实，做到任务到岗、责任到人。",
    "加强督促检查。对工作进展情况实行周调度、月通报，对推诿扯皮、贻误工作的严肃追究责任。",
    "规范工作程序。严格按照规定的时限和程序办理，重要事项集体研究决定，全过程留存记录。",
    "强化经费保障。所需经费列入年度预算，专款专用，并接受财政、审计部门的监督检查。",
    "做好信息报送。各单位于每月二十五日前通过电子公文交换系统报送进展情况，逾期视为未报。",
    "广泛宣传发动。充分利用报刊、广播、电视和政府网站，宣传有关政策，营造良好的社会氛围。",
    "确保安全稳定。认真排查各类隐患，完善应急预案，加强值班值守，遇有重大情况立即报告。",
    "总结推广经验。及时发现和培育先进典型，以点带面，推动全市工作整体水平的提高。",
    "严格数据质量。统计口径前后一致，数据来源清楚，经单位负责人审核后方可上报。",
)

_CLOSINGS = {
    "REQUEST": "妥否，请批示。",
    "REPLY": "此复。",
    "REPORT": "特此报告。",
    "LETTER": "特此函达，请予函复。",
    "CIRCULAR": "特此通报。",
    "MOTION": "现提请审议。",
    "ANNOUNCEMENT": "特此通告。",
    "PROCLAMATION": "特此公告。",
}
_CLOSING = "请认真贯彻执行。"
_ORDINALS = "一二三四五六七八九十"
_DIGITS = "〇一二三四五六七八九"


def subject_of(title: str) -> str:
    """What a title is about: ``关于编制部门预算的通知`` gives ``编制部门预算``."""
    text = title.removeprefix("关于")
    head, separator, _ = text.rpartition("的")
    return head if separator else text


def paragraphs(genre: str, title: str, rng: random.Random) -> list[str]:
    """An opening, three to five numbered points and a closing line."""
    points = rng.sample(_POINTS, rng.randint(3, 5))
    return [
        _OPENINGS.get(genre, _OPENING).format(subject=subject_of(title), title=title),
        *(f"{_ORDINALS[place]}、{point}" for place, point in enumerate(points)),
        _CLOSINGS.get(genre, _CLOSING),
    ]


def chinese_date(day: date) -> str:
    """A date in the form of official documents: ``二〇〇九年六月十八日``."""
    year = "".join(_DIGITS[int(digit)] for digit in str(day.year))
    return f"{year}年{_below_hundred(day.month)}月{_below_hundred(day.day)}日"


def _below_hundred(number: int) -> str:
    tens, ones = divmod(number, 10)
    head = "" if tens == 0 else "十" if tens == 1 else f"{_DIGITS[tens]}十"
    return head + (_DIGITS[ones] if ones else "")
