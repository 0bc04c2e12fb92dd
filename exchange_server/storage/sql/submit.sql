-- name: find_envelope
select e.envelope_id::text, e.sender, e.manifest, e.manifest_sha256, e.signatures, e.accepted_at,
       e.receipt, e.receipt_signature, v.event, v.salt as event_salt,
       r.der as root_crl, s.der as seal_crl
  from exchange.envelopes e
  join exchange.events v on v.event_no = e.event_no and v.at = e.accepted_at
  join exchange.crls r on r.issuer = 'root' and r.number = e.root_crl
  join exchange.crls s on s.issuer = 'seal-ca' and s.number = e.seal_crl
 where e.envelope_id = $1::uuid;

-- name: find_fault
-- What can be known before any byte is read; accept_envelope looks again. What does not exist and
-- what belongs to others is one and the same fault.
select case
    when exists (select from exchange.envelopes e where e.envelope_id = $4::uuid) then 'EXISTS'
    when $5::uuid is not null
         and not exists (select from exchange.envelopes e where e.envelope_id = $5::uuid and e.sender = $1)
        then 'VOIDS_UNKNOWN'
    when $6::uuid is not null
         and not exists (select from exchange.envelopes e
                          where e.envelope_id = $6::uuid and (e.sender = $1 or e.sender = any ($7::text[])))
         and not exists (select from exchange.deliveries d
                          where d.envelope_id = $6::uuid
                            and (d.recipient = $1 or d.recipient = any ($7::text[])))
        then 'REPLY_TO_UNKNOWN'
    when cardinality($3::uuid[]) = 0 then
        case when exists (select from exchange.doc_ids d
                           where d.sender = $1 and d.doc_id = $2 and d.envelope_id <> $4::uuid)
             then 'DOC_ID_TAKEN' else '' end
    when (select count(*) from exchange.envelopes e
           where e.envelope_id = any ($3::uuid[]) and e.sender = $1 and e.doc_id = $2)
         <> cardinality($3::uuid[])
        then 'EARLIER_UNKNOWN'
    else '' end;

-- name: accept_envelope
select outcome, detail from exchange.accept_envelope(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38,
    $39, $40, $41, $42, $43, $44, $45, $46, $47);

-- name: named_objects
-- The objects that the ledger names as blocks of these envelopes.
select object_key from exchange.blocks where envelope_id = any ($1::uuid[]);
