#!/bin/sh
# Verifies the bundle of evidence in the current folder:  sh verify.sh ROOT_FINGERPRINT
#
# ROOT_FINGERPRINT is the SHA-256 of the exchange's root certificate, in hex. It must come from
# somewhere else: this script came with the bundle, as did everything that it reads, and trusts no
# root in it. Who does not want to trust this script either takes it from the publication of the
# exchange's software, or follows VERIFY.md by hand.
#
# Exit: 0 if all was proved, 1 if not, 2 if it was called wrongly: outside of a bundle's folder, too.
# Needs a POSIX shell, openssl 3.0 or later and, of the coreutils, sha256sum, cat, wc, mktemp, rm.
#
# How JSON is read here. First shaped goes through all of a text: it must be JSON without white space,
# with members of known names alone, each once and sorted, of the kind of value that belongs there.
# Then single members are looked for as text. Within a string a quotation mark is always written \",
# so "key":" can occur nowhere but where a member begins: no title, reason or file name can imitate
# one. What remains are members of the same name in inner objects. Receipts, admissions and the index
# have none that share a name, so there each name must occur once. In the manifest, free objects stand
# under "extensions" alone, which sorts after "document" and "envelope_id" and before "parts",
# "recipients", "schema" and "sender": of the former the first occurrence is the real one, of the
# latter the last. In an event "detail" is free; what is read of an event sorts after it, so the last
# occurrence counts. What values of a kind a member may have is checked only where it is read.

# Options and variables that the shell was started with would change what is found here.
set +abefmvxC
set -u
unset CDPATH ENV BASH_ENV GLOBIGNORE
# shellcheck disable=SC3044
[ -z "${BASH_VERSION-}" ] ||
  shopt -u dotglob extglob failglob globstar nocaseglob nocasematch nullglob 2>/dev/null
LC_ALL=C
export LC_ALL
newline='
'
blank=' 	'$newline
IFS=$blank
schema=document-exchange

# ---- saying what was found; each line names its step ----

# What comes from the bundle is printed by shown and quote_said alone: a text of it could tell the
# terminal to erase what stands there, and write PROVED instead.
controls=$(printf '[\001-\037]')
character_2=$(printf '[\303-\327\331-\337][\200-\277]')
character_3=$(printf '[\343-\354\356][\200-\277][\200-\277]')
character_4=$(printf '\360[\240-\257][\200-\277][\200-\277]')
symbol=$(printf '\342[\202-\277][\200-\277]')
dash_or_quote=$(printf '\342\200[\220-\247]')
full_width=$(printf '\357[\274-\276][\200-\277]')

# shown TEXT: into $shown, if it is UTF-8 and nothing in it moves the cursor or turns the direction;
# of the characters those that a document's title needs, Chinese ones of three and four bytes too.
shown() {
  shown=$1 rest=$1
  case $1 in *[!\ -~]*) ;; *) return ;; esac
  while [ -n "$rest" ]; do
    case $rest in
      [\ -~]*) rest=${rest#?} ;;
      $character_2*) rest=${rest#??} ;;
      $character_3* | $symbol* | $dash_or_quote* | $full_width*) rest=${rest#???} ;;
      $character_4*) rest=${rest#????} ;;
      *) shown='(not shown: it has characters that could mislead a terminal)' && return ;;
    esac
  done
}

# say VERDICT TEXT
say() {
  shown "$2"
  printf '%-7s %-11s %s\n' "$1" "$step" "$shown"
}

# quote_said: what a program said of it last, the lines of plain ASCII.
quote_said() {
  [ -f "$work/said" ] || return 0
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in *[!\ -~]*) ;; *) printf '%s\n' "$line" ;; esac
  done <"$work/said"
}

exec 3>&1 # for what is found where the output goes into a file

step=bundle
ok() { say OK "$1"; }
note() { say NOTE "$1"; }
fail() {
  say FAILED "$1" >&3
  quote_said >&3
  printf '\nNOT PROVED: do not rely on this bundle · 验证未通过，不可采信\n' >&3
  exit 1
}
usage() {
  printf '%s\n' "usage: sh verify.sh ROOT_FINGERPRINT [TSA_ROOT_FINGERPRINT]" \
    "  the SHA-256 of the root certificate, 64 hex digits, from a source other than this bundle" >&2
  exit 2
}
# Whoever calls it elsewhere is told so, and not that a bundle is bad which it has not seen.
elsewhere() {
  printf '%s\n' "there is no bundle of evidence in the current folder: run this inside the folder" \
    "  that the bundle was unpacked into:  cd FOLDER && sh verify.sh ROOT_FINGERPRINT" \
    "当前文件夹中没有证据包：请先进入解压后的证据包文件夹，再运行本脚本" >&2
  exit 2
}

# ---- reading ----

# split CHARACTERS: what is not quoted is taken apart at these, and not taken for a pattern.
split() { set -f && IFS=$1; }
unsplit() { set +f && IFS=$blank; }

# fingerprint TEXT: into $value, lower case and without colons.
fingerprint() {
  value='' rest=$1
  while [ -n "$rest" ]; do
    digit=${rest%"${rest#?}"} rest=${rest#?}
    case $digit in
      A) digit=a ;; B) digit=b ;; C) digit=c ;; D) digit=d ;; E) digit=e ;; F) digit=f ;;
      :) digit='' ;;
    esac
    value=$value$digit
  done
  is_digest "$value" || usage
}

is_digest() {
  [ "${#1}" -eq 64 ] || return 1
  case $1 in *[!0-9a-f]*) return 1 ;; esac
}

# is_time TEXT: YYYY-MM-DDTHH:MM:SS.mmmZ; such texts sort as the times do.
is_time() {
  case $1 in
    [1-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9]Z) ;;
    *) return 1 ;;
  esac
  case $1 in
    ????-00-* | ????-1[3-9]-* | ????-??-00* | ????-??-3[2-9]* | *T2[4-9]:*) return 1 ;;
    ????-0[2469]-31* | ????-11-31* | ????-02-30*) return 1 ;;
    ????-02-29*)
      year=${1%%-*}
      [ $((year % 4)) -eq 0 ] && { [ $((year % 100)) -ne 0 ] || [ $((year % 400)) -eq 0 ]; }
      ;;
  esac
}

# epoch TIME: into $epoch, seconds since 1970 (days from the civil date, the year from March on).
epoch() {
  is_time "$1" || fail "$file: a moment in it is none"
  year=${1%%-*} rest=${1#*-}
  month=${rest%%-*} rest=${rest#*-}
  day=${rest%%T*} rest=${rest#*T}
  hour=${rest%%:*} rest=${rest#*:}
  minute=${rest%%:*} rest=${rest#*:}
  second=${rest%%.*}
  seconds_since_1970 "$year" "${month#0}" "${day#0}" "${hour#0}" "${minute#0}" "${second#0}"
}

# seconds_since_1970 YEAR MONTH DAY HOUR MINUTE SECOND, without leading zeros.
seconds_since_1970() {
  shifted=$(($2 > 2 ? $2 - 3 : $2 + 9))
  years=$(($2 > 2 ? $1 : $1 - 1))
  days=$((years * 365 + years / 4 - years / 100 + years / 400 + (153 * shifted + 2) / 5 + $3 - 719469))
  epoch=$((days * 86400 + $4 * 3600 + $5 * 60 + $6))
}

# read_text FILE: into $text, and its name into $file. Canonical JSON has no raw control character,
# and no escape for a printable one, which could hide a name or a quotation mark. The text is what is
# given to openssl afterwards, so that what was read is what was signed.
read_text() {
  file=$1 text=''
  [ -f "$file" ] || fail "$file is missing"
  if IFS= read -r text <"$file"; then fail "$file has a line break, so it is not canonical"; fi
  # A shell drops bytes of zero when it reads.
  [ "$(printf %s "$text" | sha256sum)" = "$(sha256sum <"$file")" ] ||
    fail "$file has a byte of zero, so it is not canonical"
  case $text in
    *$controls*) fail "$file has a control character, so it is not canonical" ;;
    *'\u00'[2-7]*) no_needless_escape "$text" ;;
  esac
  case $text in '{"'*'}') ;; *) fail "$file is not a JSON object" ;; esac
}

# no_needless_escape TEXT: what looks like one follows an escaped backslash.
no_needless_escape() {
  rest=$1
  while :; do
    case $rest in
      *'\\'*) value=${rest%%'\\'*} rest=${rest#*'\\'} ;;
      *) value=$rest rest='' ;;
    esac
    case $value in *'\u00'[2-7]*) fail "$file has a needless escape, so it is not canonical" ;; esac
    [ -n "$rest" ] || return 0
  done
}

# ---- which members a text has ----

members_of_log='?log={ log.max_merge_delay_s=n log.origin=s'
members_of_statement="at=s by=s envelope_id=s manifest_sha256=s receipt_id=s schema=s type=s"
members_of_effect="leaf=s $members_of_log seq=n state_after=s"
members_of_admission="by=s envelope_id=s receipt_sha256=s receipt_signature_sha256=s recipient=s
  recorded_at=s schema=s state_before=s $members_of_effect"
members_of_event="actor=s ?address=s at=s ?certificate_sha256=s ?detail={ envelope_id=s event_id=s
  ?manifest_sha256=s ?receipt_sha256=s ?recipient=s schema=s seq=n ?state_after=s ?state_before=s
  type=s"
members_of_document="?document.answers=s ?document.attachment_note=s document.business=s
  ?document.category=s ?document.contact=s document.direction=s ?document.disclosure=s
  document.doc_id=s document.genre=s ?document.issuer_mark=s document.issuers=[
  document.issuers.[]=s ?document.number=s ?document.open_circulation=true ?document.print_date=s
  ?document.print_unit=s ?document.release_scope=s ?document.remark=s ?document.reply_due=s
  ?document.reply_required=true ?document.reply_to=s document.secrecy=s ?document.secrecy_period=s
  ?document.signatory=s document.signed_date=s document.title=s document.urgency=s"
members_of_manifest="created_at=s document={ $members_of_document envelope_id=s ?extensions={
  ?operator=s parts=[ parts.[]={ parts.[].filename=s parts.[].media_type=s parts.[].part_id=s
  parts.[].role=s parts.[].sha256=s parts.[].size=n recipients=[ recipients.[]={ recipients.[].copies=n
  recipients.[].copy_numbers=s recipients.[].kind=s recipients.[].unit=s ?refers_to=s schema=s
  sender=s sender_system=s ?supersedes=s ?voids=s"

# receipt_members TYPE PARTY: into $members, those of a receipt.
receipt_members() {
  members=$members_of_statement
  case $1 in
    ACCEPTED) members="$members signatures_sha256=[ signatures_sha256.[]=s" ;;
    *) members="$members recipient=s" ;;
  esac
  case $2:$1 in
    centre:ACCEPTED) members="$members $members_of_effect" ;;
    centre:*) members="$members $members_of_effect state_before=s" ;;
  esac
  case $1 in
    REFUSED | RETURNED) members="$members reason_code=s ?reason=s" ;;
    PROGRESS | WITHDRAWAL_REQUESTED) members="$members reason=s" ;;
    REMINDED | OVERDUE) members="$members deadline={ deadline.due_at=s deadline.kind=s ?reason=s" ;;
    *) members="$members ?reason=s" ;;
  esac
}

# shaped WORDS: $text is an object with these members, sorted, each once, and no others. A word is
# NAME=KIND, within another member that one's name first; ?NAME=KIND may be missing, and so may what
# is in the objects of an array. KIND is s (a string), n (a number), true, { (an object) or [ (an
# array, whose values are called NAME.[]).
shaped() {
  shape='' seen=' ' path='' expects=first-value inside=''
  for word in $1; do shape="$shape $word"; done
  shape="$shape "
  # What stands between quotation marks is within a string each second time.
  split '"'
  for piece in $text; do
    if [ -z "$inside" ]; then
      read_marks "$piece"
      inside=yes string=''
      continue
    fi
    string=$string$piece
    backslashes=${piece##*[!\\]}
    # After an odd number of backslashes the quotation mark is part of the string.
    if [ $((${#backslashes} % 2)) -eq 1 ]; then
      string=$string\"
    else
      read_string
      inside=''
    fi
  done
  unsplit
  [ "$expects$path$inside$string" = endyes ] || fail "$file is not canonical JSON"
  for word in $shape; do
    word=${word%%=*}
    case $word in
      \?* | *'.[]'*) continue ;;
      *.*) case $seen in *" ${word%.*} "*) ;; *) continue ;; esac ;;
    esac
    case $seen in *" $word "*) ;; *) fail "$file has no $word" ;; esac
  done
}

# read_string: $string, a name or a value. The name of a member becomes the last one in $path.
read_string() {
  case $expects in
    *key) expects=colon ;;
    *value)
      known_member s
      expects=end
      return
      ;;
    *) fail "$file is not canonical JSON" ;;
  esac
  case $string in '' | *[!a-z0-9_]*) string=- ;; esac
  case $path in
    .extensions.* | .detail.*) ;;
    *) [ "${path##*.}" \< "$string" ] || fail "$file has members that are not sorted" ;;
  esac
  path=${path%.*}.$string
  seen="$seen${path#.} "
}

# read_marks TEXT: what stands between two strings.
read_marks() {
  rest=$1
  while [ -n "$rest" ]; do
    mark=${rest%"${rest#?}"}
    case $expects:$mark in
      colon::) expects=value ;;
      *value:\{)
        known_member "$mark"
        path=$path. expects=first-key
        ;;
      *value:\[)
        known_member "$mark"
        path=$path.[] expects=first-value
        ;;
      *value:[-0-9tf])
        mark=${rest%%[],\}]*}
        known_number "$mark"
        expects=end
        ;;
      end:, | end:\} | first-key:\} | end:\] | first-value:\]) read_end ;;
      *) fail "$file is not canonical JSON" ;;
    esac
    rest=${rest#"$mark"}
  done
}

# read_end: $mark, after a value or at once.
read_end() {
  case $path:$mark in
    *.\[\]:,) expects=value ;;
    *.\[\]:\]) path=${path%.*} expects=end ;;
    *.\[\]:*) fail "$file is not canonical JSON" ;;
    .*:,) expects=key ;;
    .*:\}) path=${path%.*} expects=end ;;
    *) fail "$file is not canonical JSON" ;;
  esac
}

# known_number TEXT: a value that is no string, object or array.
known_number() {
  case $1 in
    true | false) known_member "$1" ;;
    - | -0* | *[!0-9-]* | ?*-* | 0?*) fail "$file has a number that is none" ;;
    *) known_member n ;;
  esac
}

# known_member KIND: the value at $path may be there. Extensions are free, but none is critical.
known_member() {
  case $path:$1 in
    '':\{ | .extensions.*.*.*:* | .extensions.*.critical:false | .extensions.*.value:*) return 0 ;;
    .extensions.*.critical:true) fail "$file has a critical extension" ;;
    .extensions.*.*:*) ;;
    .extensions.*:\{) return 0 ;;
    .detail.*.*) ;;
    .detail.*:s) return 0 ;;
  esac
  case $shape in
    *" ${path#.}=$1 "* | *" ?${path#.}=$1 "*) ;;
    *) fail "$file has a member that is unknown or of another kind: ${path#.}" ;;
  esac
}

# ---- single members ----

# member NAME: into $value what stands after "NAME": in $text, which must hold that once.
member() {
  value=${text#*"\"$1\":"}
  [ "$value" != "$text" ] || fail "$file has no $1"
  case $value in *"\"$1\":"*) fail "$file names $1 twice" ;; esac
}
has() { case $text in *"\"$1\":"*) ;; *) return 1 ;; esac }

# field NAME: into $value, a string.
field() {
  member "$1"
  case $value in '"'*) ;; *) fail "$1 of $file is no string" ;; esac
  value=${value#\"}
  value=${value%%\"*}
}

# number NAME: into $value, an integer.
number() {
  member "$1"
  value=${value%%[,\}]*}
  case $value in '' | *[!0-9]* | 0?*) fail "$1 of $file is no number" ;; esac
}

# says NAME VALUE: that the string member NAME of $text is VALUE.
says() {
  field "$1"
  [ "$value" = "$2" ] || fail "$1 of $file is not $2"
}

# have_digests LINES: the files have these digests, each line as sha256sum writes it; it would pass
# over a line of another form.
have_digests() {
  while IFS= read -r line; do
    is_digest "${line%% *}" || return 1
  done <<LINES
$1
LINES
  printf '%s\n' "$1" | sha256sum -c >"$work/said" 2>&1 && : >"$work/said"
}

# ---- who signed ----

openssl_verify() {
  openssl verify -x509_strict -no-CApath -no-CAstore "$@" >"$work/said" 2>&1 && : >"$work/said"
}

# extensions FILE: of a certificate in PEM, the values of those that count into $san, $purposes,
# $usage and $ca; $critical is set if the purposes are critical.
extensions() {
  san='' purposes='' usage='' ca='' critical='' heading=''
  printed=$(openssl x509 -in "$1" -noout \
    -ext subjectAltName,extendedKeyUsage,keyUsage,basicConstraints 2>"$work/said") || return 1
  while IFS= read -r line; do
    case $line in
      '    '*) ;;
      *) heading=$line && continue ;;
    esac
    line=${line#    }
    case $heading in
      *'Subject Alternative Name'*) san=$san$line ;;
      *'Extended Key Usage: critical'*) purposes=$line critical=yes ;;
      *'Extended Key Usage'*) purposes=$line ;;
      *'Key Usage'*) usage=$line ;;
      *'Basic Constraints'*) ca=$line ;;
    esac
  done <<EXTENSIONS
$printed
EXTENSIONS
}

# only LIST ALLOWED…: each item of the list, separated by ", ", is among those allowed.
only() {
  items=$1
  shift
  while [ -n "$items" ]; do
    item=${items%%, *}
    case $items in *', '*) items=${items#*, } ;; *) items='' ;; esac
    found=''
    for allowed in "$@"; do [ "$item" != "$allowed" ] || found=yes; done
    [ -n "$found" ] || return 1
  done
}

# for_documents PURPOSES ALLOWED…: they are those of a seal, and besides at most these.
for_documents() {
  purpose_list=", $1,"
  shift
  case $purpose_list in *', E-mail Protection,'*) ;; *) return 1 ;; esac
  # documentSigning (RFC 9336), as openssl prints it before it knew the name, and since.
  case $purpose_list in
    *', 1.3.6.1.5.5.7.3.36,'* | *', Document Signing,'* | *', Document signing,'*) ;;
    *) return 1 ;;
  esac
  purpose_list=${purpose_list#, }
  only "${purpose_list%,}" "E-mail Protection" 1.3.6.1.5.5.7.3.36 "Document Signing" \
    "Document signing" "$@"
}

# know_signer USE: the certificate in $work/signer.pem is one that a seal CA of this bundle, and
# nobody else, issued for this use: documents or time-stamps. Its identity into $san, its number into
# $signer. Each certificate is looked at once: what it was is kept in $signer_1, $san_1 …
signers=0
know_signer() {
  pem=$1 begins=0 signer=0
  while IFS= read -r line; do
    case $line in *BEGIN*) begins=$((begins + 1)) ;; esac
    pem=$pem$line
  done <"$work/signer.pem"
  [ "$begins" -eq 1 ] || fail "$what has $begins signers, not one"
  while [ "$signer" -lt "$signers" ]; do
    signer=$((signer + 1))
    eval "[ \"\$pem\" = \"\$signer_$signer\" ]" || continue
    eval "san=\$san_$signer"
    return
  done
  look_at_signer "$1"
  signers=$((signers + 1))
  signer=$signers
  eval "signer_$signer=\$pem san_$signer=\$san"
}

# look_at_signer USE: at the certificate in $work/signer.pem.
look_at_signer() {
  extensions "$work/signer.pem" || fail "the signer's certificate of $what can't be read"
  case $1:$critical in
    documents:*) for_documents "$purposes" ;;
    *:yes) [ "$purposes" = "Time Stamping" ] ;;
    *) false ;;
  esac || fail "$what: its signer's certificate is not for $1 alone ($purposes)"
  [ -n "$usage" ] && only "$usage" "Digital Signature" "Non Repudiation" ||
    fail "$what: its signer's key is not for signatures alone ($usage)"
  case $ca in '' | CA:FALSE) ;; *) fail "$what: its signer is a CA" ;; esac
  openssl_verify -no_check_time -partial_chain -trusted "$work/seal-cas.pem" "$work/signer.pem" ||
    fail "$what: its signer's certificate was not issued by a CA of the seals"
  case $san in
    URI:spiffe://[a-z0-9]*/*) san=${san#URI:} ;;
    *) fail "$what: its signer's certificate names nobody" ;;
  esac
  case ${san#spiffe://} in
    *[!a-z0-9/._-]* | *[.-]/*/*) fail "$what: its signer's certificate names nobody" ;;
  esac
}

# judge PURPOSE: at $epoch the certificate in $work/signer.pem was valid, up to the root, and neither
# it nor the CA was on the revocation lists then in force. Each pair of both is looked at once.
judged=''
judge() {
  case $judged in *"|$signer@$epoch|"*) return ;; esac
  openssl_verify -CAfile "$work/root.pem" -untrusted "$work/seal-cas.pem" \
    -CRLfile "$work/crls.pem" -crl_check_all -purpose "$1" -attime "$epoch" "$work/signer.pem" ||
    fail "$what: the certificate of $san was not good at that time"
  judged="$judged|$signer@$epoch|"
}

# signed SIGNATURE TIME: $text was signed, with a seal that was good at TIME; whose, into $san.
# The seal CAs are given as trusted since step authorities has checked them against the root alone
# (cms -verify would build no chain through them otherwise).
signed() {
  what=$file
  [ -f "$1" ] || fail "$1 is missing"
  epoch "$2"
  printf %s "$text" | openssl cms -verify -cades -binary -inform DER -in "$1" \
    -content /dev/stdin -no-CApath -no-CAstore -CAfile "$work/anchors.pem" -purpose smimesign \
    -attime "$epoch" -signer "$work/signer.pem" -out /dev/null >"$work/said" 2>&1 ||
    fail "$1 is no signature over $file by somebody under the root"
  : >"$work/said"
  check_form "$1"
  know_signer documents
  judge smimesign
}

# one_der FILE: it is one value, written out in DER. Openssl reads the first one of several.
one_der() {
  parsed=$(openssl asn1parse -inform DER -in "$1" 2>"$work/said") ||
    fail "$1 is not DER, or has something behind it"
  case ${parsed#*':d=0 '} in
    *':d=0 '*) fail "$1 has something behind it" ;;
    *'l=inf '*) fail "$1 is not DER" ;;
  esac
}

# check_form SIGNATURE: it is what openssl verifies, and besides what it does not ask for: detached,
# SHA-256 and ECDSA alone, with the signed attributes of CAdES, and nothing behind it.
sha256=2.16.840.1.101.3.4.2.1 ecdsa=1.2.840.10045.4.3.2 data=1.2.840.113549.1.7.1
check_form() {
  one_der "$1"
  openssl cms -cmsout -print -noout -inform DER -in "$1" >"$work/form" 2>"$work/said" ||
    fail "$1 can't be read"
  read_form
  expected="$sha256 $data <ABSENT> signerInfos version digestAlgorithm $sha256 signedAttrs"
  [ "$form" = "$expected signatureAlgorithm $ecdsa signature unsignedAttrs " ] ||
    fail "$1 has another form than CAdES-B with SHA-256 and ECDSA"
  # contentType, messageDigest, signingTime, signingCertificateV2, each once.
  for oid in 9.3 9.4 9.5 9.16.2.47; do
    case $attributes in
      *" $oid "*" $oid "*) fail "$1 has a signed attribute twice" ;;
      *" $oid "*) ;;
      *) fail "$1 has not the signed attributes of CAdES" ;;
    esac
  done
}

# read_form: of the lines that openssl printed those that matter, by their depth, into $form, and the
# attributes of the arc of PKCS #9 into $attributes. What is in the certificates does not matter, but
# a text of them can hide no line: it can only add some, and then $form is another.
read_form() {
  form='' attributes=' ' part=head
  while IFS= read -r line; do
    number=${line##*\(} number=${number%\)}
    case $part:$line in
      *:'    signerInfos:'*) part=signer form="${form}signerInfos " ;;
      head:'    certificates:'*) part=certificates ;;
      head:'        algorithm:'* | head:'      eContentType:'*) form="$form$number " ;;
      head:'      eContent:'*) form="$form${line#*: } " ;;
      signer:'          algorithm:'*) form="$form$number " ;;
      signer:'        d.'*) ;;
      signer:'        '[a-z]*)
        line=${line%%:*}
        form="$form${line#        } "
        ;;
      signer:'            object:'*) attributes="$attributes ${number#1.2.840.113549.1.} " ;;
    esac
  done <"$work/form"
}

# seal_of UNIT: that $san is a seal of this unit (of the centre, if it is empty), in the domain of
# this exchange.
seal_of() {
  kind=centre/seal/
  [ -z "$1" ] || kind=unit/$1/seal/
  name=${san#"spiffe://$domain/$kind"}
  [ "$name" != "$san" ] && is_name "$name" ||
    fail "$what: signed by $san, which is no seal of ${1:-the centre}"
}

# is_name TEXT: of a system, a seal or a service of the centre.
is_name() {
  case $1 in '' | [!a-z0-9]* | *[!a-z0-9._-]*) return 1 ;; *) [ "${#1}" -le 63 ] ;; esac
}

# signed_by UNIT SIGNATURE TIME: $text was signed by that unit's seal, and by the one in "by".
signed_by() {
  signed "$2" "$3"
  seal_of "$1"
  says by "$san"
}

# ---- the steps, in their order ----

# walk PREFIX: every file below the current folder (below PREFIX, which ends with /) is a plain one
# of a name that a bundle may hold, files whose names begin with a dot included; counted in $walked.
walked=0
walk() {
  for entry in "$1"* "$1".[!.]* "$1"..?*; do
    if [ -L "$entry" ]; then
      fail "there is a link among the files"
    elif [ -d "$entry" ]; then
      walk "$entry/"
    elif [ -f "$entry" ]; then
      is_known "$entry" || fail_unknown "$entry"
      walked=$((walked + 1))
    elif [ -e "$entry" ]; then
      fail "there is something among the files that is none"
    fi
  done
}

# fail_unknown PATH: its name is shown only if a terminal can't be misled by it.
fail_unknown() {
  case $1 in
    *[!A-Za-z0-9._/-]*) fail "there is a file with a strange name" ;;
    *) fail "$1 is no file of a bundle" ;;
  esac
}

is_known() {
  case $1 in
    VERIFY.md | verify.sh | index.json | index.json.p7s | index.sha256) ;;
    *) is_indexed "$1" ;;
  esac
}

# is_indexed PATH: a bundle may hold a file of this name, and its index lists it.
is_indexed() {
  case $1 in
    *[!A-Za-z0-9._/-]*) return 1 ;;
    manifest.json | accepted.json | accepted.p7s | accepted.event.json | accepted.salt) ;;
    certificates/root.der | certificates/seal-ca.der | certificates/seal-ca-[2-9].der) ;;
    certificates/tsa-[1-9].der) ;;
    signatures/00.p7s) return 1 ;;
    signatures/[0-9][0-9].p7s) ;;
    parts/[0-9][0-9][0-9]) ;;
    parts/[0-9][0-9][0-9].*) is_extension "${1#*.}" ;;
    crls/root-*.der) is_count "${1#crls/root-}" .der ;;
    crls/seal-ca-[2-9]-*.der) is_count "${1#crls/seal-ca-?-}" .der ;;
    crls/seal-ca-*.der) is_count "${1#crls/seal-ca-}" .der ;;
    timestamps/[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]*.t[xs][tr])
      case $1 in *.txt | *.tsr) ;; *) return 1 ;; esac
      entry_name=${1#timestamps/} entry_name=${entry_name%.t??}
      case $entry_name in *[!0-9]*) return 1 ;; esac
      [ "${#entry_name}" -le 19 ]
      ;;
    deliveries/*/*/*) return 1 ;;
    deliveries/*/[0-9][0-9][0-9][0-9]-*.*) is_statement "$1" ;;
    log/*) is_log "$1" ;;
    *) return 1 ;;
  esac
}

is_extension() { case $1 in '' | *[!a-z0-9]* | ?????????*) return 1 ;; esac; }

# is_count TEXT SUFFIX: the text is a number without leading zeros, and the suffix.
is_count() {
  case ${1%"$2"} in "$1" | '' | *[!0-9]* | 0?* | ????????????????????*) return 1 ;; esac
}

is_unit() { case $1 in '' | ? | *[!a-z0-9-]*) return 1 ;; *) [ "${#1}" -le 40 ] ;; esac; }

# party_of_file PATH: of a statement's file, into $party; what follows its type into $entry_name.
party_of_file() {
  entry_name=${1#deliveries/*/????-}
  party_of "${entry_name%%.*}"
  entry_name=${entry_name#*.}
}

is_statement() {
  entry_name=${1#deliveries/}
  is_unit "${entry_name%%/*}" || return 1
  party_of_file "$1"
  case $party:$entry_name in
    none:* | centre:admission.*) return 1 ;;
    *:json | *:p7s | *:event.json | *:salt | *:admission.json | *:admission.p7s) ;;
    *) return 1 ;;
  esac
}

# is_log PATH: one in the place for proofs of the transfer log, log/VERSION/NAME/…, at most 6 names.
is_log() {
  entry_name=${1#log/}
  case ${entry_name%%/*} in [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) ;; *) return 1 ;; esac
  case $entry_name in */*) entry_name=/${entry_name#*/} ;; *) return 1 ;; esac
  case $entry_name in */ | *//* | */[._-]* | */*/*/*/*/*/*/*) return 1 ;; esac
}

# party_of TYPE: into $party, who says such a thing of a delivery.
party_of() {
  case $1 in
    DELIVERED | REMINDED | OVERDUE | EXPIRED) party=centre ;;
    SIGNED_FOR | REFUSED | RETURNED | PROGRESS | COMPLETED | WITHDRAWAL_GRANTED | \
      WITHDRAWAL_DECLINED) party=recipient ;;
    WITHDRAWN | WITHDRAWAL_REQUESTED | URGED | OFFERED_AGAIN) party=sender ;;
    *) party=none ;;
  esac
}

check_bundle() {
  step=bundle
  walk ''
  for entry in index.json index.json.p7s index.sha256 manifest.json certificates/root.der \
    certificates/seal-ca.der signatures/01.p7s accepted.json accepted.p7s accepted.event.json \
    accepted.salt; do
    [ -f "$entry" ] || fail "$entry is missing"
  done
  ok "$walked files, all of known names"
}

check_root() {
  step=root
  value=$(sha256sum <certificates/root.der)
  [ "${value%% *}" = "$root" ] || fail "the root in the bundle has another fingerprint: ${value%% *}"
  openssl x509 -inform DER -in certificates/root.der -out "$work/root.pem" 2>"$work/said" ||
    fail "certificates/root.der is no certificate"
  ok "certificates/root.der has the fingerprint that you gave"
}

# Each CA for seals was issued by the root for that alone, and each revocation list by one of them.
# When they were valid, and whether they had been revoked, is asked of every signature at its time.
check_authorities() {
  step=authorities
  : >"$work/seal-cas.pem"
  count=0
  for authority in certificates/seal-ca.der certificates/seal-ca-[2-9].der; do
    [ -f "$authority" ] || continue
    one_der "$authority"
    openssl x509 -inform DER -in "$authority" -out "$work/ca.pem" 2>"$work/said" ||
      fail "$authority is no certificate"
    openssl_verify -no_check_time -CAfile "$work/root.pem" "$work/ca.pem" ||
      fail "$authority was not issued by the root"
    extensions "$work/ca.pem" || fail "$authority can't be read"
    [ "$ca" = "CA:TRUE, pathlen:0" ] || fail "$authority is not a last CA ($ca)"
    for_documents "$purposes" "Time Stamping" ||
      fail "$authority is not for seals alone ($purposes)"
    count=$((count + 1))
    cat "$work/ca.pem" >"$work/seal-ca-$count.pem"
    cat "$work/ca.pem" >>"$work/seal-cas.pem"
    ok "$authority: a CA for seals, issued by the root"
  done
  cat "$work/root.pem" "$work/seal-cas.pem" >"$work/anchors.pem"
  : >"$work/crls.pem"
  for list in crls/*.der; do
    [ -f "$list" ] || continue
    check_list "$list" "$work/root.pem" "$work"/seal-ca-*.pem
  done
  : >"$work/said"
}

# check_list LIST AUTHORITY…: one of them issued it. Each is asked alone: of two with one name
# openssl would take the first.
check_list() {
  list=$1
  shift
  one_der "$list"
  for authority in "$@"; do
    openssl crl -verify -inform DER -in "$list" -CAfile "$authority" -no-CApath -no-CAstore \
      >"$work/crl.pem" 2>"$work/said" || continue
    case $(cat "$work/said") in
      *'verify OK'*) cat "$work/crl.pem" >>"$work/crls.pem" && return ;;
    esac
  done
  fail "$list is no revocation list of one of the authorities"
}

# The index: what the centre sealed as the whole of this bundle. It holds no free text, so it falls
# into pieces at its brackets, and put together again they must give the very same text.
check_index() {
  step=index
  sums=$(sha256sum index.json index.json.p7s | sha256sum)
  [ "$sums" = "$(sha256sum <index.sha256)" ] ||
    fail "index.sha256 does not fit index.json and index.json.p7s"
  read_text index.json
  index=$text
  pieces "$index"
  files=$piece3 units=$piece5 text=$piece2$piece4$piece6
  field by && by=$value
  field content && content=$value
  field envelope_id && envelope=$value
  field made_at && made_at=$value
  field manifest_sha256 && manifest=$value
  expected='{"by":"'$by'","content":"'$content'","envelope_id":"'$envelope'","files":{'$files
  expected=$expected'},"made_at":"'$made_at'","manifest_sha256":"'$manifest'","recipients":['$units
  [ "$index" = "$expected],\"schema\":\"$schema/evidence/1\"}" ] ||
    fail "index.json is not written as a canonical index of this version is"
  domain=${by#spiffe://} domain=${domain%%/*}
  text=$index
  signed_by '' index.json.p7s "$made_at"
  case $content in PARTS | DIGESTS) ;; *) fail "its content is $content" ;; esac
  list_files
  before=''
  split ,
  for unit in $units; do
    unit=${unit#\"}
    is_unit "${unit%\"}" && [ "$before" \< "$unit" ] || fail "its recipients are not sorted units"
    before=$unit
  done
  unsplit
  [ -n "$before" ] || fail "it is about nobody"
  ok "sealed by $by at $made_at"
}

# pieces TEXT: into $piece1 to $piece7 what stands between brackets.
pieces() {
  split '{}[]'
  # shellcheck disable=SC2086
  set -- $1
  unsplit
  [ $# -le 7 ] || fail "$file has more than its brackets"
  piece2=${2-} piece3=${3-} piece4=${4-} piece5=${5-} piece6=${6-}
}

# list_files: the digests in the index, one on a line as sha256sum reads them, into $work/sums.
list_files() {
  listed=0 before=''
  split ,
  for pair in $files; do
    path=${pair#\"} path=${path%%\"*}
    value=${pair#*\":\"} value=${value%\"}
    [ "$pair" = "\"$path\":\"$value\"" ] && is_digest "$value" ||
      fail "what it lists is no digest: $pair"
    is_indexed "$path" || fail_unknown "$path"
    # Sorted, so none is listed twice, and as many files as are listed are those that are listed.
    [ "$before" \< "$path" ] || fail "it is not sorted at $path"
    printf '%s  %s\n' "$value" "$path"
    before=$path listed=$((listed + 1))
  done >"$work/sums"
  unsplit
}

# stampable PATH TIME: the centre's signature in this file is of that time. A time-stamp names it by
# its digest, under which the time is kept, in $moment_DIGEST; all of them are in $stampables.
stampables=''
stampable() {
  value=$(sha256sum <"$1")
  eval "moment_${value%% *}=\$2"
  stampables="$stampables${value%% *} $1 $2$newline"
}

# Every file that the index lists is there with that digest, and no others are.
check_files() {
  step=files
  sha256sum -c "$work/sums" >"$work/checked" 2>"$work/said" || {
    while IFS= read -r line; do
      case $line in *': OK') ;; *) printf '%s\n' "$line" ;; esac
    done <"$work/checked" >>"$work/said"
    fail "files are missing or have other digests than the index says"
  }
  others=3
  for path in VERIFY.md verify.sh; do [ ! -f "$path" ] || others=$((others + 1)); done
  [ "$walked" -eq $((listed + others)) ] || fail "there are files that the index does not list"
  for path in deliveries/*; do
    [ -d "$path" ] || continue
    case ,$units, in
      *",\"${path#deliveries/}\","*) ;;
      *) fail "$path is of a unit that the index does not name" ;;
    esac
  done
  ok "all $listed files have the digests of the index, none is missing, none is besides"
}

# The manifest: what was sealed. Reads what later steps need.
check_manifest() {
  step=manifest
  read_text manifest.json
  shaped "$members_of_manifest"
  have_digests "$manifest  manifest.json" || fail "manifest.json is not the one that the index names"
  document=${text%%'},"envelope_id":"'*}
  case ${text#"$document"} in
    '},"envelope_id":"'"$envelope"'",'*) ;;
    *) fail "manifest.json is not that of envelope $envelope" ;;
  esac
  case $document in *'"secrecy":"NONE"'*) ;; *) fail "the document is not of secrecy NONE" ;; esac
  document_field title && title=$value
  document_field number && number_text=$value
  issuers=${document#*'"issuers":['} issuers=${issuers%%\]*}
  split ,
  named=''
  for unit in $issuers; do
    unit=${unit#\"} unit=${unit%\"}
    is_unit "$unit" || fail "an issuer in manifest.json is no unit"
    named="$named, $unit"
  done
  unsplit
  tail=${text##*'"parts":['}
  [ "$tail" != "$text" ] || fail "manifest.json has no parts"
  parts=${tail%%'],"recipients":['*} recipients=${tail#*'],"recipients":['}
  case $recipients in
    "$tail" | *'"parts":'* | *'"recipients":'*) fail "manifest.json has not its form" ;;
    *'"schema":"document-exchange/manifest/1","sender":"'*) ;;
    *) fail "manifest.json is of another version" ;;
  esac
  sender=${recipients#*'"schema":"document-exchange/manifest/1","sender":"'} sender=${sender%%\"*}
  is_unit "$sender" || fail "the sender in manifest.json is no unit"
  split ,
  for unit in $units; do
    case $recipients in
      *'"unit":'"$unit"*) ;;
      *) fail "$unit is no recipient of this envelope" ;;
    esac
  done
  unsplit
  count_recipients
  ok "envelope $envelope: $number_text $title"
}

# count_recipients: those of the manifest into $all, those that the bundle is about into $told_of.
count_recipients() {
  all=0 told_of=0 rest=$recipients
  while [ "$rest" != "${rest#*'"unit":"'}" ]; do all=$((all + 1)) rest=${rest#*'"unit":"'}; done
  split ,
  for unit in $units; do told_of=$((told_of + 1)); done
  unsplit
}

# document_field NAME: into $value, a string of the document, or nothing.
document_field() {
  value=${document#*"\"$1\":\""}
  if [ "$value" = "$document" ]; then value=''; fi
  value=${value%%'","'*}
}

# The centre accepted exactly this manifest with exactly these signatures.
check_accepted() {
  step=accepted
  read_text accepted.json
  receipt_members ACCEPTED centre
  shaped "$members"
  says schema "$schema/receipt/1"
  says type ACCEPTED
  says envelope_id "$envelope"
  says manifest_sha256 "$manifest"
  says state_after PENDING
  number seq
  [ "$value" = 0 ] || fail "accepted.json has the number $value"
  if has state_before || has recipient; then fail "accepted.json is about one recipient"; fi
  field at && accepted_at=$value
  signed_by '' accepted.p7s "$accepted_at"
  stampable accepted.p7s "$accepted_at"
  member signatures_sha256
  value=${value#\[} value=${value%%\]*}
  lines='' count=0
  split ,
  for digest in $value; do
    count=$((count + 1)) digest=${digest#\"}
    lines=$lines"${digest%\"}  signatures/$((count / 10))$((count % 10)).p7s$newline"
  done
  unsplit
  have_digests "${lines%"$newline"}" || fail "accepted.json names other signatures"
  for path in signatures/*; do [ ! -f "$path" ] || count=$((count - 1)); done
  [ "$count" -eq 0 ] || fail "there are more signatures than accepted.json names"
  accepted=$text
  ok "by $san at $accepted_at, with exactly these signatures"
}

# Every issuer sealed the manifest, and nobody else but the sender.
check_seals() {
  step=seals
  read_text manifest.json
  sealed=,
  for path in signatures/*; do
    signed "$path" "$accepted_at"
    unit=${san#"spiffe://$domain/unit/"} unit=${unit%%/*}
    seal_of "$unit"
    case ",$issuers,\"$sender\"," in
      *",\"$unit\","*) ;;
      *) fail "$path is by $unit, which is neither an issuer nor the sender" ;;
    esac
    case $sealed in *",\"$unit\","*) fail "$unit sealed the manifest twice" ;; esac
    sealed=$sealed"\"$unit\","
    ok "manifest.json: sealed by $san"
  done
  split ,
  for unit in $issuers; do
    case $sealed in *",$unit,"*) ;; *) fail "the seal of the issuer $unit is missing" ;; esac
  done
  unsplit
  text=$accepted file=accepted.json
  check_leaf accepted '' 0 ENVELOPE_ACCEPTED '' '' PENDING "$accepted_at"
}

# Each part has the size and digest that the sealed manifest says; or none is in the bundle.
check_parts() {
  step=parts
  count=0
  if [ "$content" = PARTS ]; then
    remaining=$parts
    while [ -n "$remaining" ]; do
      part=${remaining%%'},{"filename":"'*} remaining=${remaining#"$part"}
      remaining=${remaining#'},'}
      count=$((count + 1))
      check_part "$count" "${part%\}}"
    done
  fi
  for path in parts/*; do [ ! -f "$path" ] || count=$((count - 1)); done
  [ "$count" -eq 0 ] || fail "there are other parts than the manifest says"
  if [ "$content" = PARTS ]; then
    ok "all parts have the size and digest of the manifest"
  else
    ok "digests only: the bundle says nothing of the parts but what the manifest says"
  fi
}

# check_part NUMBER OBJECT: its path has the extension of its file name, if that is a plain one.
check_part() {
  name=${2#'{"filename":"'} name=${name%%'","media_type":"'*}
  path=parts/$(($1 / 100))$(($1 / 10 % 10))$(($1 % 10))
  case $name in
    *.*)
      lower "${name##*.}"
      if is_extension "$value"; then path=$path.$value; fi
      ;;
  esac
  digest=${2##*'"sha256":"'} size=${2##*'"size":'}
  [ -f "$path" ] || fail "$path is missing"
  have_digests "${digest%%\"*}  $path" || fail "$path has not the digest of the manifest"
  [ "$(($(wc -c <"$path")))" = "$size" ] || fail "$path has not $size bytes"
}

# lower TEXT: into $value, if it is of up to 8 letters and digits, in lower case; else unchanged.
lower() {
  value=$1
  case $1 in *[!A-Za-z0-9]* | ?????????*) return ;; *[A-Z]*) ;; *) return ;; esac
  value='' rest=$1
  while [ -n "$rest" ]; do
    letter=${rest%"${rest#?}"} rest=${rest#?}
    case $letter in
      A) letter=a ;; B) letter=b ;; C) letter=c ;; D) letter=d ;; E) letter=e ;; F) letter=f ;;
      G) letter=g ;; H) letter=h ;; I) letter=i ;; J) letter=j ;; K) letter=k ;; L) letter=l ;;
      M) letter=m ;; N) letter=n ;; O) letter=o ;; P) letter=p ;; Q) letter=q ;; R) letter=r ;;
      S) letter=s ;; T) letter=t ;; U) letter=u ;; V) letter=v ;; W) letter=w ;; X) letter=x ;;
      Y) letter=y ;; Z) letter=z ;;
    esac
    value=$value$letter
  done
}

# check_leaf STEM UNIT SEQ TYPE RECEIPT_SHA256 BEFORE AFTER TIME: the statement in $text, signed by the
# centre, ties itself to this event by the digest of salt and event.
check_leaf() {
  step=leaf
  field leaf && leaf=$value
  for path in "$1.event.json" "$1.salt"; do [ -f "$path" ] || fail "$path is missing"; done
  [ "$(($(wc -c <"$1.salt")))" = 32 ] || fail "$1.salt has not 32 bytes"
  value=$(cat "$1.salt" "$1.event.json" | sha256sum)
  [ "${value%% *}" = "$leaf" ] || fail "$1.event.json with $1.salt does not give the leaf of $file"
  read_text "$1.event.json"
  shaped "$members_of_event"
  value=${text##*'"envelope_id":"'} tail=${text##*'"event_id":"'}
  [ "${value%%\"*}" = "$envelope" ] || fail "$file is about another envelope"
  value=${tail##*'"schema":"'}
  [ "${value%%\"*}" = "$schema/event/1" ] || fail "$file is no event"
  event_member recipient
  [ "$value" = "$2" ] || fail "$file is about another recipient"
  value=${tail##*'"seq":'}
  [ "${value%%[,\}]*}" = "$3" ] || fail "$file is about another statement"
  # Before it stands "actor" alone, so the first one counts.
  value=${text#*'"at":"'}
  [ "${value%%\"*}" = "$8" ] || fail "$file is of another time than the statement"
  event_member type
  [ "$value" = "$4" ] || fail "$file is of another type than the statement"
  event_member manifest_sha256
  case $value in '' | "$manifest") ;; *) fail "$file is about another manifest" ;; esac
  event_member receipt_sha256
  case $value in '' | "$5") ;; *) fail "$file is about another receipt" ;; esac
  event_member state_before
  case $value in '' | "$6") ;; *) fail "$file has another state before" ;; esac
  event_member state_after
  case $value in '' | "$7") ;; *) fail "$file has another state after" ;; esac
  ok "$1: $leaf"
}

# event_member NAME: into $value, of the event whose last members are in $tail; nothing without it.
event_member() {
  value=${tail##*"\"$1\":\""}
  if [ "$value" = "$tail" ]; then value=''; else value=${value%%\"*}; fi
}

check_deliveries() {
  split ,
  for unit in $units; do
    unsplit
    unit=${unit#\"} unit=${unit%\"}
    check_delivery "$unit"
  done
  unsplit
}

# check_delivery UNIT: each of its statements, and then that they follow one another. What is to be
# known of them for that is kept in $told, one line for each.
check_delivery() {
  told=''
  for path in "deliveries/$1"/*; do
    case $path in
      *.event.json | *.admission.json) belongs "$path" "${path%.*.json}" ;;
      *.admission.p7s) belongs "$path" "${path%.admission.p7s}" ;;
      *.json) check_statement "${path%.json}" "$1" ;;
      *) belongs "$path" "${path%.*}" ;;
    esac
  done
  check_history "$1"
}

# belongs PATH STEM: a file in a delivery's folder belongs to a receipt.
belongs() {
  [ -f "$2.json" ] || ! [ -f "$1" ] || { step=receipt && fail "$1 belongs to no receipt"; }
}

# check_statement STEM UNIT: who said it, that the centre recorded it, and its event.
check_statement() {
  step=receipt reason_code=''
  party_of_file "$1"
  read_text "$1.json"
  said=$text
  entry_name=${1##*/????-}
  receipt_members "$entry_name" "$party"
  shaped "$members"
  says schema "$schema/receipt/1"
  field type && type=$value
  case $1 in */????-"$type") ;; *) fail "$file says $type" ;; esac
  if has reason_code; then field reason_code && reason_code=$value; fi
  if [ "$party" = centre ]; then
    field at && recorded_at=$value
    check_effect
  else
    read_text "$1.admission.json"
    shaped "$members_of_admission"
    admitted=$text
    says schema "$schema/admission/1"
    field recorded_at && recorded_at=$value
  fi
  text=$said file=$1.json
  says envelope_id "$envelope"
  says manifest_sha256 "$manifest"
  says recipient "$2"
  case $party in
    centre) signed_by '' "$1.p7s" "$recorded_at" ;;
    recipient) signed_by "$2" "$1.p7s" "$recorded_at" ;;
    sender) signed_by "$sender" "$1.p7s" "$recorded_at" ;;
  esac
  ok "$1: by $san as of $recorded_at"
  if [ "$party" = centre ]; then
    stampable "$1.p7s" "$recorded_at"
  else
    check_admission "$1" "$2"
    stampable "$1.admission.p7s" "$recorded_at"
  fi
  number seq && seq=$value
  field state_before && before=$value
  field state_after && after=$value
  receipt=''
  if [ "$party" != centre ]; then field receipt_sha256 && receipt=$value; fi
  check_leaf "$1" "$2" "$seq" "$type" "$receipt" "$before" "$after" "$recorded_at"
  told="$told${1##*/} $type $seq $before $after $recorded_at $reason_code$newline"
}

# check_admission STEM UNIT: the centre recorded exactly this receipt; leaves the admission in $text.
check_admission() {
  step=admission
  text=$admitted file=$1.admission.json
  [ -f "$1.admission.p7s" ] || fail "$1.admission.p7s is missing"
  says envelope_id "$envelope"
  says recipient "$2"
  field receipt_sha256 && lines="$value  $1.json"
  field receipt_signature_sha256 && lines="$lines$newline$value  $1.p7s"
  have_digests "$lines" || fail "$file is about another receipt"
  check_effect
  signed_by '' "$1.admission.p7s" "$recorded_at"
  ok "$1: by $san at $recorded_at"
}

# check_effect: the centre's statement in $text gives $type the effect that it has.
check_effect() {
  field state_before && before=$value
  next_state "$before" "$type"
  says state_after "$next"
}

# check_history UNIT: from the acceptance on each statement comes next, in the state that the last
# one left, and not before it; and the index was made after all of them.
check_history() {
  step=history
  state=PENDING requested=no count=0 latest=$accepted_at history=''
  while read -r name type seq before after recorded_at reason_code; do
    [ -n "$name" ] || continue
    count=$((count + 1))
    # 1 before the number in the name: 0008 would be read as octal.
    [ "$seq" -eq "$count" ] && [ "1${name%%-*}" -eq $((10000 + count)) ] ||
      fail "deliveries/$1/$name has the number $seq, and $count comes next"
    [ "$before" = "$state" ] || fail "$name was recorded for $before, and the delivery is $state"
    next_state "$before" "$type"
    case $if_requested in
      '' | "$requested") ;;
      yes) fail "$name answers a request for withdrawal, and none is open" ;;
      no) fail "$name asks for a withdrawal, and a request is open" ;;
    esac
    [ "$after" = "$next" ] || fail "$name leads to $next, not to $after"
    [ ! "$recorded_at" \< "$latest" ] || fail "$name was recorded before what it follows"
    case $if_requested in yes) requested=no ;; no) requested=yes ;; esac
    [ "$next" = SIGNED_FOR ] || requested=no
    state=$next latest=$recorded_at
    history="$history → $type"
  done <<TOLD
$told
TOLD
  [ ! "$made_at" \< "$latest" ] || fail "deliveries/$1: the index is dated before what it tells"
  ok "deliveries/$1: PENDING$history"
  summary="$summary$newline  $1: $state ($latest)"
}

# next_state STATE TYPE: into $next, the state that follows; $if_requested says if that needs an
# open request for withdrawal (yes), or that there is none (no). The one table of legal steps.
next_state() {
  next=$1 if_requested=''
  case $1:$2 in
    PENDING:URGED | DELIVERED:URGED | SIGNED_FOR:URGED) ;;
    PENDING:REMINDED | DELIVERED:REMINDED | SIGNED_FOR:REMINDED) ;;
    PENDING:OVERDUE | DELIVERED:OVERDUE | SIGNED_FOR:OVERDUE) ;;
    PENDING:DELIVERED) next=DELIVERED ;;
    PENDING:REFUSED)
      # Who can't verify what it received can't confirm it either; for other reasons it must.
      case $reason_code in
        BAD_SIGNATURE | DIGEST_MISMATCH) next=REFUSED ;;
        *) fail "$file: a delivery that is PENDING is not REFUSED for $reason_code" ;;
      esac
      ;;
    PENDING:WITHDRAWN | DELIVERED:WITHDRAWN) next=WITHDRAWN ;;
    PENDING:EXPIRED) next=EXPIRED ;;
    DELIVERED:REFUSED) next=REFUSED ;;
    DELIVERED:SIGNED_FOR) next=SIGNED_FOR ;;
    SIGNED_FOR:PROGRESS) ;;
    SIGNED_FOR:COMPLETED) next=COMPLETED ;;
    SIGNED_FOR:RETURNED) next=RETURNED ;;
    SIGNED_FOR:WITHDRAWAL_REQUESTED) if_requested=no ;;
    SIGNED_FOR:WITHDRAWAL_GRANTED) next=WITHDRAWN if_requested=yes ;;
    SIGNED_FOR:WITHDRAWAL_DECLINED) if_requested=yes ;;
    REFUSED:OFFERED_AGAIN) next=PENDING ;;
    *) fail "$file: a delivery that is $1 does not take $2" ;;
  esac
}

# Each stamped text was there at the time of its stamp. Only lines that are digests of signatures of
# this bundle say something about it; the others are of other envelopes.
check_timestamps() {
  step=timestamp
  stamps=0
  for path in timestamps/*; do
    [ -f "$path" ] || continue
    case $path in
      *.txt) [ -f "${path%.txt}.tsr" ] || fail "${path%.txt}.tsr is missing" ;;
      *.tsr) check_timestamp "${path%.tsr}" ;;
    esac
  done
  if [ "$stamps" -gt 0 ]; then
    note_undated
  else
    note "timestamps: no signature is time-stamped"
  fi
}

check_timestamp() {
  what=$1.tsr stamps=$((stamps + 1))
  [ -f "$1.txt" ] || fail "$1.txt is missing"
  stamped_lines "$1.txt"
  [ "$stamps" -gt 1 ] || read_other_authorities
  one_der "$what"
  # The first number is the status: 0, granted.
  value=${parsed#*INTEGER*:}
  [ "${value%%"$newline"*}" = 00 ] || fail "$what was not granted"
  openssl ts -reply -in "$1.tsr" -token_out -out "$work/token" 2>"$work/said" ||
    fail "$what has no token"
  # Who is said to have made it. Whether that is true is asked below, of whom there is a rule for.
  openssl cms -verify -binary -noverify -nosigs -no_attr_verify -no_content_verify -inform DER \
    -in "$work/token" -signer "$work/signer.pem" -out "$work/stamped" 2>"$work/said" ||
    fail "the token in $what names no signer"
  read_stamped "$1.txt"
  if [ -n "$other_authorities" ] && ! openssl verify -ignore_critical -no-CApath -no-CAstore \
    -no_check_time -partial_chain -trusted "$work/seal-cas.pem" "$work/signer.pem" \
    >"$work/said" 2>&1; then
    check_external "$1"
    return
  fi
  openssl cms -verify -binary -noverify -inform DER -in "$work/token" -signer "$work/signer.pem" \
    -out /dev/null 2>"$work/said" || fail "the token in $what is not signed"
  know_signer time-stamps
  name=${san#"spiffe://$domain/centre/tsa/"}
  [ "$name" != "$san" ] && is_name "$name" ||
    fail "$what: by $san, which is no time-stamping service"
  judge timestampsign
  verify_stamp "$1" "$work/root.pem" "$work/seal-cas.pem"
  ok "$1: $stamped signatures existed at $stamp, says $san"
}

# read_other_authorities: the certificates of services outside of the exchange, if there are any.
read_other_authorities() {
  other_authorities=''
  : >"$work/tsa-root.pem"
  : >"$work/tsa-chain.pem"
  for authority in certificates/tsa-[1-9].der; do
    [ -f "$authority" ] || continue
    other_authorities=yes
    one_der "$authority"
    openssl x509 -inform DER -in "$authority" -out "$work/ca.pem" 2>"$work/said" ||
      fail "$authority is no certificate"
    value=$(sha256sum <"$authority")
    if [ "${value%% *}" = "$tsa_root" ]; then
      cat "$work/ca.pem" >"$work/tsa-root.pem"
    else
      cat "$work/ca.pem" >>"$work/tsa-chain.pem"
    fi
  done
}

# check_external STEM: by a service outside of the exchange, whose root is known from outside too.
# Without that nobody can judge who made it, so it dates nothing.
check_external() {
  : >"$work/said"
  [ -n "$tsa_root" ] ||
    { note "$1: not checked: by a service whose root's fingerprint is needed" && return; }
  [ -s "$work/tsa-root.pem" ] || fail "$what: no certificate has the fingerprint of its root"
  extensions "$work/signer.pem"
  [ "$purposes$critical" = "Time Stampingyes" ] || fail "$what: by a certificate of another purpose"
  verify_stamp "$1" "$work/tsa-root.pem" "$work/tsa-chain.pem"
  ok "$1: $stamped signatures existed at $stamp, says a service under the other root"
}

# read_stamped FILE: what was stamped ($work/stamped, a TSTInfo) is the digest of this file; the time
# of it into $stamp, and into $stamped_at and $epoch in seconds.
read_stamped() {
  algorithm='' place='' stamp=''
  printed=$(openssl asn1parse -inform DER -in "$work/stamped" 2>"$work/said") ||
    fail "$what does not say what it is over"
  while IFS= read -r line; do
    case $line in
      *':d=3 '*'OBJECT '*:sha256 | *':d=3 '*'OBJECT '*:sha384 | *':d=3 '*'OBJECT '*:sha512)
        algorithm=${line##*:}
        ;;
      *':d=2 '*'OCTET STRING'*) place=${line%%:*} ;;
      *':d=1 '*'GENERALIZEDTIME '*:*) stamp=${line##*:} && break ;;
    esac
  done <<STAMPED
$printed
STAMPED
  [ -n "$algorithm$place" ] && openssl asn1parse -inform DER -in "$work/stamped" -noout \
    -strparse "${place##* }" -out "$work/digest" 2>"$work/said" &&
    [ "$(openssl dgst "-$algorithm" -binary "$1" | sha256sum)" = "$(sha256sum <"$work/digest")" ] ||
    fail "$what is over other bytes than $1"
  stamp_time
}

# stamp_time: $stamp, YYYYMMDDHHMMSS[.fraction]Z, is written as other moments are, the fraction cut to
# milliseconds. $stamped_at counts whole seconds.
stamp_time() {
  value=${stamp%Z} value=${value%%.*} rest=$value text=''
  case $stamp in *[!0-9.Z]* | *Z?* | *.*.* | *.Z | *[!Z]) value='' ;; esac
  [ "${#value}" -eq 14 ] || fail "$what does not say its time"
  fraction=${stamp#"$value"} fraction=${fraction#.} fraction=${fraction%Z}000
  for mark in '' '' '' - '' - '' T '' : '' : '' ''; do
    text=$text${rest%"${rest#?}"}$mark rest=${rest#?}
  done
  stamp=$text.${fraction%"${fraction#???}"}Z file=$what
  epoch "$stamp"
  stamped_at=$epoch
}

# verify_stamp STEM ROOT CHAIN: openssl finds the stamp right at its own time.
verify_stamp() {
  stem=$1 authority=$2 chain=$3
  set -- -data "$1.txt" -in "$1.tsr" -CAfile "$authority" -attime "$epoch"
  # The service may stand directly under its root, and openssl refuses an empty file.
  [ ! -s "$chain" ] || set -- "$@" -untrusted "$chain"
  openssl ts -verify "$@" >"$work/said" 2>&1 ||
    fail "$stem.tsr is no time-stamp over $stem.txt by somebody under that root"
  : >"$work/said"
  fits_stamp
}

# stamped_lines FILE: it is made of digests, sorted; those of this bundle are put into $dated and
# counted in $stamped, and the latest of their moments is put into $latest.
stamped_lines() {
  stamped=0 dated='' before='' line='' count=0 latest=''
  while IFS= read -r line; do
    is_digest "$line" && [ "$before" \< "$line" ] || fail "$1 is no sorted list of digests"
    before=$line count=$((count + 1))
    eval "moment=\${moment_$line-}"
    [ -n "$moment" ] || continue
    stamped=$((stamped + 1)) dated="$dated $line"
    [ ! "$latest" \< "$moment" ] || latest=$moment
  done <"$1"
  # A byte of zero would not have been seen.
  [ "$(($(wc -c <"$1")))" -eq $((count * 65)) ] || fail "$1 has more than its lines"
  [ "$stamped" -gt 0 ] || fail "$1 holds no signature of this bundle"
}

# fits_stamp: the stamp is neither from before what it was made over, nor from after the index.
tolerance=120 # seconds, for clocks that differ
fits_stamp() {
  file=$what
  epoch "$latest"
  [ "$stamped_at" -ge $((epoch - tolerance)) ] ||
    fail "$what is of $stamp, and what it is over of $latest: that is too early"
  epoch "$made_at"
  [ "$stamped_at" -le $((epoch + tolerance)) ] ||
    fail "$what is of $stamp, and the index of $made_at: that is too late"
  # Of a signature that was stamped twice the earlier stamp counts, in $stamped_DIGEST.
  for digest in $dated; do
    eval "earlier=\${stamped_$digest-$stamped_at}"
    [ "$stamped_at" -gt "$earlier" ] || earlier=$stamped_at
    eval "stamped_$digest=$earlier"
  done
}

# note_undated: what of the centre's signatures no stamp dates, or one that says little.
late=86400 # seconds
note_undated() {
  while read -r digest path moment; do
    [ -n "$digest" ] || continue
    eval "stamped_at=\${stamped_$digest-}"
    file=$path
    epoch "$moment"
    if [ -z "$stamped_at" ]; then
      note "$path: this signature is not time-stamped"
    elif [ $((stamped_at - epoch)) -gt "$late" ]; then
      note "$path: stamped $(((stamped_at - epoch) / 86400)) days later"
    fi
  done <<STAMPABLES
$stampables
STAMPABLES
}

check_log() {
  step=log
  for path in log/*/*; do
    [ ! -e "$path" ] || { note "log/ is not checked by this version" && return; }
  done
}

# ---- all of it ----

[ $# -eq 1 ] || [ $# -eq 2 ] || usage
fingerprint "$1" && root=$value tsa_root=''
[ $# -eq 1 ] || { fingerprint "$2" && tsa_root=$value; }
for tool in openssl sha256sum cat wc mktemp rm; do
  command -v "$tool" >/dev/null || { printf '%s is missing\n' "$tool" >&2 && exit 2; }
done
[ -e index.json ] || [ -e manifest.json ] || [ -e certificates/root.der ] || elsewhere
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
summary=''
check_bundle
check_root
check_authorities
check_index
check_files
check_manifest
check_accepted
check_seals
check_parts
check_deliveries
check_timestamps
check_log
shown "$number_text $title"
without=''
[ "$content" = PARTS ] || without='; without content · 不含正文'
printf '\nPROVED · 验证通过\n  %s\n  envelope %s, from %s, issued by %s\n  accepted %s; as of %s%s\n' \
  "$shown" "$envelope" "$sender" "${named#, }" "$accepted_at" "$made_at" "$without" || exit 1
printf '  about %s of %s recipients · 收文单位:%s\n' "$told_of" "$all" "$summary" || exit 1
