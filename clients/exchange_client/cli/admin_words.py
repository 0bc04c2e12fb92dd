"""What the commands for staff and routes say, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping

ADMIN_WORDS: Mapping[str, tuple[str, str]] = {
    # Headers
    "key": ("key", "标识"),
    "field": ("field", "字段"),
    "before": ("before", "变更前"),
    "after": ("after", "变更后"),
    "value": ("value", "内容"),
    "verb": ("what to do", "操作"),
    "row": ("row", "行"),
    "column": ("column", "列"),
    "fault": ("what is wrong", "问题"),
    "name_zh": ("Chinese name", "中文名称"),
    "name_en": ("English name", "英文名称"),
    "short_zh": ("short name", "简称"),
    "credit_code": ("credit code", "统一社会信用代码"),
    "issuer_marks": ("issuer marks", "发文机关代字"),
    "acts_for": ("acts for", "代行发文"),
    "successor": ("successor", "承继单位"),
    "contact": ("contact", "联系方式"),
    "description": ("description", "说明"),
    "person": ("personnel no.", "工号"),
    "full_name": ("full name", "姓名"),
    "role": ("role", "角色"),
    "group_id": ("group", "通讯组编号"),
    "members": ("members", "成员"),
    "code": ("code", "代码"),
    "valid_from": ("from", "启用日期"),
    "valid_to": ("to", "停用日期"),
    "route_id": ("rule", "规则"),
    "effect": ("effect", "效力"),
    "genre": ("genre", "文种"),
    "direction": ("direction", "行文方向"),
    "note": ("note", "备注"),
    "calls_per_minute": ("calls/min", "每分钟调用"),
    "submissions_per_minute": ("submissions/min", "每分钟发文"),
    "bytes_per_minute": ("bytes/min", "每分钟字节"),
    "bytes_in_flight": ("bytes in flight", "在途字节"),
    "open_streams": ("open streams", "并发流"),
    "proposal_id": ("proposal", "提案编号"),
    "standing": ("standing", "状态"),
    "changes": ("changes", "变更数"),
    "proposed_by": ("proposed by", "提案人"),
    "proposed_at": ("proposed", "提案时间"),
    "decided_by": ("decided by", "审批人"),
    "decided_at": ("decided", "审批时间"),
    "token_id": ("token", "令牌编号"),
    "issued_by": ("issued by", "签发人"),
    "issued_at": ("issued", "签发时间"),
    "expires_at": ("expires", "到期时间"),
    "used_at": ("used", "使用时间"),
    "request_id": ("request", "申请编号"),
    "key_sha256": ("key (SHA-256)", "公钥摘要（SHA-256）"),
    "requested_at": ("requested", "申请时间"),
    "fingerprint": ("fingerprint", "证书指纹"),
    "serial": ("serial", "序列号"),
    "identity": ("identity", "身份"),
    "revoked_at": ("revoked", "吊销时间"),
    "revocation_reason": ("why revoked", "吊销原因"),
    "step": ("step", "环节"),
    "outcome": ("outcome", "结果"),
    "detail": ("why", "说明"),
    # Kinds of entries
    "unit": ("unit", "单位"),
    "staff": ("staff", "管理人员"),
    "group": ("group", "通讯组"),
    "region": ("region", "行政区划"),
    "business": ("business", "业务类别"),
    "route": ("route", "行文规则"),
    "quota": ("quota", "配额"),
    # What to do with them
    "PUT": ("put", "登记"),
    "SUSPEND": ("suspend", "暂停"),
    "RESUME": ("resume", "恢复"),
    "CLOSE": ("close", "撤销"),
    "REMOVE": ("remove", "删除"),
    # Standings
    "PROPOSAL_OPEN": ("open", "待审批"),
    "PROPOSAL_APPLIED": ("applied", "已生效"),
    "PROPOSAL_REJECTED": ("rejected", "已否决"),
    "TOKEN_OPEN": ("open", "可用"),
    "TOKEN_USED": ("used", "已使用"),
    "TOKEN_EXPIRED": ("expired", "已过期"),
    "TOKEN_WITHDRAWN": ("withdrawn", "已作废"),
    "SEAL_PENDING": ("pending", "待审批"),
    "SEAL_ISSUED": ("issued", "已签发"),
    "SEAL_REJECTED": ("rejected", "已否决"),
    # Steps of a route
    "STEP_sender": ("sender", "发文单位"),
    "STEP_certificates": ("certificates", "证书"),
    "STEP_quota": ("quota", "配额"),
    "STEP_business": ("line of business", "业务类别"),
    "STEP_rule": ("rule", "行文规则"),
    "STEP_recipient": ("recipient", "收文单位"),
    "PASSED": ("passed", "通过"),
    "FAILED": ("failed", "不通过"),
    # Sentences
    "unchanged": (
        "the registry says so already: nothing to change",
        "登记内容一致，无需变更",
    ),
    "status_stays": (
        "{entry} stays {status}: an import changes no status; suspend, resume and close do",
        "{entry} 的状态仍为 {status}：导入不变更状态，请用 suspend、resume 或 close",
    ),
    "repeat_with": (
        "nothing was changed: repeat the command with {option} to do it",
        "以上为预演，未作任何变更；如需执行，请加 {option} 重新运行",
    ),
    "repeat_without": (
        "nothing was changed: repeat the command without {option} to do it",
        "以上为预演，未作任何变更；如需执行，请去掉 {option} 重新运行",
    ),
    "changed_one_field": ("applied: 1 field changed", "已生效：变更 1 个字段"),
    "changed_registry": ("applied: {count} fields changed", "已生效：变更 {count} 个字段"),
    "proposed": (
        "not applied yet: this needs a second person. Another member of security staff looks at "
        "it with  exchange admin proposals show {proposal_id}  and runs  "
        "exchange admin proposals approve {proposal_id}",
        "尚未生效：需第二人审批。请另一名安全管理员用  "
        "exchange admin proposals show {proposal_id}  查看，并执行  "
        "exchange admin proposals approve {proposal_id}",
    ),
    "proposal_decided": (
        "proposal {proposal_id}: {standing}",
        "提案 {proposal_id}：{standing}",
    ),
    "exported": ("{count} entries -> {file}", "已导出 {count} 条 -> {file}"),
    "token_issued": (
        "token {token_id}, to be used until {expires_at}, is shown this once. For whoever enrols, "
        "over a way that nobody else reads:\n{command}",
        "令牌 {token_id}，有效期至 {expires_at}，仅显示一次。"
        "请通过安全途径交给申请单位：\n{command}",
    ),
    "token_withdrawn": ("token {token_id} is of no use any more", "令牌 {token_id} 已作废"),
    "seal_decided": (
        "seal {seal} of {unit}: {standing}",
        "{unit} 的电子印章 {seal}：{standing}",
    ),
    "revoked": (
        "revoked: {identity}, serial {serial}, {revocation_reason}",
        "已吊销：{identity}，序列号 {serial}，{revocation_reason}",
    ),
    "route_allowed": (
        "yes, {recipient} can be sent this now: {reason}",
        "可以发往 {recipient}：{reason}",
    ),
    "route_denied": (
        "no, {recipient} can't be sent this now: {reason}",
        "不可发往 {recipient}：{reason}",
    ),
}
