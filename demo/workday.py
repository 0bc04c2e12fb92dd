"""Plans a compressed workday of the city: who sends what to whom, in which order, and who refuses.

Pure data out of a seed: the same arguments give the same plan. Times follow the day's load, with
peaks from 10 to 11 and from 15 to 16; answers come after what they answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta

from demo import catalogue, sizes
from demo.catalogue import Sample, Work
from demo.city import City
from demo.numbers import Numbers
from demo.plan import (
    Answer,
    PartKind,
    PartRole,
    PlannedDocument,
    PlannedPart,
    PlannedRefusal,
    Workday,
)
from demo.prose import subject_of

DAY = date(2009, 6, 18)
FIRST_MINUTE, LAST_MINUTE = 9 * 60, 17 * 60
HOUR_WEIGHTS = (3, 6, 4, 2, 3, 4, 6, 3)
ANSWERED_SHARE = 0.75
DOCUMENTS_FOR_EACH_REFUSAL = 45
LARGEST_TABLE_BYTES: dict[PartKind, int] = {"XLSX": 50_000, "CSV": 2_000_000}


@dataclass(eq=False)
class _Draft:
    """A document before it has its place in the day, its number and its files."""

    minute: float
    sender: str
    issuers: tuple[str, ...]
    to: tuple[str, ...]
    title: str
    genre: str
    direction: str
    copies: tuple[str, ...] = ()
    business: str = "DOCUMENT"
    category: str | None = None
    number: str | None = None
    urgency: str = "NORMAL"
    answer_to: _Draft | None = None
    answer_of: str = ""
    answers: str | None = None
    wants_reply: bool = False
    is_data: bool = False
    key: int = 0
    parts: list[PlannedPart] = field(default_factory=list)


def plan(city: City, *, documents: int = 300, seed: int = 2009) -> Workday:
    """A workday of exactly ``documents`` documents (at least 2: the notices to every unit)."""
    if documents < 2:
        raise ValueError(f"a workday has at least 2 documents, not {documents}")
    planner = _Planner(city, random.Random(seed))
    planner.write_drafts(documents)
    return planner.finish()


class _Planner:
    def __init__(self, city: City, rng: random.Random) -> None:
        self.city = city
        self.rng = rng
        self.drafts: list[_Draft] = []
        self.all_units = tuple(city.by_id)
        self.districts = city.ids("DISTRICT")
        self.departments = city.ids("DEPARTMENT")
        self.authorised = city.members("authorised-departments")

    # -- who writes what to whom

    def write_drafts(self, count: int) -> None:
        self._add_sample(catalogue.FLOOD_NOTICE, 10 * 60 + 20)
        self._add_sample(catalogue.CERTIFICATE_NOTICE, 15 * 60 + 10)
        for sample in catalogue.SAMPLES[: count - 2]:
            self._add_sample(sample, self._minute())
        for draft in list(self.drafts):
            if draft.wants_reply and len(self.drafts) < count:
                self._add_answer(draft, "REPLY" if draft.genre == "REQUEST" else "LETTER")
        weights = [work.weight for work in catalogue.WORK]
        at_least_once = list(reversed(catalogue.WORK))
        while len(self.drafts) < count:
            drawn = self.rng.choices(catalogue.WORK, weights)[0]
            work = at_least_once.pop() if at_least_once else drawn
            draft = self._add_work(work)
            answered = work.answer and self.rng.random() < ANSWERED_SHARE
            if answered and len(self.drafts) < count:
                self._add_answer(draft, work.answer)

    def _add_sample(self, sample: Sample, minute: float) -> None:
        recipients = [unit for name in sample.to for unit in self._select(name, sample.sender)]
        draft = _Draft(
            minute, sample.sender, sample.issuers or (sample.sender,), tuple(recipients),
            sample.title, sample.genre, sample.direction, category=sample.category,
            number=sample.number, urgency=sample.urgency, wants_reply=bool(sample.answer),
        )  # fmt: skip
        if sample.genre == "REPLY":
            draft.answers = f"关于{subject_of(sample.title)}的请示"
        self.drafts.append(draft)

    def _add_work(self, work: Work) -> _Draft:
        sender = self._sender(work)
        to = self._select(work.to, sender)
        subjects = work.subjects or self._subjects_of(sender)
        title = work.title.format(subject=self.rng.choice(subjects))
        draft = _Draft(
            self._minute(), sender, work.issuers or (sender,), to, title, work.genre,
            work.direction, business=work.business, urgency=self._urgency(work),
            wants_reply=bool(work.answer), is_data=work.data,
        )  # fmt: skip
        office = catalogue.GOVERNMENT_OFFICE
        may_copy = work.genre in ("NOTICE", "CIRCULAR", "REPORT") and office != sender
        if may_copy and self.rng.random() < 0.2:
            draft.copies = (office,)
        self.drafts.append(draft)
        return draft

    def _add_answer(self, original: _Draft, kind: str) -> None:
        """``kind`` is the genre of the answer, or its line of business."""
        answering = self.rng.choice(original.to)
        is_document = kind in ("REPLY", "LETTER")
        sender = issuer = answering
        if answering == catalogue.GOVERNMENT:
            sender = catalogue.GOVERNMENT_OFFICE
        title = catalogue.REPLY_TITLES[kind].format(subject=subject_of(original.title))
        draft = _Draft(
            original.minute + self.rng.uniform(15, 90), sender, (issuer,), (original.sender,),
            title, kind if is_document else "NONE", "DOWN" if kind == "REPLY" else "PARALLEL",
            business="DOCUMENT" if is_document else kind, urgency=original.urgency,
            answer_to=original, answer_of=answering,
        )  # fmt: skip
        self.drafts.append(draft)

    def _sender(self, work: Work) -> str:
        if work.senders == catalogue.DISTRICTS:
            return self.rng.choice(self.districts)
        if work.senders == catalogue.DEPARTMENTS:
            return self.rng.choice([unit for unit in catalogue.SUBJECTS if unit != work.to])
        if work.senders == catalogue.AUTHORISED:
            return self.rng.choice([unit for unit in catalogue.SUBJECTS if unit in self.authorised])
        return work.senders

    def _subjects_of(self, sender: str) -> tuple[str, ...]:
        if sender in self.districts:
            return catalogue.DISTRICT_SUBJECTS
        return catalogue.SUBJECTS.get(sender, catalogue.GOVERNMENT_SUBJECTS)

    def _select(self, name: str, sender: str) -> tuple[str, ...]:
        """The units of a selector of the catalogue, never the sender itself."""
        departments = [unit for unit in self.departments if unit != sender]
        match name:
            case catalogue.EVERYBODY:
                return tuple(unit for unit in self.all_units if unit != sender)
            case catalogue.DISTRICTS:
                return self.districts
            case catalogue.SOME_DISTRICTS:
                return tuple(self.rng.sample(self.districts, self.rng.randint(2, 6)))
            case catalogue.SOME_DEPARTMENTS:
                return tuple(self.rng.sample(departments, self.rng.randint(2, 5)))
            case catalogue.ONE_DISTRICT:
                return (self.rng.choice(self.districts),)
            case catalogue.ONE_DEPARTMENT:
                return (self.rng.choice(departments),)
        return (name,)

    def _minute(self) -> float:
        hour = self.rng.choices(range(len(HOUR_WEIGHTS)), HOUR_WEIGHTS)[0]
        return FIRST_MINUTE + 60 * hour + self.rng.uniform(0, 59)

    def _urgency(self, work: Work) -> str:
        drawn = self.rng.uniform(0, 100)
        if drawn < work.extra_urgent_percent:
            return "EXTRA_URGENT"
        return "URGENT" if drawn < work.extra_urgent_percent + work.urgent_percent else "NORMAL"

    # -- places, files, numbers, refusals

    def finish(self) -> Workday:
        self.drafts.sort(key=lambda draft: draft.minute)
        for key, draft in enumerate(self.drafts, start=1):
            draft.key = key
        self._give_files()
        taken = [draft.number for draft in self.drafts if draft.number]
        numbers = Numbers(self.city, DAY.year, taken, self.rng)
        documents = tuple(self._finished(draft, numbers) for draft in self.drafts)
        return Workday(documents, self._refusals(documents))

    def _give_files(self) -> None:
        for draft, size in zip(
            self.drafts, sizes.body_sizes(len(self.drafts), self.rng), strict=True
        ):
            size = min(size, 150_000) if len(draft.to) > 50 else size
            draft.parts.append(PlannedPart("BODY", "PDF", f"{draft.title}.pdf", draft.title, size))
        data_sets = [draft for draft in self.drafts if draft.is_data]
        others = [draft for draft in self.drafts if not draft.is_data and len(draft.to) <= 50]
        wanted = round(len(self.drafts) * sizes.ATTACHMENT_SHARE) - len(data_sets)
        chosen = self.rng.sample(others, min(len(others), max(0, wanted)))
        # What several units issue together is the evidence that is shown: with more than one file.
        chosen += [draft for draft in others if len(draft.issuers) > 1 and draft not in chosen]
        recipient_counts = [len(draft.to) for draft in chosen]
        totals = [
            *sizes.data_sizes(len(data_sets), self.rng),
            *sizes.attachment_sizes(recipient_counts, self.rng),
        ]
        for draft, total in zip((*data_sets, *chosen), totals, strict=True):
            draft.parts.extend(self._attachments(draft, total))

    def _attachments(self, draft: _Draft, total: int) -> list[PlannedPart]:
        role: PartRole = "DATA" if draft.is_data else "ATTACHMENT"
        parts = []
        for place, size in enumerate(sizes.split(total, self.rng), start=1):
            title = self.rng.choice(catalogue.ATTACHMENT_TITLES)
            kind = self._kind(draft, size)
            if kind != "PDF":
                title = f"{subject_of(draft.title)}数据表"
                size = min(size, LARGEST_TABLE_BYTES[kind])
            filename = f"附件{place} {title}.{kind.lower()}"
            parts.append(PlannedPart(role, kind, filename, title, size))
        return parts

    def _kind(self, draft: _Draft, size: int) -> PartKind:
        """Tables are small, and data is always a table."""
        fits = size <= LARGEST_TABLE_BYTES["XLSX"]
        if draft.is_data:
            return "XLSX" if fits else "CSV"
        return "XLSX" if fits or self.rng.random() < 0.1 else "PDF"

    def _finished(self, draft: _Draft, numbers: Numbers) -> PlannedDocument:
        unit = self.city.by_id[draft.issuers[0]]
        is_document = draft.business == "DOCUMENT"
        minute = int(draft.minute)
        return PlannedDocument(
            key=draft.key,
            at=time(min(minute // 60, 23), minute % 60),
            sender=draft.sender,
            issuers=draft.issuers,
            to=draft.to,
            copies=tuple(copy for copy in draft.copies if copy not in draft.to),
            doc_id=numbers.doc_id(draft.issuers[0]),
            business=draft.business,
            genre=draft.genre,
            category=(draft.category or self._category(unit.name_zh)) if is_document else None,
            direction=draft.direction,
            title=draft.title,
            number=draft.number or (numbers.number(draft.issuers[0], draft.genre)
                                    if is_document else None),
            issuer_mark=self._red_head(draft),
            signatory=self.rng.choice(catalogue.SIGNATORIES) if draft.direction == "UP" else None,
            signed_date=DAY,
            urgency=draft.urgency,
            disclosure=self.rng.choice(("PUBLIC", "ON_REQUEST", "WITHHELD")),
            contact=unit.contact,
            answer=Answer(draft.answer_to.key, draft.answer_of) if draft.answer_to else None,
            answers=draft.answers,
            reply_due=DAY + timedelta(days=10) if draft.wants_reply else None,
            parts=tuple(draft.parts),
        )  # fmt: skip

    def _red_head(self, draft: _Draft) -> str:
        names = "、".join(self.city.by_id[unit].name_zh for unit in draft.issuers)
        if draft.genre in ("LETTER", "NONE"):
            return names
        return f"{names}{'令' if draft.genre == 'ORDER' else '文件'}"

    @staticmethod
    def _category(name_zh: str) -> str:
        if name_zh.startswith("中共"):
            return "PARTY"
        return "OTHER" if "代表大会" in name_zh or "政治协商" in name_zh else "GOVERNMENT"

    def _refusals(
        self, documents: Sequence[PlannedDocument]
    ) -> dict[tuple[int, str], PlannedRefusal]:
        """A few recipients refuse; never what somebody is going to answer."""
        answered = {document.answer.key for document in documents if document.answer}
        possible = [document for document in documents if document.key not in answered]
        count = min(len(possible), max(1, len(documents) // DOCUMENTS_FOR_EACH_REFUSAL))
        chosen = sorted(self.rng.sample(possible, count), key=lambda document: document.key)
        return {
            (document.key, self.rng.choice(document.to)): PlannedRefusal(
                *catalogue.REFUSALS[place % len(catalogue.REFUSALS)]
            )
            for place, document in enumerate(chosen)
        }
