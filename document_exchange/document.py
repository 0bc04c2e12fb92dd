"""What a document says of itself, of its recipients and of its parts, inside a manifest.

The words with a fixed set of values (文种, 密级, 紧急程度 …) and the structs that use them, after
the core elements of GB/T 33480.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from document_exchange.fields import (
    BusinessCode,
    Copies,
    Date,
    DocId,
    EnvelopeId,
    FileName,
    Line,
    MediaType,
    PartId,
    PartSize,
    Sha256,
    ShortLine,
    Text,
    Title,
    UnitId,
)

MAX_ISSUERS = 32


class Genre(enum.StrEnum):
    """文种, after the Regulation of 2012; NONE where business is not DOCUMENT."""

    NONE = "NONE"
    RESOLUTION = "RESOLUTION"  # 决议
    DECISION = "DECISION"  # 决定
    ORDER = "ORDER"  # 命令（令）
    COMMUNIQUE = "COMMUNIQUE"  # 公报
    PROCLAMATION = "PROCLAMATION"  # 公告
    ANNOUNCEMENT = "ANNOUNCEMENT"  # 通告
    OPINION = "OPINION"  # 意见
    NOTICE = "NOTICE"  # 通知
    CIRCULAR = "CIRCULAR"  # 通报
    REPORT = "REPORT"  # 报告
    REQUEST = "REQUEST"  # 请示
    REPLY = "REPLY"  # 批复
    MOTION = "MOTION"  # 议案
    LETTER = "LETTER"  # 函
    MINUTES = "MINUTES"  # 纪要


class Category(enum.StrEnum):
    """Whose document it is: of the party, of the government, of another body."""

    PARTY = "PARTY"
    GOVERNMENT = "GOVERNMENT"
    OTHER = "OTHER"


class Direction(enum.StrEnum):
    """行文方向: to a superior 上行, to a subordinate 下行, between peers 平行."""

    UP = "UP"
    DOWN = "DOWN"
    PARALLEL = "PARALLEL"


class Secrecy(enum.StrEnum):
    """密级: none, 秘密, 机密, 绝密. All but NONE can be named so that they can be refused."""

    NONE = "NONE"
    SECRET = "SECRET"
    CONFIDENTIAL = "CONFIDENTIAL"
    TOP_SECRET = "TOP_SECRET"


class Urgency(enum.StrEnum):
    """紧急程度: normal, 加急, 特急."""

    NORMAL = "NORMAL"
    URGENT = "URGENT"
    EXTRA_URGENT = "EXTRA_URGENT"


class Disclosure(enum.StrEnum):
    """To the public: 主动公开, 依申请公开, 不公开."""

    PUBLIC = "PUBLIC"
    ON_REQUEST = "ON_REQUEST"
    WITHHELD = "WITHHELD"


class RecipientKind(enum.StrEnum):
    """主送 or 抄送."""

    TO = "TO"
    CC = "CC"


class LinkKind(enum.StrEnum):
    """How an envelope refers to an earlier one."""

    REPLY_TO = "REPLY_TO"
    """It answers it."""
    SUPERSEDES = "SUPERSEDES"
    """It takes its place."""
    REFERS_TO = "REFERS_TO"
    """It brings it to further recipients, or adds to it."""
    VOIDS = "VOIDS"
    """It declares it void."""


class PartRole(enum.StrEnum):
    """What a part is in its document; there is exactly one BODY."""

    BODY = "BODY"
    ATTACHMENT = "ATTACHMENT"
    SEAL_DATA = "SEAL_DATA"
    DATA = "DATA"


class Document(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What the document says of itself."""

    doc_id: DocId
    business: BusinessCode
    genre: Genre
    category: Category | None = None
    direction: Direction
    title: Title
    number: ShortLine | None = None
    issuer_mark: ShortLine | None = None
    issuers: Annotated[
        tuple[UnitId, ...],
        Meta(
            min_length=1,
            max_length=MAX_ISSUERS,
            description=f"1 to {MAX_ISSUERS} different units, the leading one first",
            extra_json_schema={"uniqueItems": True},
        ),
    ]
    signatory: ShortLine | None = None
    signed_date: Date
    print_unit: Line | None = None
    print_date: Date | None = None
    secrecy: Secrecy
    secrecy_period: ShortLine | None = None
    urgency: Urgency
    release_scope: Line | None = None
    disclosure: Disclosure | None = None
    attachment_note: Text | None = None
    remark: Text | None = None
    contact: Line | None = None
    reply_required: bool = False
    reply_due: Date | None = None
    reply_to: EnvelopeId | None = None
    answers: Line | None = None
    open_circulation: bool = False
    """Whether each recipient may see where the others stand (会签, 联办)."""


class Recipient(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One unit that is to receive the document."""

    unit: UnitId
    kind: RecipientKind
    copies: Copies | None = None
    copy_numbers: ShortLine | None = None


class Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One file of the document; ``size`` in bytes. ``filename`` is for display, never a path."""

    part_id: PartId
    role: PartRole
    filename: FileName
    media_type: MediaType
    size: PartSize
    sha256: Sha256


class Extension(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A value beyond this schema; a reader that does not know a critical one must refuse."""

    critical: bool
    value: Annotated[Any, Meta(extra_json_schema={"$ref": "#/$defs/Value"})]
