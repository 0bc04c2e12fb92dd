-- name: list_deliveries
select e.envelope_id::text, d.recipient, d.sender, d.state, d.seq, e.title, e.doc_id, e.number,
       e.business, e.genre, e.urgency, d.kind, e.part_count, e.size_bytes, e.accepted_at, d.updated_at,
       d.last_type, d.withdrawal_requested,
       d.sign_due, d.reply_due, d.overdue, d.replaced_by::text
  from exchange.deliveries d join exchange.envelopes e using (envelope_id)
 where d.recipient = $1 and d.envelope_id < $3::uuid
   and (cardinality($2::text[]) = 0 or d.state = any ($2))
 order by d.envelope_id desc limit $4;

-- name: find_envelope_for
-- The unit's own delivery besides, if it is a recipient.
select e.envelope_id::text, e.sender, e.manifest, e.manifest_sha256, e.signatures, e.accepted_at,
       e.receipt, e.receipt_signature, v.event, v.salt as event_salt,
       r.der as root_crl, s.der as seal_crl,
       d.recipient, d.state, d.seq, d.kind, d.updated_at, e.title, e.doc_id, e.number, e.business,
       e.genre, e.urgency, e.part_count, e.size_bytes, d.last_type, d.withdrawal_requested,
       d.sign_due, d.reply_due, d.overdue, d.replaced_by::text
  from exchange.envelopes e
  join exchange.events v on v.event_no = e.event_no and v.at = e.accepted_at
  join exchange.crls r on r.issuer = 'root' and r.number = e.root_crl
  join exchange.crls s on s.issuer = 'seal-ca' and s.number = e.seal_crl
  left join exchange.deliveries d on d.envelope_id = $2::uuid and d.recipient = $1
 where e.envelope_id = $2::uuid and (e.sender = $1 or d.recipient is not null);

-- name: find_part_for
select p.size_bytes as part_size, b.part, b.block, b.object_key, b.size_bytes, b.sha256,
       e.sender <> $1 and d.state = any ($4::text[]) as withdrawn
  from exchange.parts p
  join exchange.envelopes e on e.envelope_id = $2::uuid
  left join exchange.deliveries d on d.envelope_id = $2::uuid and d.recipient = $1
  left join exchange.blocks b on b.envelope_id = $2::uuid and b.part = p.part
 where p.envelope_id = $2::uuid and p.part_id = $3
   and (e.sender = $1 or d.recipient is not null)
 order by b.block;
