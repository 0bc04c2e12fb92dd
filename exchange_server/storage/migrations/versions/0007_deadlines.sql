-- How long one stays with the process that claimed it; and after so many failures in a row it rests.
create function exchange.deadline_rest(p_claim interval, p_failures int) returns interval
    language sql immutable set search_path = pg_catalog, pg_temp as $$
    select least(p_claim * power(2, least(p_failures, 20)), greatest(p_claim, interval '1 hour'));
$$
--;
-- Deadlines that are due, each given to one process at a time. What has happened is marked only with
-- the statement about it; a process that dies in between leaves its claim to end by itself. Two that
-- had the same one all the same, by clocks that differ, would still record it once.
create function exchange.claim_deadlines(p_now timestamptz, p_claim interval, p_limit int)
    returns table (envelope_id uuid, recipient text, kind text, due_at timestamptz)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query
    with due as (
        select d.envelope_id, d.recipient, d.kind from exchange.deadlines d
         where d.next_at <= p_now
           -- A claim that ends later than any could was made by a clock that was ahead.
           and (d.claimed_until <= p_now
                or d.claimed_until > p_now + 2 * exchange.deadline_rest(p_claim, d.failures))
         order by d.next_at limit p_limit for update skip locked
    )
    update exchange.deadlines d set claimed_until = p_now + p_claim from due
     where d.envelope_id = due.envelope_id and d.recipient = due.recipient and d.kind = due.kind
    returning d.envelope_id, d.recipient, d.kind, d.due_at;
end $$
--;
-- It is due, and could not be said: those behind it come first. Returns how often in a row it was so.
create function exchange.rest_deadline(
    p_envelope_id uuid, p_recipient text, p_kind text, p_now timestamptz, p_claim interval
) returns int language sql security definer set search_path = pg_catalog, pg_temp as $$
    update exchange.deadlines
       set failures = failures + 1,
           claimed_until = p_now + exchange.deadline_rest(p_claim, failures + 1)
     where envelope_id = p_envelope_id and recipient = p_recipient and kind = p_kind
       and next_at <= p_now
    returning failures;
$$
--;
-- One of a delivery of which nothing is expected any more. There is none, unless something is wrong:
-- a step that ends a delivery takes its deadlines with it.
create function exchange.drop_deadlines(p_envelope_id uuid, p_recipient text) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from exchange.deadlines l using exchange.deliveries d
     where l.envelope_id = p_envelope_id and l.recipient = p_recipient
       and d.envelope_id = l.envelope_id and d.recipient = l.recipient
       and d.state not in ('PENDING', 'DELIVERED', 'SIGNED_FOR');
$$
--;
revoke all on function exchange.deadline_rest, exchange.claim_deadlines, exchange.rest_deadline,
    exchange.drop_deadlines from public
--;
grant execute on function exchange.claim_deadlines, exchange.rest_deadline, exchange.drop_deadlines
    to exchange_server
