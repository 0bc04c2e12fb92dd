-- name: list_statuses
select recipient, state, seq, updated_at, last_type, withdrawal_requested, sign_due, reply_due, overdue,
       replaced_by::text
  from exchange.deliveries
 where envelope_id = $1::uuid and ($2::text is null or recipient = $2)
   and (recipient > $3 or (recipient = $3 and seq > $4))
 order by recipient limit $5;

-- name: list_statements
-- Of each recipient those after one seq and up to another, as far as they have room in $5 bytes, and
-- at least one. Each revocation list counts where it is needed first. Sizes are summed up before
-- any bytes are read.
with wanted as (
    select s.recipient, s.seq, s.root_crl, s.seal_crl, v.event_no, v.at,
           octet_length(s.receipt) + octet_length(s.receipt_signature) + octet_length(v.event)
               + coalesce(octet_length(s.admission) + octet_length(s.admission_signature), 0) as size,
           row_number() over (partition by s.root_crl order by s.recipient, s.seq) as of_root_crl,
           row_number() over (partition by s.seal_crl order by s.recipient, s.seq) as of_seal_crl
      from unnest($2::text[], $3::bigint[], $4::bigint[]) as k (recipient, after, up_to)
      join exchange.statements s
        on s.envelope_id = $1::uuid and s.recipient = k.recipient and s.seq > k.after and s.seq <= k.up_to
      join exchange.events v on v.event_no = s.event_no and v.at = s.recorded_at
), summed as (
    select w.*, sum(w.size
                    + case when w.of_root_crl = 1 then octet_length(r.der) else 0 end
                    + case when w.of_seal_crl = 1 then octet_length(c.der) else 0 end)
                over (order by w.recipient, w.seq) as bytes,
           row_number() over (order by w.recipient, w.seq) as place
      from wanted w
      join exchange.crls r on r.issuer = 'root' and r.number = w.root_crl
      join exchange.crls c on c.issuer = 'seal-ca' and c.number = w.seal_crl
)
select s.recipient, s.receipt, s.receipt_signature, coalesce(s.admission, '') as admission,
       coalesce(s.admission_signature, '') as admission_signature, v.event, v.salt as event_salt,
       s.root_crl, s.seal_crl
  from summed
  join exchange.statements s
    on s.envelope_id = $1::uuid and s.recipient = summed.recipient and s.seq = summed.seq
  join exchange.events v on v.event_no = summed.event_no and v.at = summed.at
 where summed.bytes <= $5 or summed.place = 1
 order by s.recipient, s.seq;

-- name: crls_by_number
-- The root's lists with the numbers $1, the seal CA's with $2.
select der from exchange.crls
 where (issuer = 'root' and number = any ($1::bigint[]))
    or (issuer = 'seal-ca' and number = any ($2::bigint[]))
 order by issuer, number;

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
