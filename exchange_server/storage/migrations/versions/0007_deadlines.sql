-- Deadlines that are due, each given to one process at a time. What has happened is marked only with
-- the statement about it; a process that dies in between leaves its claim to end by itself.
create function exchange.claim_deadlines(p_now timestamptz, p_until timestamptz, p_limit int)
    returns table (envelope_id uuid, recipient text, kind text, reminded boolean, due_at timestamptz)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query
    with due as (
        select d.envelope_id, d.recipient, d.kind from exchange.deadlines d
         where d.next_at <= p_now and d.claimed_until <= p_now
         order by d.next_at limit p_limit for update skip locked
    )
    update exchange.deadlines d set claimed_until = p_until from due
     where d.envelope_id = due.envelope_id and d.recipient = due.recipient and d.kind = due.kind
    returning d.envelope_id, d.recipient, d.kind, d.reminded, d.due_at;
end $$
--;
revoke all on function exchange.claim_deadlines from public
--;
grant execute on function exchange.claim_deadlines to exchange_server
