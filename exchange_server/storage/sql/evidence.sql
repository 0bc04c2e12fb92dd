-- name: evidence_seqs
-- How far each recipient's statements go, for a bundle that is to be made of them.
select recipient, seq from exchange.deliveries where envelope_id = $1::uuid order by recipient;

-- name: evidence_digests
-- Of each statement of these recipients, up to the seq that was seen, the digests of its files.
select s.recipient, s.seq, s.type, sha256(s.receipt) as receipt,
       sha256(s.receipt_signature) as receipt_signature, sha256(s.admission) as admission,
       sha256(s.admission_signature) as admission_signature, sha256(v.event) as event,
       sha256(v.salt) as event_salt, s.root_crl, s.seal_crl, s.recorded_at,
       octet_length(s.receipt) + octet_length(s.receipt_signature)
         + coalesce(octet_length(s.admission) + octet_length(s.admission_signature), 0)
         + octet_length(v.event) + octet_length(v.salt) as size_bytes
  from unnest($2::text[], $3::bigint[]) as k (recipient, seq)
  join exchange.statements s
    on s.envelope_id = $1::uuid and s.recipient = k.recipient and s.seq <= k.seq
  join exchange.events v on v.event_no = s.event_no and v.at = s.recorded_at
 order by s.recipient, s.seq;

-- name: evidence_statements
select s.recipient, s.seq, s.type, s.receipt, s.receipt_signature,
       coalesce(s.admission, '') as admission,
       coalesce(s.admission_signature, '') as admission_signature, v.event, v.salt as event_salt
  from unnest($2::text[], $3::bigint[]) as k (recipient, seq)
  join exchange.statements s
    on s.envelope_id = $1::uuid and s.recipient = k.recipient and s.seq <= k.seq
  join exchange.events v on v.event_no = s.event_no and v.at = s.recorded_at
 order by s.recipient, s.seq;

-- name: evidence_acceptance
-- The lists that were in force when the envelope was accepted.
select root_crl, seal_crl from exchange.envelopes where envelope_id = $1::uuid;

-- name: evidence_stamps
-- The time-stamps of the acceptance and of these statements, as far as there are any yet.
select distinct b.batch, sha256(b.lines) as lines, sha256(b.response) as response,
       b.root_crl, b.seal_crl, octet_length(b.lines) + octet_length(b.response) as size_bytes
  from (select recipient, seq from unnest($2::text[], $3::bigint[]) as k (recipient, seq)
        union all select '', 0) as k
  join exchange.stamps s
    on s.envelope_id = $1::uuid and s.recipient = k.recipient and s.seq <= k.seq
  join exchange.stamp_batches b on b.batch = s.batch and b.response is not null
 order by b.batch;

-- name: evidence_stamp
select lines, response from exchange.stamp_batches where batch = $1;

-- name: evidence_crl_digests
select issuer, number, sha256(der) as sha256, octet_length(der) as size_bytes
  from exchange.crls
 where (issuer = 'root' and number = any ($1::bigint[]))
    or (issuer = 'seal-ca' and number = any ($2::bigint[]));

-- name: evidence_crl
select der from exchange.crls where issuer = $1 and number = $2;

-- name: evidence_index
select made_at, sealed_by, root_crl, seal_crl, signature
  from exchange.sealed_indexes where content_sha256 = $1;

-- name: keep_sealed_index
select k.outcome, (k.kept).made_at, (k.kept).sealed_by, (k.kept).root_crl, (k.kept).seal_crl,
       (k.kept).signature
  from exchange.keep_sealed_index(
      $1, $2::uuid, $3, $4, $5, $6, $7, $8, $9, $10::uuid, $11, $12, $13, $14) as k;
