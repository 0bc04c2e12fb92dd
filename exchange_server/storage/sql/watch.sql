-- name: waiting_deliveries
select a.seq as waiting_seq, e.envelope_id::text, d.recipient, d.sender, d.state, d.seq, e.title,
       e.doc_id, e.number, e.business, e.genre, e.urgency, d.kind, e.part_count, e.size_bytes,
       e.accepted_at, d.updated_at, d.last_type, d.withdrawal_requested,
       d.sign_due, d.reply_due, d.overdue, d.replaced_by::text
  from exchange.attention a
  join exchange.deliveries d using (envelope_id, recipient)
  join exchange.envelopes e using (envelope_id)
 where a.unit_id = $1 and a.side = 'R' and (a.envelope_id, a.recipient) > ($2::uuid, $3)
 order by a.envelope_id, a.recipient limit $4;

-- name: waiting_deliveries_of
select a.seq as waiting_seq, e.envelope_id::text, d.recipient, d.sender, d.state, d.seq, e.title,
       e.doc_id, e.number, e.business, e.genre, e.urgency, d.kind, e.part_count, e.size_bytes,
       e.accepted_at, d.updated_at, d.last_type, d.withdrawal_requested,
       d.sign_due, d.reply_due, d.overdue, d.replaced_by::text
  from unnest($2::uuid[], $3::text[]) as k (envelope_id, recipient)
  join exchange.attention a
    on a.unit_id = $1 and a.side = 'R' and a.envelope_id = k.envelope_id and a.recipient = k.recipient
  join exchange.deliveries d on d.envelope_id = k.envelope_id and d.recipient = k.recipient
  join exchange.envelopes e on e.envelope_id = k.envelope_id
 order by 2, 3;

-- name: waiting_submissions
select a.seq as waiting_seq, e.envelope_id::text, e.title, e.doc_id, e.number, e.accepted_at,
       d.recipient, d.state, d.seq, d.updated_at, d.last_type, d.withdrawal_requested,
       d.sign_due, d.reply_due, d.overdue, d.replaced_by::text
  from exchange.attention a
  join exchange.deliveries d using (envelope_id, recipient)
  join exchange.envelopes e using (envelope_id)
 where a.unit_id = $1 and a.side = 'S' and (a.envelope_id, a.recipient) > ($2::uuid, $3)
 order by a.envelope_id, a.recipient limit $4;

-- name: waiting_submissions_of
select a.seq as waiting_seq, e.envelope_id::text, e.title, e.doc_id, e.number, e.accepted_at,
       d.recipient, d.state, d.seq, d.updated_at, d.last_type, d.withdrawal_requested,
       d.sign_due, d.reply_due, d.overdue, d.replaced_by::text
  from unnest($2::uuid[], $3::text[]) as k (envelope_id, recipient)
  join exchange.attention a
    on a.unit_id = $1 and a.side = 'S' and a.envelope_id = k.envelope_id and a.recipient = k.recipient
  join exchange.deliveries d on d.envelope_id = k.envelope_id and d.recipient = k.recipient
  join exchange.envelopes e on e.envelope_id = k.envelope_id
 order by 2, 7;

-- name: waiting_seqs
-- For the poll: what may be missing, without what it looks like.
select a.envelope_id::text, a.recipient, a.seq
  from exchange.attention a
 where a.unit_id = $1 and a.side = $2 and (a.envelope_id, a.recipient) > ($3::uuid, $4)
 order by a.envelope_id, a.recipient limit $5;
