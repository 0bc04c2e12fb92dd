-- name: find_position
select d.envelope_id::text, d.recipient, d.sender, d.state, d.seq, d.updated_at,
       d.withdrawal_requested, d.decided_seq,
       encode(e.manifest_sha256, 'hex') as manifest_sha256,
       exists (select from exchange.statements s
                where s.envelope_id = $1::uuid and s.recipient = $2 and s.receipt_id = $3::uuid)
           as recorded
  from exchange.deliveries d join exchange.envelopes e using (envelope_id)
 where d.envelope_id = $1::uuid and d.recipient = $2;

-- name: find_statement
select s.receipt, s.receipt_signature, coalesce(s.admission, '') as admission,
       coalesce(s.admission_signature, '') as admission_signature, v.event, v.salt as event_salt
  from exchange.statements s
  join exchange.events v on v.event_no = s.event_no and v.at = s.recorded_at
 where s.envelope_id = $1::uuid and s.recipient = $2 and s.receipt_id = $3::uuid;

-- name: find_delivered
-- Of the last time that it was offered; an earlier one confirmed an offer that was refused.
select s.receipt, s.receipt_signature, coalesce(s.admission, '') as admission,
       coalesce(s.admission_signature, '') as admission_signature, v.event, v.salt as event_salt
  from exchange.statements s
  join exchange.events v on v.event_no = s.event_no and v.at = s.recorded_at
 where s.envelope_id = $1::uuid and s.recipient = $2 and s.type = 'DELIVERED'
   and s.seq > (select coalesce(max(o.seq), 0) from exchange.statements o
                 where o.envelope_id = $1::uuid and o.recipient = $2 and o.type = 'OFFERED_AGAIN')
 order by s.seq desc limit 1;

-- name: find_statement_at
select s.receipt, s.receipt_signature, coalesce(s.admission, '') as admission,
       coalesce(s.admission_signature, '') as admission_signature, v.event, v.salt as event_salt
  from exchange.statements s
  join exchange.events v on v.event_no = s.event_no and v.at = s.recorded_at
 where s.envelope_id = $1::uuid and s.recipient = $2 and s.seq = $3;

-- name: record_statement
select outcome, detail from exchange.record_statement(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25, $26, $27, $28, $29, $30, $31, $32);

-- name: confirm_seen
select exchange.confirm_seen($1, $2, $3, $4, $5);

-- name: notify
-- A hint may be lost in a crash, so its commit waits for no disk.
select set_config('synchronous_commit', 'off', true), pg_notify('attention', $1);
