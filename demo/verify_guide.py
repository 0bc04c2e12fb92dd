"""The text of VERIFY.md: how to check a bundle with openssl and sha256sum, and who signed.

Every check fails (prints FALSE and returns non-zero) if what it checks is not so, and the verdict
at the end counts them, so that none that was left out goes unnoticed. Strings are looked up in the
JSON as ``"name":"value"``: the files are canonical, and within a JSON string a quotation mark is
always escaped, so no text can imitate a field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One receipt of the bundle. ``unit`` is None for the centre's own."""

    name: str
    by: str
    unit: str | None
    recipient: str | None
    admitted_by: str | None


@dataclass(frozen=True, slots=True)
class Guide:
    """What the text names. ``seals`` are pairs of signature file and SPIFFE ID."""

    title: str
    number: str
    issuers: Sequence[str]
    recipient: str
    part_count: int
    root_fingerprint: str
    seals: Sequence[tuple[str, str]]
    steps: Sequence[Step]


_HEAD = """\
# Verify this delivery · 验证本次送达

> {number} {title}
> from · 来文单位 `{issuers}` — to · 收文单位 `{recipient}`

These commands need OpenSSL 3.0 or later, `sha256sum`, GNU `date`, `grep` and `sed`; no network,
and nothing of the exchange centre. Paste them into a shell in this directory (`cd` to it first).
以下命令只需 OpenSSL 3.0 及 `sha256sum` 等通用工具，无须联网，也无须交换中心的任何软件。
进入本目录后逐段粘贴执行。

Each check prints `ok …` or `FALSE …`, and the last line the verdict: `all right`, if every check
was made and none was false. Anything else means: do not rely on this bundle.
每项检查输出 `ok …` 或 `FALSE …`；最后一行为结论，只有 `all right` 表示全部通过。

## 1. The root certificate · 根证书

Everything hangs on this certificate, so its fingerprint must come **from elsewhere**: from the
centre's publication or your own profile, not from this bundle. The one below was written when the
bundle was made; compare it with yours.
一切以根证书为准。指纹必须从其他可靠途径取得，请与下面的指纹核对。

```sh
right=0; wrong=0
ok() {{ echo "ok   $1"; right=$((right + 1)); }}
bad() {{ echo "FALSE $1"; wrong=$((wrong + 1)); false; }}
root_fingerprint={root_fingerprint}
found=$(openssl x509 -in certs/root.pem -outform DER | sha256sum | cut -c 1-64)
if [ "$found" = "$root_fingerprint" ]
then ok "root certificate"; else bad "root certificate"; fi
```

## 2. The tools · 检查用的函数

Shell functions that the later steps use. `signed` checks one signature: that it is one over this
file by a certificate of the seal CA (`openssl cms -verify -cades`), and **who** made it: exactly
this URI in the signer's certificate, which is for signing documents, chains to the root and was not
revoked at that moment. Without these, "verified" would only mean that somebody signed.

```sh
field() {{  # field NAME FILE: the text of a field
  sed -n "s/.*\\"$1\\":\\"\\([^\\"]*\\)\\".*/\\1/p" "$2"
}}
digest() {{  # digest FILE: its SHA-256
  sha256sum < "$1" | cut -c 1-64
}}
says() {{  # says FILE NAME VALUE: the field NAME has this VALUE
  if grep -qF "\\"$2\\":\\"$3\\"" "$1"
  then ok "$1: $2 is $3"; else bad "$1: $2 is not $3"; fi
}}
signed() {{  # signed FILE SIGNATURE WHO TIME: WHO signed FILE, with a seal that was good at TIME
  said=
  if moment=$(date -u -d "$4" +%s) &&
    said=$(openssl cms -verify -cades -binary -inform DER -in "$2" -content "$1" \\
      -no-CApath -no-CAstore -CAfile certs/chain.pem -partial_chain \\
      -purpose smimesign -attime "$moment" -signer signer.pem -out /dev/null 2>&1) &&
    openssl x509 -in signer.pem -noout -ext subjectAltName |
      sed 's/^ *//' | grep -qxF "URI:$3" &&
    openssl x509 -in signer.pem -noout -ext extendedKeyUsage |
      grep -qE '1\\.3\\.6\\.1\\.5\\.5\\.7\\.3\\.36|[Dd]ocument ?[Ss]igning' &&
    said=$(openssl verify -x509_strict -no-CApath -no-CAstore -CAfile certs/root.pem \\
      -untrusted certs/chain.pem -CRLfile certs/crls.pem -crl_check_all \\
      -purpose smimesign -attime "$moment" signer.pem 2>&1)
  then rm -f signer.pem; ok "$1: signed by $3"
  else rm -f signer.pem; echo "$said"; bad "$1: not signed by $3"; fi
}}
```

## 3. The seal CA · 签章证书的颁发机构

It was issued by the root, and only for seals and time-stamps: no TLS certificate can come from it.

```sh
openssl x509 -in certs/chain.pem -noout -subject -ext basicConstraints,extendedKeyUsage
if openssl x509 -in certs/chain.pem -noout -ext extendedKeyUsage |
  grep -qE 'TLS Web (Client|Server) Authentication|Any Extended Key Usage'
then bad "the CA is not for seals alone"
else ok "a CA for seals"; fi
if [ "$(grep -c 'BEGIN CERTIFICATE' certs/chain.pem)" -eq 1 ]
then ok "one CA, no other"; else bad "several certificates"; fi
```
"""

_MANIFEST = """
## 4. The centre accepted it, and when · 交换中心接受

The time in the centre's ACCEPTED receipt is the moment as of which the seals are judged. The
receipt names the digests of the manifest and of every signature over it, so that none could be
added or taken away later.

```sh
accepted_at=$(field at receipts/{accepted}.json)
signed receipts/{accepted}.json receipts/{accepted}.json.p7s \\
  {centre} "$accepted_at"
says receipts/{accepted}.json manifest_sha256 "$(digest manifest.json)"
says receipts/{accepted}.json type ACCEPTED
says receipts/{accepted}.json envelope_id "$(field envelope_id manifest.json)"
if grep -qF '"signatures_sha256":['"{digests}"']' receipts/{accepted}.json
then ok "it names exactly these signatures"; else bad "other signatures"; fi
```

## 5. Who issued the document · 发文机关的签章

Every unit in `issuers` must have sealed the manifest.

```sh
grep -o '"issuers":\\[[^]]*\\]' manifest.json
{seals}
```

## 6. The files · 正文与附件

Each file under `parts/` is one that the sealed manifest lists, and none is missing.

```sh
for part in parts/*; do
  if grep -qF "\\"sha256\\":\\"$(digest "$part")\\"" manifest.json
  then ok "$part"; else bad "$part is not in the manifest"; fi
done
if [ "$(grep -o '"part_id":' manifest.json | wc -l)" -eq "$(ls parts | wc -l)" ]
then ok "{part_count} files"; else bad "the number of files"; fi
```

## 7. What became of it · 送达、签收情况

The centre's own receipts state their time and effect. A receipt of a unit counts through the
centre's **admission**: it names the digests of the receipt and of its signature, the moment at
which it was recorded, and the states before and after.
单位的回执以交换中心的登记（admission）为准。
"""

_CENTRE_STEP = """
```sh
signed receipts/{name}.json receipts/{name}.json.p7s \\
  {by} "$(field at receipts/{name}.json)"
says receipts/{name}.json manifest_sha256 "$(digest manifest.json)"
says receipts/{name}.json recipient {recipient}
says receipts/{name}.json envelope_id "$(field envelope_id manifest.json)"
echo "     {name} at $(field at receipts/{name}.json)"
```
"""

_PARTY_STEP = """
```sh
recorded_at=$(field recorded_at admissions/{name}.json)
signed receipts/{name}.json receipts/{name}.json.p7s \\
  {by} "$recorded_at"
says receipts/{name}.json manifest_sha256 "$(digest manifest.json)"
says receipts/{name}.json recipient {recipient}
says receipts/{name}.json envelope_id "$(field envelope_id manifest.json)"
signed admissions/{name}.json admissions/{name}.json.p7s \\
  {admitted_by} "$recorded_at"
says admissions/{name}.json receipt_sha256 "$(digest receipts/{name}.json)"
says admissions/{name}.json receipt_signature_sha256 "$(digest receipts/{name}.json.p7s)"
echo "     {name}: $(field state_before admissions/{name}.json) -> $(field state_after \\
  admissions/{name}.json), recorded at $recorded_at"
```
"""

_VERDICT = """
## The verdict · 结论

```sh
if [ "$wrong" -eq 0 ] && [ "$right" -eq {checks} ]
then echo "all right: {checks} checks · 全部通过"
else echo "NOT right: $wrong false, $right of {checks} ok (begin at 1) · 验证未通过"; false; fi
```
"""

_TAIL = """
## What this proves · 证明了什么

That the units named above sealed exactly these files; that the centre accepted and delivered them
and recorded the receipts at the stated times. That the seals were not revoked is shown by the
lists in `certs/crls.pem`, which were in force at the acceptance. The centre's clock and its
registry (who may act for whom) are its own word.
"""


def text(guide: Guide) -> str:
    """The whole of VERIFY.md."""
    accepted, *others = guide.steps
    checks = "".join(
        (
            _HEAD.format(
                number=guide.number,
                title=guide.title,
                issuers="`, `".join(guide.issuers),
                recipient=guide.recipient,
                root_fingerprint=guide.root_fingerprint,
            ),
            _MANIFEST.format(
                accepted=accepted.name,
                centre=accepted.by,
                digests=",".join(f'\\"$(digest {name})\\"' for name, _ in guide.seals),
                seals="\n".join(
                    f'signed manifest.json {name} \\\n  {who} "$accepted_at"'
                    for name, who in guide.seals
                ),
                part_count=guide.part_count,
            ),
            *(_step_text(step) for step in others),
        )
    )
    return checks + _VERDICT.format(checks=_count(checks) + guide.part_count) + _TAIL


def _count(text: str) -> int:
    """How many checks stand by themselves in the text, outside of functions and the loop."""
    return len(re.findall(r"^(?:signed|says|then ok|else ok) ", text, re.MULTILINE))


def _step_text(step: Step) -> str:
    if step.unit is None:
        return _CENTRE_STEP.format(name=step.name, by=step.by, recipient=step.recipient)
    return _PARTY_STEP.format(
        name=step.name, by=step.by, recipient=step.recipient, admitted_by=step.admitted_by
    )
