-- name: claim_deadlines
select envelope_id::text, recipient, kind, due_at from exchange.claim_deadlines($1, $2, $3)
 order by due_at, envelope_id, recipient, kind;

-- name: find_due
-- Where the delivery stands, if its deadline (or the reminder of it) is still due.
select d.envelope_id::text, d.recipient, d.sender, d.state, d.seq, d.updated_at,
       d.withdrawal_requested, d.decided_seq,
       encode(e.manifest_sha256, 'hex') as manifest_sha256, false as recorded
  from exchange.deadlines l
  join exchange.deliveries d using (envelope_id, recipient)
  join exchange.envelopes e using (envelope_id)
 where l.envelope_id = $1::uuid and l.recipient = $2 and l.kind = $3 and l.next_at <= $4;

-- name: rest_deadline
select exchange.rest_deadline($1, $2, $3, $4, $5);

-- name: drop_deadlines
select exchange.drop_deadlines($1, $2);

-- name: deadlines_standing
-- Every deadline that still counts: said to be overdue, and not, each as far as it is counted; and
-- since when one waits to be said.
select k.kind,
       (select count(*) from (select from exchange.deadlines
                               where kind = k.kind and next_at is not null limit $2)) as open,
       (select count(*) from (select from exchange.deadlines
                               where kind = k.kind and overdue and answered_by is null
                               limit $2)) as overdue,
       (select min(next_at) from exchange.deadlines
         where kind = k.kind and next_at <= $1::timestamptz) as waiting_since
  from (values ('SIGN_FOR'), ('REPLY')) as k (kind);

-- name: undeliverable
-- What waits for a unit that is closed and has no successor has a row of attention there.
select d.envelope_id::text, d.recipient, d.sender, d.state, d.seq, d.updated_at,
       d.withdrawal_requested, d.decided_seq,
       encode(e.manifest_sha256, 'hex') as manifest_sha256, false as recorded
  from exchange.units u
  join exchange.attention a on a.unit_id = u.unit_id and a.side = 'R'
  join exchange.deliveries d on d.envelope_id = a.envelope_id and d.recipient = a.recipient
  join exchange.envelopes e on e.envelope_id = d.envelope_id
 where u.status = 'CLOSED' and u.successor is null and d.state = 'PENDING'
   and (a.envelope_id, a.recipient) > ($1::uuid, $2)
 order by a.envelope_id, a.recipient limit $3;
