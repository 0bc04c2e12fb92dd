"""Whatever is done to a bundle of evidence, both verifiers refuse it, at the step that says why.

Seeded; the seed is printed, and EVIDENCE_SEED sets another. EVIDENCE_MUTATIONS is how many of each
kind the Python verifier sees, EVIDENCE_SHELL_MUTATIONS how many of these verify.sh sees too.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from document_exchange import codes, evidence
from document_exchange.evidence import Step
from document_exchange.receipt import ReasonCode, ReceiptType
from tests import evidence_stories as stories
from tests.assets.make_vectors import unzipped
from tests.evidence_cases import CITY, FOREIGN
from tests.evidence_for_tests import THEN, Files, Forgery, make_bundle, reindex
from tests.evidence_for_tests import Step as Statement
from tests.evidence_stories import OTHER, RECIPIENT, SENDER, SIGNED_FOR
from tests.evidence_verifiers import Verdict, all_in_shell, in_python, in_shell
from tests.pki_for_tests import Holder

SEED = int(os.environ.get("EVIDENCE_SEED", "20190603"))
IN_PYTHON = int(os.environ.get("EVIDENCE_MUTATIONS", "60"))
IN_SHELL = int(os.environ.get("EVIDENCE_SHELL_MUTATIONS", "6"))
DEMO = Path(__file__).parents[2] / "demo/out/evidence.zip"
INDEX = (evidence.INDEX, evidence.INDEX_SIGNATURE, evidence.INDEX_SUMS)
REQUIRED = frozenset(
    {
        *INDEX,
        evidence.MANIFEST,
        evidence.ROOT_CERTIFICATE,
        evidence.seal_ca_path(),
        evidence.signature_path(1),
        *(evidence.ACCEPTED + suffix for suffix in evidence.STATEMENT_SUFFIXES),
    }
)


TOLD = stories.stamped()
BASE = make_bundle(CITY, TOLD)
PATHS = sorted(BASE)


class Mutation(NamedTuple):
    """A bundle that must be refused, at one of these steps."""

    files: Files
    steps: frozenset[str]
    told: str


def changed(path: str) -> frozenset[str]:
    """Where it shows first that one file has other bytes."""
    if path in INDEX:
        return frozenset({Step.INDEX})
    if path == evidence.ROOT_CERTIFICATE:
        return frozenset({Step.ROOT})
    if path.startswith(("certificates/", "crls/")):
        # Openssl may read a damaged DER as the one before; then its digest is another.
        return frozenset({Step.AUTHORITIES, Step.FILES})
    return frozenset({Step.FILES})


def flipped(chance: random.Random) -> Mutation:
    path = chance.choice(PATHS)
    at, bits = chance.randrange(len(BASE[path])), chance.randrange(1, 256)
    data = bytearray(BASE[path])
    data[at] ^= bits
    return Mutation(BASE | {path: bytes(data)}, changed(path), f"{path}[{at}] ^= {bits}")


def truncated(chance: random.Random) -> Mutation:
    path = chance.choice(PATHS)
    kept = chance.randrange(len(BASE[path]))
    return Mutation(BASE | {path: BASE[path][:kept]}, changed(path), f"{path}[:{kept}]")


def another_envelope() -> Files:
    """The same parties and acts, another document."""
    other = msgspec.structs.replace(TOLD.manifest, envelope_id=codes.uuid7(THEN, b"another---"))
    return make_bundle(CITY, dataclasses.replace(TOLD, manifest=other, made_at=stories.at(11)))


SECOND = another_envelope()
DIFFERENT = [path for path in PATHS if BASE[path] != SECOND[path]]


def swapped(chance: random.Random) -> Mutation:
    """Some files are those of another bundle, as valid as this one."""
    some = chance.sample(DIFFERENT, chance.randrange(1, min(6, len(DIFFERENT))))
    if chance.random() < 0.3:
        # All of one thing: a statement with its admission, event and salt; or the whole index.
        stem = chance.choice(("accepted", "index", "deliveries/", "timestamps/", "manifest"))
        some = [path for path in DIFFERENT if path.startswith(stem)]
    whole = {path for path in INDEX if path in some}
    step = Step.INDEX if whole and whole != set(INDEX) else Step.FILES
    return Mutation(BASE | {path: SECOND[path] for path in some}, frozenset({step}), f"{some}")


def removed(chance: random.Random) -> Mutation:
    path = chance.choice(PATHS)
    files = {each: data for each, data in BASE.items() if each != path}
    step = Step.BUNDLE if path in REQUIRED else Step.FILES
    if path.startswith("crls/"):
        step = Step.INDEX  # the seal of the index can't be judged without it
    return Mutation(files, frozenset({step}), path)


def known_name(chance: random.Random) -> str:
    """A name that a bundle may have, and this one has not."""
    unit = chance.choice(
        (RECIPIENT, OTHER, "qd-" + "".join(chance.choices(string.ascii_lowercase, k=5)))
    )
    types = [each for each in ReceiptType if each is not ReceiptType.ACCEPTED]
    suffix = chance.choice(evidence.STATEMENT_SUFFIXES)
    return chance.choice(
        (
            f"deliveries/{unit}/{chance.randrange(3, 9999):04}-{chance.choice(types)}{suffix}",
            f"parts/{chance.randrange(3, 1000):03}.{chance.choice(('pdf', 'ofd', 'txt'))}",
            f"signatures/{chance.randrange(2, 100):02}.p7s",
            f"timestamps/{chance.randrange(2, 10**8):08}.{chance.choice(('txt', 'tsr'))}",
            f"log/{chance.randrange(1, 1000)}/proof-{chance.randrange(100)}",
        )
    )


def unknown_name(chance: random.Random) -> str:
    noise = "".join(chance.choices(string.ascii_letters + string.digits + "-_.", k=8))
    return chance.choice(
        (
            f".{noise}", f"parts/.{noise}", f"..{noise}", f"x{noise}.sh", f"deliveries/x{noise}",
            f"crls/root-{noise}x.der", f"certificates/{noise}x.der", f"signatures/{noise}.p7s~",
            f"accepted.json/{noise}x"[14:], f"parts/{noise}/001.pdf", f"parts/001.{noise}y y",
            f"deliveries/{RECIPIENT}/0003-ACCEPTED.json", "parts/001.TXT", f"x\n{noise}",
            f"deliveries/{RECIPIENT}/0003-{noise}x.json", "certificates/seal-ca-1.der", f"-{noise}",
        )
    )  # fmt: skip


def added(chance: random.Random) -> Mutation:
    data = BASE[chance.choice(PATHS)] if chance.random() < 0.5 else chance.randbytes(50)
    if chance.random() < 0.5:
        path = unknown_name(chance)
        return Mutation(BASE | {path: data}, frozenset({Step.BUNDLE}), path)
    path = known_name(chance)
    return Mutation(BASE | {path: data}, frozenset({Step.FILES}), path)


def renamed(chance: random.Random) -> Mutation:
    old = chance.choice(PATHS)
    known = chance.random() < 0.5
    new = known_name(chance) if known else unknown_name(chance)
    files = {new if path == old else path: data for path, data in BASE.items()}
    step = Step.FILES if known and old not in REQUIRED else Step.BUNDLE
    if old.startswith("crls/") and step is Step.FILES:
        step = Step.INDEX
    return Mutation(files, frozenset({step}), f"{old} -> {new}")


def not_the_one(chance: random.Random, unit: str) -> Holder:
    """Whoever may not sign in the place of this unit."""
    stranger = "qd-" + "".join(chance.choices(string.ascii_lowercase, k=4))
    return chance.choice(
        (
            CITY.seal(stranger), CITY.seal(OTHER), CITY.system(unit), CITY.system(stranger),
            CITY.tsa, FOREIGN.seal(unit), FOREIGN.system(unit), FOREIGN.centre,
            FOREIGN.seal(stranger),
        )
    )  # fmt: skip


SIGNATURES: Mapping[str, tuple[Step, str]] = {
    "signatures/01.p7s": (Step.SEALS, SENDER),
    "accepted.p7s": (Step.ACCEPTED, "centre"),
    f"deliveries/{RECIPIENT}/0001-DELIVERED.p7s": (Step.RECEIPT, "centre"),
    f"deliveries/{RECIPIENT}/0002-SIGNED_FOR.p7s": (Step.RECEIPT, RECIPIENT),
    f"deliveries/{RECIPIENT}/0002-SIGNED_FOR.admission.p7s": (Step.ADMISSION, "centre"),
}


def signed_by_another(chance: random.Random) -> Mutation:
    """Signed again, with everything that hangs on it made anew; the index by the centre itself,
    by the thief, or not at all."""
    path, (step, unit) = chance.choice(sorted(SIGNATURES.items()))
    thief = not_the_one(chance, unit)
    made = make_bundle(CITY, TOLD, Forgery(signers={path: thief}))
    index = chance.choice(("by the centre", "by the thief", "old"))
    if index == "by the thief":
        reindex(made, thief)
        step = Step.INDEX
    elif index == "old":
        made |= {each: BASE[each] for each in INDEX}
        step = Step.FILES
    whose = thief.certificate.subject.rfc4514_string()
    return Mutation(made, frozenset({step}), f"{path} by {whose}, index {index}")


def losing_receipt_slipped_in(chance: random.Random) -> Mutation:
    """Well signed by who may say so, but lost the race: there is no admission of it."""
    type_ = chance.choice((ReceiptType.REFUSED, ReceiptType.WITHDRAWN))
    reason = chance.choice([each for each in ReasonCode if each is not ReasonCode.OTHER])
    late = Statement(
        type_, stories.at(2), reason if type_ is ReceiptType.REFUSED else None, f"{chance.random()}"
    )
    lost = make_bundle(
        CITY, dataclasses.replace(TOLD, histories={RECIPIENT: (SIGNED_FOR[0], late)})
    )
    seq = chance.choice((2, 3))
    with_winners_admission = chance.random() < 0.3
    files = dict(BASE)
    stem = f"deliveries/{RECIPIENT}/{seq:04}-{type_.value}"
    for suffix in evidence.STATEMENT_SUFFIXES:
        files[stem + suffix] = lost[f"deliveries/{RECIPIENT}/0002-{type_.value}{suffix}"]
    if with_winners_admission:
        for suffix in evidence.ADMISSION_SUFFIXES:
            files[stem + suffix] = BASE[f"deliveries/{RECIPIENT}/0002-SIGNED_FOR{suffix}"]
    index = chance.choice(("old", "by the loser", "by a thief", "by the centre"))
    step = Step.FILES if index == "old" else Step.INDEX
    if index == "by the loser":
        reindex(files, CITY.seal(RECIPIENT))
    elif index == "by a thief":
        reindex(files, not_the_one(chance, "centre"))
    elif index == "by the centre":
        reindex(files, CITY.centre)
        step = Step.ADMISSION if with_winners_admission else Step.RECEIPT
    return Mutation(files, frozenset({step}), f"{stem}, index {index}, {with_winners_admission}")


STATED: Mapping[str, Step] = {
    evidence.MANIFEST: Step.MANIFEST,
    "accepted.json": Step.ACCEPTED,
    **{path: Step.RECEIPT for path in PATHS if path.startswith("deliveries/")},
    **{path: Step.LEAF for path in PATHS if path.endswith(".event.json")},
}
"""Where a fault in a text shows first, if all of it is signed and recorded so."""
FREE = ("extensions", "detail")


def said_more(chance: random.Random) -> Mutation:
    """A member more, somewhere, or one of another kind; well signed, admitted and indexed."""
    path = chance.choice([each for each in STATED if each.endswith(".json")])
    value = json.loads(BASE[path])
    objects = list(_objects(value))
    inner = chance.choice(objects)
    known = sorted({name for each in objects for name in each if name not in FREE})
    name = chance.choice([*known, "aa", "zz", "Type", "typ", "", "\u00fc", "a.b", 'a":"b', "[]"])
    more = chance.choice(
        [None, 1.5, -1, True, [], {}, [None], {name: name}, {"a": {"type": "x", "seq": 1}}]
    )
    told = f"{path}: {name} is {more} in one of {sorted(inner)}"
    inner[name] = more
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    made = make_bundle(CITY, TOLD, Forgery(respelt={path: lambda _: text}))
    return Mutation(made, frozenset({STATED[path]}), told)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """All objects in it, but those in which everything may stand."""
    if isinstance(value, dict):
        yield value
        value = [inner for name, inner in value.items() if name not in FREE]
    if isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


KINDS: Mapping[str, Callable[[random.Random], Mutation]] = {
    kind.__name__: kind
    for kind in (
        flipped, truncated, swapped, removed, added, renamed, signed_by_another,
        losing_receipt_slipped_in, said_more,
    )
}  # fmt: skip


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_mutation_is_refused_at_the_right_step(kind: str) -> None:
    print(f"\nEVIDENCE_SEED={SEED} {kind}: {IN_PYTHON}, in the shell {IN_SHELL}")  # noqa: T201
    chance = random.Random(f"{SEED} {kind}")
    refused_by_both([KINDS[kind](chance) for _ in range(IN_PYTHON)], IN_SHELL)


def refused_by_both(
    mutations: Sequence[Mutation], in_shell: int, root: str = CITY.fingerprint
) -> None:
    """By Python all of them, by verify.sh the first few."""
    some = mutations[:in_shell]
    found = [in_python(each.files, root) for each in mutations]
    found += all_in_shell([(each.files, root) for each in some])
    for mutation, verdict in zip([*mutations, *some], found, strict=True):
        assert verdict.step in mutation.steps, (mutation.told, mutation.steps, verdict)


def test_what_is_mutated_verifies() -> None:
    """Otherwise all of the above would say nothing."""
    for files in (BASE, SECOND):
        assert in_python(files, CITY.fingerprint) == Verdict(
            "", in_python(files, CITY.fingerprint).said
        )
        assert not in_shell(files, CITY.fingerprint).step


def test_one_byte_of_each_file_counts() -> None:
    """In a bundle with every kind of file; the shell verifier sees all of them in full runs."""
    told = dataclasses.replace(stories.life(), stamped_at=stories.at(7))
    one_byte_of_each(make_bundle(CITY, told), CITY.fingerprint)


@pytest.mark.skipif(not DEMO.exists(), reason="`make demo` has not left its evidence here")
def test_one_byte_of_each_file_of_the_demo_counts() -> None:
    files = unzipped(DEMO.read_bytes())
    root = DEMO.with_name("root-fingerprint.txt").read_text().strip()
    assert not in_python(files, root).step
    assert not in_shell(files, root).step
    one_byte_of_each(files, root)


def one_byte_of_each(files: Files, root: str) -> None:
    chance = random.Random(f"{SEED} each")
    mutations = []
    for path, data in sorted(files.items()):
        if data and path not in (evidence.VERIFY_TEXT, evidence.VERIFY_SCRIPT):
            at = chance.randrange(len(data))
            other = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            mutations.append(Mutation(files | {path: other}, changed(path), path))
    chance.shuffle(mutations)
    refused_by_both(mutations, len(mutations) if IN_SHELL >= 100 else 10, root)
