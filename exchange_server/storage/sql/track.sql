-- name: list_statuses
select recipient, state, seq, updated_at, last_type, withdrawal_requested, sign_due, reply_due, overdue,
       replaced_by::text
  from exchange.deliveries
 where envelope_id = $1::uuid and ($2::text is null or recipient = $2) and recipient > $3
 order by recipient limit $4;

-- name: list_statements
-- Of each recipient up to the seq that its delivery was seen at.
select s.recipient, s.receipt, s.receipt_signature, coalesce(s.admission, '') as admission,
       coalesce(s.admission_signature, '') as admission_signature, v.event, v.salt as event_salt
  from unnest($2::text[], $3::bigint[]) as k (recipient, seq)
  join exchange.statements s
    on s.envelope_id = $1::uuid and s.recipient = k.recipient and s.seq <= k.seq
  join exchange.events v on v.event_no = s.event_no and v.at = s.recorded_at
 order by s.recipient, s.seq;

-- name: crls_of
-- Every list that was in force when one of their statements was recorded.
select distinct c.issuer, c.number, c.der
  from exchange.statements s
  join exchange.crls c
    on (c.issuer = 'root' and c.number = s.root_crl) or (c.issuer = 'seal-ca' and c.number = s.seal_crl)
 where s.envelope_id = $1::uuid and s.recipient = any ($2::text[])
 order by c.issuer, c.number;

-- name: list_submissions
select e.envelope_id::text, e.title, e.doc_id, e.number, e.accepted_at
  from exchange.envelopes e
 where e.sender = $1 and e.envelope_id < $3::uuid
   and (cardinality($2::text[]) = 0
        or exists (select from exchange.deliveries d
                    where d.envelope_id = e.envelope_id and d.state = any ($2)))
 order by e.envelope_id desc limit $4;

-- name: statuses_of
select envelope_id::text, recipient, state, seq, updated_at, last_type, withdrawal_requested,
       sign_due, reply_due, overdue, replaced_by::text
  from exchange.deliveries
 where envelope_id = any ($1::uuid[]) order by envelope_id, recipient;
