"""The documents of the matters that the offices play after the workday; data only."""

from __future__ import annotations

from datetime import time

from demo import catalogue
from demo.catalogue import Sample
from demo.city import City
from demo.plan import PlannedDocument, PlannedPart
from demo.prose import subject_of
from demo.workday import DAY

AFTER_WORK = time(17, 30)
FIRST_KEY = 1_000_000
"""Above those of any workday."""

RETURNED = Sample(
    "qd-jianwei", "青建函〔2009〕57号", "关于商请查处违法占用绿地建设的函",
    "LETTER", "PARALLEL", ("qd-chengguan",),
)  # fmt: skip
RETURN_REASON = "违法占用绿地的查处权限在市城市园林局，请改送该局办理。"

WITHDRAWN_EARLY = Sample(
    "qd-caizheng", "青财库〔2009〕31号", "关于调整国库集中支付系统停机时间的通知",
    "NOTICE", "PARALLEL", ("qd-shenji",),
)  # fmt: skip
WITHDRAWAL_REASON = "停机时间有误，更正后另行发文。"
WITHDRAWN_LATE = Sample(
    "qd-fagaiwei", "青发改投资〔2009〕131号", "关于下达第三批扩大内需投资计划的通知",
    "NOTICE", "PARALLEL", ("qd-jiaotong", "qd-shuili"),
)  # fmt: skip
REQUEST_REASON = "投资计划表中两个项目的资金来源需要更正，申请撤回。"
DECLINED_BECAUSE = "本局已据此下达项目资金，不宜撤回，请另行发文更正。"

JOINT = Sample(
    "qd-jiaoyu", "青教通字〔2009〕88号", "关于联合开展学校周边食品卫生安全检查的通知",
    "NOTICE", "DOWN", ("qd-shinan", "qd-shibei", "qd-sifang", "qd-licang"),
    issuers=("qd-jiaoyu", "qd-weisheng", "qd-gongshang"),
)  # fmt: skip

CIRCULATED = Sample(
    "qd-fazhi", "青法制函〔2009〕22号", "关于紧急征求突发事件应急预案管理办法修改意见的函",
    "LETTER", "PARALLEL",
    ("qd-fagaiwei", "qd-jingmao", "qd-jiaoyu", "qd-keji", "qd-gongan", "qd-minzheng",
     "qd-caizheng", "qd-renshi", "qd-laodong", "qd-guotu", "qd-jianwei", "qd-jiaotong",
     "qd-shuili", "qd-nongye", "qd-haiyang", "qd-weisheng", "qd-huanbao", "qd-anjian"),
    urgency="EXTRA_URGENT",
)  # fmt: skip
SIGNING, ANSWERING = 14, 9
"""How many of them sign for it, and how many of these answer."""

OVERDUE = Sample(
    "qd-fangxun", "青汛电〔2009〕6号", "关于限时报送防汛物资储备情况的通知",
    "NONE", "DOWN", ("qd-laoshan", "qd-huangdao"), urgency="EXTRA_URGENT",
)  # fmt: skip
URGING = "报送时限已过，请立即签收并报送。"


def planned(
    sample: Sample, city: City, place: int, *, business: str = "DOCUMENT",
    answers: str | None = None,
) -> PlannedDocument:  # fmt: skip
    """A sample as a document that can be made and sent; ``place`` tells it from the others."""
    lead = city.by_id[sample.sender]
    issuers = sample.issuers or (sample.sender,)
    names = "、".join(city.by_id[unit].name_zh for unit in issuers)
    is_letter = sample.genre in ("LETTER", "NONE")
    return PlannedDocument(
        key=FIRST_KEY + place,
        at=AFTER_WORK,
        sender=sample.sender,
        issuers=issuers,
        to=sample.to,
        copies=(),
        doc_id=f"{lead.organisation_code}-{DAY.year}-{FIRST_KEY + place}",
        business=business,
        genre=sample.genre,
        category=sample.category if business == "DOCUMENT" else None,
        direction=sample.direction,
        title=sample.title,
        number=sample.number or None,
        issuer_mark=names if is_letter else f"{names}文件",
        signatory=None,
        signed_date=DAY,
        urgency=sample.urgency,
        disclosure="ON_REQUEST",
        contact=lead.contact,
        answer=None,
        answers=answers,
        reply_due=None,
        parts=(PlannedPart("BODY", "PDF", f"{sample.title}.pdf", sample.title, 0),),
    )


def answer(unit: str, city: City, place: int) -> PlannedDocument:
    """What one department answers in the circulation."""
    title = catalogue.REPLY_TITLES["LETTER"].format(subject=subject_of(CIRCULATED.title))
    sample = Sample(unit, "", title, "LETTER", "PARALLEL", (CIRCULATED.sender,))
    return planned(sample, city, place, answers=CIRCULATED.title)
