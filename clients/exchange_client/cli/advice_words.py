"""What to do about an error, in English and in Chinese, by its stable code.

``CODE``: anywhere. ``DOING.CODE``: in that command. ``DOING.CODE.attribute``: then, if the error
carries that attribute; ``DOING.CODE.attribute=value``: with that value. The codes of an error's
base classes stand in.
"""

from __future__ import annotations

from collections.abc import Mapping

from exchange_client.cli.evidence_words import EVIDENCE_ADVICE
from exchange_client.cli.joint_words import JOINT_ADVICE
from exchange_client.cli.life_words import LIFE_ADVICE

_LOOK_INTO_THE_OUTBOX = (
    "It may have been accepted all the same: look with  exchange outbox  first. Sent again, it is "
    "another document, unless it is a --draft or has the same --doc-id.",
    "可能已被受理：请先用 exchange outbox 查看。再次发送即为另一份公文，"
    "除非使用 --draft 或相同的 --doc-id。",
)

ADVICE: Mapping[str, tuple[str, str]] = {
    **EVIDENCE_ADVICE,
    **JOINT_ADVICE,
    **LIFE_ADVICE,
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
    "UNAVAILABLE": ("Try again later.", "请稍后再试。"),
    "send.UNAVAILABLE": _LOOK_INTO_THE_OUTBOX,
    "send.INTERNAL": _LOOK_INTO_THE_OUTBOX,
    "INTERNAL": (
        "Try again later; if it stays, give the operator the time of this message.",
        "请稍后再试；如仍失败，请将出错时间告知管理员。",
    ),
    "FILES": (
        "Make room, or see that the file or directory exists and may be written by you.",
        "请腾出空间，或确认文件、目录存在且可写。",
    ),
    "USAGE": ("See  {command} --help.", "请参阅 {command} --help。"),
    # Joining: there is no document and, mostly, no profile yet.
    "enrol.VERIFICATION_FAILED": (
        "Trust nothing that came, and tell the operator.",
        "请勿信任收到的任何内容，并告知管理员。",
    ),
    "enrol.VERIFICATION_FAILED.root_fingerprint": (
        "Compare --fingerprint and --authority with what the operator gave you, and tell the "
        "operator if they are the same. The token was not sent: it can still be used.",
        "请将 --fingerprint 和 --authority 与管理员提供的内容核对；如一致请告知管理员。"
        "令牌尚未发送，仍可使用。",
    ),
    "enrol.UNAVAILABLE.authority": (
        "Check --authority, and whether a firewall is in between; then repeat the command with "
        "the same token.",
        "请核对 --authority 并确认无防火墙阻断，然后用同一令牌重复本命令。",
    ),
    "enrol.UNAVAILABLE": (
        "Repeat the command later, with the same token.",
        "请稍后用同一令牌重复本命令。",
    ),
    "enrol.CONFIGURATION": (
        "Correct what the message names, and repeat the command with the same token.",
        "请按提示更正，并用同一令牌重复本命令。",
    ),
    "enrol.CERTIFICATE_EXPIRED": (
        "Set this machine's clock right, and repeat the command.",
        "请校准本机时钟，然后重复本命令。",
    ),
    "enrol.REQUEST_REFUSED": (
        "Ask the operator for a new token, and enrol with it.",
        "请向管理员申请新令牌后重新注册。",
    ),
    "TOKEN_REFUSED": ("Ask the operator for a new token.", "请向管理员申请新令牌。"),
    "TOKEN_USED": (
        "Ask the operator for a new token. If it was not you who used this one, have the "
        "certificates that came of it revoked.",
        "请向管理员申请新令牌。如非本人使用，请要求吊销由此签发的证书。",
    ),
    "TOKEN_OF_ANOTHER_UNIT": (
        "Give the token that was issued for your unit, or correct --unit.",
        "请使用为本单位签发的令牌，或更正 --unit。",
    ),
    "renew.VERIFICATION_FAILED": (
        "What came is not used, and the certificate before it stays. Tell the operator.",
        "收到的证书不予使用，原证书不变。请告知管理员。",
    ),
    "renew.REQUEST_REFUSED": (
        "Ask the operator for a new token, and enrol again with --replace.",
        "请向管理员申请新令牌，并用 --replace 重新注册。",
    ),
    # Staff
    "admin.NOT_PERMITTED": (
        "This takes a member of staff with another role: see  exchange admin staff list,  and "
        "give that one's profile with --profile.",
        "此操作需由其他角色的管理人员执行：请用 exchange admin staff list 查询，"
        "并用 --profile 指定其配置。",
    ),
    "admin.NOT_PERMITTED.role": (
        "This takes a member of staff with the role {role}.",
        "此操作需由角色为 {role} 的管理人员执行。",
    ),
    "ROLE_CONFLICT": (
        "Choose another person, or close what that person has now.",
        "请另选人员，或先撤销该人员现有的角色。",
    ),
    "SECOND_PERSON_NEEDED": (
        "Ask another member of security staff to decide.",
        "请由另一名安全管理员审批。",
    ),
    "admin.NOT_FOUND": (
        "There is no such entry: see the list of its kind,  exchange admin ... list.",
        "没有该条目：请用 exchange admin ... list 查询。",
    ),
    "admin.REFUSED": (
        "Nothing was changed: do what the message says. How a proposal stands, says  exchange "
        "admin proposals show.",
        "未作任何变更，请按提示处理。提案状态可用 exchange admin proposals show 查询。",
    ),
    "admin.VERIFICATION_FAILED": (
        "Do not rely on the answer, and tell the operator of the centre.",
        "请勿采信该应答，并告知中心管理员。",
    ),
    "ENTRIES_CHANGED": (
        "Nothing was changed. Look at what the registry says now, and decide again; a proposal "
        "that is out of date is rejected and made anew.",
        "未作任何变更。请查看当前登记内容后重新决定；过时的提案应否决并重新提出。",
    ),
    "admin.STATE_CONFLICT": (
        "It was decided already: see  exchange admin ... list.",
        "已有决定：请用 exchange admin ... list 查询。",
    ),
    "admin.TOKEN_USED": (
        "Revoke the certificates that came of it:  exchange admin certificate list  and  revoke.",
        "请吊销由此签发的证书：exchange admin certificate list 和 revoke。",
    ),
    "admin.UNIT_NOT_ACTIVE": (
        "Security staff resume it:  exchange admin unit resume.",
        "由安全管理员恢复：exchange admin unit resume。",
    ),
    "STAFF_NOT_ACTIVE": (
        "Another member of security staff resumes it:  exchange admin staff resume.",
        "由另一名安全管理员恢复：exchange admin staff resume。",
    ),
}
