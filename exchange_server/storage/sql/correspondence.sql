-- name: thread_ids
-- The envelopes of a unit that hang together with this one, the nearest first. It goes on only from
-- envelopes that the unit sent or got, so it shows nothing of what others wrote to one another; and
-- as the outer limit ends the recursion, no more is read than is shown.
with recursive walk (envelope_id) as (
    select e.envelope_id from exchange.envelopes e
     where e.envelope_id = $2::uuid
       and (e.sender = $1 or exists (select from exchange.deliveries d
                                      where d.envelope_id = e.envelope_id and d.recipient = $1))
    union
    select near.envelope_id
      from walk w
     cross join lateral (
        (select e.envelope_id
           from exchange.links l join exchange.envelopes e on e.envelope_id = l.earlier
          where l.envelope_id = w.envelope_id
            and (e.sender = $1 or exists (select from exchange.deliveries d
                                           where d.envelope_id = e.envelope_id and d.recipient = $1)))
        union all
        (select p.envelope_id from exchange.link_parties p
          where p.earlier = w.envelope_id and p.unit_id = $1
          order by p.envelope_id limit $3)
     ) near
)
select envelope_id::text from walk limit $3;

-- name: thread_envelopes
select e.envelope_id::text, e.sender, e.business, e.genre, e.title, e.doc_id, e.number, e.accepted_at
  from exchange.envelopes e where e.envelope_id = any ($1::uuid[])
 order by e.accepted_at, e.envelope_id;

-- name: links_of
select envelope_id::text, kind, earlier::text from exchange.links
 where envelope_id = any ($1::uuid[]) order by envelope_id, kind;

-- name: standing_of
-- In which states the deliveries are that this unit may see.
select envelope_id::text, state, count(*)::int as count from exchange.deliveries
 where envelope_id = any ($2::uuid[]) and (sender = $1 or recipient = $1)
 group by envelope_id, state order by envelope_id, state;

-- name: statuses_for
select envelope_id::text, recipient, state, seq, updated_at, last_type, withdrawal_requested,
       sign_due, reply_due, overdue, replaced_by::text
  from exchange.deliveries
 where envelope_id = any ($2::uuid[]) and (sender = $1 or recipient = $1)
 order by envelope_id, recipient;

-- name: circulated
select e.sender, e.manifest from exchange.envelopes e
 where e.envelope_id = $2::uuid
   and (e.sender = $1 or exists (select from exchange.deliveries d
                                  where d.envelope_id = e.envelope_id and d.recipient = $1));

-- name: circulation
-- Each recipient with its signature and its first answer that stands.
select d.recipient, d.kind, d.state, d.seq, d.updated_at, d.last_type, d.withdrawal_requested,
       d.sign_due, d.reply_due, d.overdue, d.replaced_by::text,
       (select s.recorded_at from exchange.statements s
         where s.envelope_id = d.envelope_id and s.recipient = d.recipient and s.type = 'SIGNED_FOR'
         order by s.seq limit 1) as signed_for_at,
       answer.envelope_id::text as answered_by, answer.accepted_at as answered_at,
       exists (select from exchange.link_parties p
                where p.earlier = d.envelope_id and p.unit_id = $1 and p.sender = d.recipient
                  and p.envelope_id = answer.envelope_id) as is_party
  from exchange.deliveries d
  left join exchange.envelopes answer
    on answer.envelope_id = exchange.standing_answer(d.envelope_id, d.sender, d.recipient)
 where d.envelope_id = $2::uuid;
