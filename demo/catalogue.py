"""What the offices write to each other: samples, subjects of each bureau, kinds of documents.

Titles and numbers are made up and realistic in form. ``SAMPLES`` are sent as they stand;
``WORK`` and the tables of subjects give the variations that fill the rest of the day.
"""

from __future__ import annotations

from dataclasses import dataclass

GOVERNMENT = "qd-zhengfu"
GOVERNMENT_OFFICE = "qd-zhengfuban"
PARTY_OFFICE = "qd-shiweiban"
CENTRE = "qd-dianzizhengwu"
CONGRESS = "qd-renda"

DISTRICTS = "@districts"
DEPARTMENTS = "@departments"
AUTHORISED = "@authorised-departments"
"""The departments that may instruct districts within their remit (docs/routes.md)."""
SOME_DISTRICTS = "@some-districts"
SOME_DEPARTMENTS = "@some-departments"
ONE_DISTRICT = "@one-district"
ONE_DEPARTMENT = "@one-department"
EVERYBODY = "@everybody"


@dataclass(frozen=True, slots=True)
class Sample:
    """A document with a title and number of its own. ``to`` holds unit ids or a selector."""

    sender: str
    number: str
    title: str
    genre: str
    direction: str
    to: tuple[str, ...]
    issuers: tuple[str, ...] = ()
    urgency: str = "NORMAL"
    category: str = "GOVERNMENT"
    answer: str = ""


FLOOD_NOTICE = Sample(
    GOVERNMENT_OFFICE, "青政办发〔2009〕31号", "关于印发防汛预案的通知",
    "NOTICE", "DOWN", (EVERYBODY,), urgency="EXTRA_URGENT",
)  # fmt: skip
CERTIFICATE_NOTICE = Sample(
    CENTRE, "青电政办〔2009〕6号", "关于更换数字证书的通知", "NOTICE", "PARALLEL", (EVERYBODY,)
)
SAMPLES = (
    Sample(GOVERNMENT_OFFICE, "青政发〔2009〕12号", "关于进一步做好节能减排工作的意见",
           "OPINION", "DOWN", (DISTRICTS,), issuers=(GOVERNMENT,)),
    Sample(GOVERNMENT_OFFICE, "青政字〔2009〕45号", "关于黄岛区土地利用规划的批复",
           "REPLY", "DOWN", ("qd-huangdao", "qd-guotu"), issuers=(GOVERNMENT,)),
    Sample(PARTY_OFFICE, "青办发〔2009〕7号", "关于推行电子政务的意见",
           "OPINION", "DOWN", (DISTRICTS,), issuers=(PARTY_OFFICE, GOVERNMENT_OFFICE),
           category="PARTY"),
    Sample("qd-fagaiwei", "青发改投资〔2009〕102号", "关于胶州污水处理厂项目的批复",
           "REPLY", "DOWN", ("qd-jiaozhou",)),
    Sample("qd-caizheng", "青财预〔2009〕16号", "关于编制部门预算的通知",
           "NOTICE", "PARALLEL", (SOME_DEPARTMENTS,)),
    Sample("qd-huanbao", "青环发〔2009〕23号", "关于开展环境安全检查的通知",
           "NOTICE", "DOWN", (DISTRICTS,), urgency="URGENT"),
    Sample("qd-jianwei", "青建管字〔2009〕40号", "关于建筑施工安全大检查的通报",
           "CIRCULAR", "DOWN", (DISTRICTS,)),
    Sample("qd-jiaoyu", "青教通字〔2009〕61号", "关于中小学招生工作的通知",
           "NOTICE", "DOWN", (DISTRICTS,)),
    Sample("qd-weisheng", "青卫疾控字〔2009〕19号", "关于甲型H1N1流感防控的紧急通知",
           "NOTICE", "DOWN", (DISTRICTS,), urgency="EXTRA_URGENT"),
    Sample("qd-minzheng", "青民〔2009〕28号", "关于城乡低保标准的请示",
           "REQUEST", "UP", (GOVERNMENT,), answer="REPLY"),
    Sample("qd-anjian", "青安监〔2009〕33号", "关于危化品专项整治情况的报告",
           "REPORT", "UP", (GOVERNMENT,)),
    Sample("qd-jiaotong", "青交函〔2009〕9号", "关于商请协调公交线路的函",
           "LETTER", "PARALLEL", ("qd-gongan",), answer="LETTER"),
    Sample("qd-tongji", "青统〔2009〕14号", "关于报送统计年报的通知",
           "NOTICE", "PARALLEL", (SOME_DEPARTMENTS,)),
    Sample("qd-laoshan", "崂政发〔2009〕20号", "关于景区规划调整的请示",
           "REQUEST", "UP", (GOVERNMENT,), answer="REPLY"),
    Sample("qd-jimo", "即政办发〔2009〕11号", "关于春耕备耕情况的报告",
           "REPORT", "UP", (GOVERNMENT,)),
    Sample(GOVERNMENT_OFFICE, "市政府专题会议纪要〔2009〕第15期", "关于奥帆中心后续利用的会议纪要",
           "MINUTES", "DOWN", ("qd-shinan", "qd-tiyu", "qd-lvyou", "qd-guihua")),
)  # fmt: skip

SUBJECTS: dict[str, tuple[str, ...]] = {
    "qd-anjian": ("非煤矿山安全生产专项检查", "烟花爆竹经营许可", "重大危险源普查登记"),
    "qd-caizheng": ("政府采购监督检查", "行政事业单位资产清查", "国库集中支付改革"),
    "qd-chengguan": ("占道经营专项整治", "户外广告清理", "渣土运输管理"),
    "qd-fagaiwei": ("重点建设项目调度", "节能评估审查", "服务业发展引导资金", "扩大内需投资计划"),
    "qd-gongan": ("道路交通安全整治", "流动人口登记管理", "消防安全大检查"),
    "qd-gongshang": ("无照经营查处取缔", "流通领域食品安全监管", "企业年度检验"),
    "qd-guihua": ("城市总体规划修编", "历史文化街区保护", "村镇规划编制"),
    "qd-guotu": ("第二次土地调查", "耕地保护责任考核", "保障性住房用地供应"),
    "qd-haiyang": ("浒苔灾害防控", "海域使用论证", "休渔期管理"),
    "qd-huanbao": ("污染源普查", "饮用水源地保护", "机动车尾气治理"),
    "qd-jianwei": ("城中村改造", "建筑节能改造", "农民工工资支付检查"),
    "qd-jiaotong": ("农村公路养护", "出租汽车行业管理", "海湾大桥接线工程"),
    "qd-jiaoyu": ("校舍安全排查", "学前教育布局调整", "教师交流轮岗"),
    "qd-jingmao": ("工业企业技术改造", "家电下乡推广", "有序用电方案"),
    "qd-keji": ("科技计划项目申报", "高新技术企业认定", "专利奖励"),
    "qd-laodong": ("城镇职工医疗保险市级统筹", "就业再就业扶持", "劳动用工备案"),
    "qd-linye": ("森林防火", "荒山绿化", "林权制度改革"),
    "qd-lvyou": ("旅游市场秩序整顿", "滨海旅游线路推介", "旅行社等级评定"),
    "qd-minzheng": ("社区建设", "救灾物资储备", "双拥共建", "地名普查"),
    "qd-nongye": ("小麦良种补贴", "农产品质量安全监测", "动物疫病防控"),
    "qd-qixiang": ("气象灾害预警发布", "人工增雨作业", "防雷安全检查"),
    "qd-renshi": ("事业单位公开招聘", "军转干部安置", "专业技术人员继续教育"),
    "qd-shenji": ("扩内需项目跟踪审计", "经济责任审计", "社保资金审计"),
    "qd-shizheng": ("供热管网改造", "节约用水", "燃气设施安全检查"),
    "qd-shuili": ("水库除险加固", "农村饮水安全", "河道清淤"),
    "qd-tongji": ("第二次经济普查", "城镇住户调查", "能源统计"),
    "qd-weisheng": ("手足口病防控", "新型农村合作医疗", "社区卫生服务体系建设"),
    "qd-wenhua": ("文物普查", "农家书屋建设", "非物质文化遗产申报"),
    "qd-wujia": ("教育收费检查", "自来水价格调整听证", "农产品成本调查"),
    "qd-zhijian": ("特种设备安全监察", "名牌产品培育", "食品生产许可"),
}
"""What a bureau is busy with; fits ``关于…的通知``, ``…的函``, ``…的请示``, ``…情况的报告``."""

DISTRICT_SUBJECTS = (
    "旧城区改造", "基层卫生院建设", "镇村道路维修", "工业园区扩区", "海岸带整治", "蔬菜基地建设",
    "中小学布局调整", "污水管网配套", "农村社区服务中心建设", "招商引资项目用地", "河道综合整治",
)  # fmt: skip
GOVERNMENT_SUBJECTS = (
    "促进服务业发展", "全民健身", "建设创新型城市", "加强食品安全监管", "推进行政审批制度改革",
    "扶持中小企业", "加快现代农业发展", "政府信息公开", "应急体系建设", "完善社会保障体系",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of document that fills the day.

    ``{subject}`` in the title is one of ``subjects``, or of what the sender is busy with.
    ``senders`` is a unit id, or the selector of all bureaus with subjects, of those among them
    that are authorised, or of all districts.
    ``answer`` is the genre (or business) in which the recipient will answer, if it does.
    """

    weight: int
    senders: str
    to: str
    title: str
    genre: str
    direction: str
    business: str = "DOCUMENT"
    issuers: tuple[str, ...] = ()
    urgent_percent: int = 8
    extra_urgent_percent: int = 1
    answer: str = ""
    data: bool = False
    subjects: tuple[str, ...] = ()


_FOR_GOVERNMENT = (GOVERNMENT,)
WORK = (
    Work(14, AUTHORISED, SOME_DISTRICTS, "关于做好{subject}工作的通知", "NOTICE", "DOWN"),
    Work(8, DEPARTMENTS, SOME_DISTRICTS, "关于商请支持做好{subject}工作的函", "LETTER", "PARALLEL"),
    Work(8, DEPARTMENTS, SOME_DEPARTMENTS, "关于召开{subject}联席会议的通知", "NOTICE", "PARALLEL"),
    Work(14, DEPARTMENTS, ONE_DEPARTMENT, "关于商请支持{subject}工作的函", "LETTER", "PARALLEL",
         answer="LETTER"),
    Work(8, DEPARTMENTS, GOVERNMENT, "关于{subject}有关问题的请示", "REQUEST", "UP",
         answer="REPLY"),
    Work(8, DISTRICTS, GOVERNMENT, "关于{subject}有关事项的请示", "REQUEST", "UP", answer="REPLY"),
    Work(6, DISTRICTS, GOVERNMENT, "关于{subject}情况的报告", "REPORT", "UP"),
    Work(5, DEPARTMENTS, GOVERNMENT, "关于{subject}情况的报告", "REPORT", "UP"),
    Work(4, AUTHORISED, SOME_DISTRICTS, "关于{subject}检查情况的通报", "CIRCULAR", "DOWN"),
    Work(3, GOVERNMENT_OFFICE, SOME_DISTRICTS, "关于{subject}的意见", "OPINION", "DOWN",
         issuers=_FOR_GOVERNMENT),
    Work(2, GOVERNMENT_OFFICE, SOME_DEPARTMENTS, "关于表彰{subject}先进单位的决定", "DECISION",
         "DOWN", issuers=_FOR_GOVERNMENT),
    Work(1, GOVERNMENT_OFFICE, SOME_DISTRICTS, "{subject}管理办法", "ORDER", "DOWN",
         issuers=_FOR_GOVERNMENT),
    Work(1, GOVERNMENT_OFFICE, SOME_DEPARTMENTS, "关于{subject}的通告", "ANNOUNCEMENT", "DOWN",
         issuers=_FOR_GOVERNMENT),
    Work(1, "qd-haiyang", SOME_DISTRICTS, "关于{subject}的公告", "PROCLAMATION", "DOWN"),
    Work(1, "qd-tongji", SOME_DEPARTMENTS, "关于{subject}主要数据的公报", "COMMUNIQUE", "PARALLEL"),
    Work(1, GOVERNMENT_OFFICE, CONGRESS, "关于提请审议{subject}的议案", "MOTION", "PARALLEL",
         issuers=_FOR_GOVERNMENT),
    Work(1, CONGRESS, GOVERNMENT, "关于批准{subject}的决议", "RESOLUTION", "PARALLEL"),
    Work(3, GOVERNMENT_OFFICE, SOME_DEPARTMENTS, "关于{subject}的会议纪要", "MINUTES", "DOWN"),
    Work(9, DISTRICTS, GOVERNMENT_OFFICE, "{subject}进展情况专报", "NONE", "PARALLEL",
         business="INFORMATION"),
    Work(5, DEPARTMENTS, GOVERNMENT_OFFICE, "{subject}动态信息", "NONE", "PARALLEL",
         business="INFORMATION"),
    Work(6, GOVERNMENT_OFFICE, SOME_DEPARTMENTS, "{subject}工作调度会议通知", "NONE", "DOWN",
         business="MEETING", urgent_percent=30, answer="MEETING"),
    Work(3, "qd-waiban", SOME_DEPARTMENTS, "{subject}考察团接待方案", "NONE", "PARALLEL",
         business="RECEPTION", subjects=("友好城市经贸", "海洋科技", "港口物流", "职业教育")),
    Work(5, GOVERNMENT_OFFICE, SOME_DISTRICTS, "{subject}落实情况督查通知", "NONE", "DOWN",
         business="SUPERVISION", answer="SUPERVISION"),
    Work(2, "qd-renshi", SOME_DEPARTMENTS, "{subject}年度考核材料报送要求", "NONE", "PARALLEL",
         business="ASSESSMENT"),
    Work(3, DISTRICTS, "qd-yingji", "{subject}突发情况快报", "NONE", "PARALLEL",
         business="EMERGENCY", urgent_percent=40, extra_urgent_percent=60,
         subjects=("强降雨积水", "海上浒苔聚集", "燃气管线受损", "道路塌陷", "山林火情")),
    Work(1, "qd-yingji", SOME_DISTRICTS, "{subject}应急调度通知", "NONE", "DOWN",
         business="EMERGENCY", urgent_percent=20, extra_urgent_percent=80,
         subjects=("强降雨积水", "海上浒苔聚集", "山林火情")),
    Work(4, "qd-xinfang", ONE_DISTRICT, "关于转办{subject}信访事项的通知", "NONE", "DOWN",
         business="PETITION", answer="PETITION",
         subjects=("供热收费", "拆迁补偿", "物业管理", "工资拖欠", "宅基地确权")),
    Work(4, "qd-tongji", SOME_DEPARTMENTS, "{subject}月度统计数据", "NONE", "PARALLEL",
         business="DATA", data=True),
    Work(4, "qd-gongshang", SOME_DEPARTMENTS, "{subject}登记数据", "NONE", "PARALLEL",
         business="DATA", data=True),
    Work(4, "qd-laodong", ONE_DEPARTMENT, "{subject}业务数据", "NONE", "PARALLEL",
         business="DATA", data=True),
)  # fmt: skip

REPLY_TITLES = {
    "REPLY": "关于{subject}的批复",
    "LETTER": "关于{subject}的复函",
    "MEETING": "{subject}参会回执",
    "SUPERVISION": "{subject}情况反馈",
    "PETITION": "{subject}办理结果",
}

REFUSALS = (
    ("NOT_OUR_REMIT", "该事项不属本单位职责范围，建议改送市政府办公厅。"),
    ("DUPLICATE", "该文件昨日已收到，内容相同。"),
    ("GENRE_OR_FORMAT", "文种使用不当，应以函行文，请更正后重新报送。"),
    ("WRONG_RECIPIENT", "主送单位有误，本单位非承办单位。"),
    ("NOT_CONSULTED", "涉及多部门职责，未经会签，请会签后报送。"),
    ("OTHER", "附件第二页无法辨认，请重新扫描后发送。"),
)
"""Reason codes and words with which a few recipients refuse."""

SIGNATORIES = ("王建国", "李文明", "张海涛", "刘志远", "陈立新", "孙德胜", "赵晓东", "周慧敏")

ATTACHMENT_TITLES = (
    "任务分解表", "项目明细", "实施方案", "现场检查记录", "评审意见", "可行性研究报告", "规划图纸",
    "会议签到表", "申报材料", "原始凭证扫描件",
)  # fmt: skip
