-- Time-stamps. A batch is a text file of SHA-256s of signatures, one on a line, sorted; its token
-- comes when a time-stamping service has answered, and stays.
create table exchange.stamp_batches (
    batch bigint generated always as identity primary key,
    lines bytea not null,
    made_at timestamptz not null,
    -- Since when the first of its signatures has waited.
    oldest_at timestamptz not null,
    -- How often a token was asked for, and when it may be next: until then some process is at it,
    -- or it is to rest.
    attempts int not null default 0,
    next_at timestamptz not null default '-infinity',
    -- A DER TimeStampResp (RFC 3161), and what was in force at its time.
    response bytea,
    stamped_at timestamptz,
    root_crl bigint,
    seal_crl bigint,
    check ((response is null) = (stamped_at is null))
)
--;
create index stamp_batches_open on exchange.stamp_batches (batch) where response is null
--;
create index stamp_batches_stamped on exchange.stamp_batches (stamped_at) where response is not null
--;
-- Which batch a statement's signature is in. ACCEPTED has no recipient.
create table exchange.stamps (
    envelope_id uuid not null,
    recipient text not null,
    seq bigint not null,
    batch bigint not null,
    primary key (envelope_id, recipient, seq)
) partition by range (envelope_id)
--;
select exchange.ensure_past_partitions()
--;
-- Put the signatures that have waited longest into a batch. One process at a time does so; another
-- that comes meanwhile gets null, as when nothing waits, or so many batches are open already.
create function exchange.make_stamp_batch(p_made_at timestamptz, p_most int, p_most_open int)
returns int language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_batch bigint;
    v_taken int;
begin
    if not pg_try_advisory_xact_lock(7008) then
        return null;
    end if;
    if (select count(*) from exchange.stamp_batches where response is null) >= p_most_open then
        return null;
    end if;
    with chosen as (
        select envelope_id, recipient, seq from exchange.stamp_queue
         order by queued_at limit p_most for update skip locked
    ), taken as (
        delete from exchange.stamp_queue q using chosen c
         where (q.envelope_id, q.recipient, q.seq) = (c.envelope_id, c.recipient, c.seq)
        returning q.*
    ), made as (
        insert into exchange.stamp_batches (lines, made_at, oldest_at)
        select convert_to(string_agg(line || E'\n', '' order by line collate "C"), 'UTF8'),
               p_made_at, (select min(queued_at) from taken)
          from (select distinct encode(signature_sha256, 'hex') as line from taken) l
        having count(*) > 0
        returning batch
    ), named as (
        insert into exchange.stamps (envelope_id, recipient, seq, batch)
        select t.envelope_id, t.recipient, t.seq, m.batch from taken t, made m
        returning 1
    )
    select count(*) into v_taken from named;
    return nullif(v_taken, 0);
end $$
--;
-- The open batch whose turn it is, for this process alone until p_hold is over.
create function exchange.claim_stamp_batch(p_hold interval)
returns table (batch bigint, lines bytea, attempts int)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update exchange.stamp_batches b
       set next_at = clock_timestamp() + p_hold, attempts = b.attempts + 1
     where b.batch = (
        select o.batch from exchange.stamp_batches o
         where o.response is null and o.next_at <= clock_timestamp()
         order by o.batch limit 1 for update skip locked)
    returning b.batch, b.lines, b.attempts
$$
--;
-- It got no token: another try comes after a rest.
create function exchange.rest_stamp_batch(p_batch bigint, p_rest interval)
returns void language sql security definer set search_path = pg_catalog, pg_temp as $$
    update exchange.stamp_batches set next_at = clock_timestamp() + p_rest
     where batch = p_batch and response is null
$$
--;
-- The first token stays; whether this was it.
create function exchange.keep_stamp(
    p_batch bigint, p_response bytea, p_stamped_at timestamptz, p_root_crl bigint, p_seal_crl bigint
) returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update exchange.stamp_batches
       set response = p_response, stamped_at = p_stamped_at,
           root_crl = p_root_crl, seal_crl = p_seal_crl
     where batch = p_batch and response is null;
    return found;
end $$
--;
grant select on exchange.stamp_batches, exchange.stamps to exchange_server
--;
revoke all on function exchange.make_stamp_batch, exchange.claim_stamp_batch,
    exchange.rest_stamp_batch, exchange.keep_stamp from public
--;
grant execute on function exchange.make_stamp_batch, exchange.claim_stamp_batch,
    exchange.rest_stamp_batch, exchange.keep_stamp to exchange_server
