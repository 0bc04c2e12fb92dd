-- Quotas: what a unit may use over all server processes, and what processes have leased of it.
-- The row * is for every unit without one of its own; 0 is no limit.
create table exchange.quotas (
    unit_id text primary key check (unit_id = '*' or unit_id ~ '^[a-z0-9-]{2,40}$'),
    calls_per_minute bigint not null default 0 check (calls_per_minute >= 0),
    submissions_per_minute bigint not null default 0 check (submissions_per_minute >= 0),
    bytes_per_minute bigint not null default 0 check (bytes_per_minute >= 0),
    bytes_in_flight bigint not null default 0 check (bytes_in_flight >= 0),
    open_streams bigint not null default 0 check (open_streams >= 0)
)
--;
create trigger bumps after insert or update or delete on exchange.quotas
    for each statement execute function exchange.registry_changed()
--;
grant select on exchange.quotas to exchange_server

--; ------------------------------------------------------------------ leases
-- What servers have leased. Unlogged: it says nothing that must outlive a crash of the database, and
-- so a lease waits for no disk; after a crash, and on a promoted standby, every unit begins anew.
--
-- Of a rate, each grant counts against the limit for the minute that follows it. An entry is what one
-- ask of a process used and was granted.
create unlogged table exchange.quota_grants (
    unit_id text not null,
    resource text not null check (
        resource in ('calls_per_minute', 'submissions_per_minute', 'bytes_per_minute')),
    counts_until timestamptz not null,
    amount bigint not null check (amount > 0),
    entry uuid not null,
    primary key (unit_id, resource, counts_until, entry)
)
--;
-- Of a level, what each process holds, until the process gives it back, renews it, or is dead.
create unlogged table exchange.quota_levels (
    unit_id text not null,
    resource text not null check (resource in ('bytes_in_flight', 'open_streams')),
    process uuid not null,
    held bigint not null check (held > 0),
    held_until timestamptz not null,
    primary key (unit_id, resource, process)
)
--;
-- Takes back what entries had too much, the latest of each first: what has ended counts no more, and
-- of other entries nothing is touched.
create function exchange.return_rate(p_unit_id text, p_entries uuid[], p_amounts bigint[])
    returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_left bigint;
    v_grant record;
begin
    for i in 1 .. cardinality(p_entries) loop
        v_left := p_amounts[i];
        for v_grant in
            select g.resource, g.counts_until, g.amount from exchange.quota_grants g
             where g.unit_id = p_unit_id and g.entry = p_entries[i] order by g.counts_until desc
        loop
            exit when v_left <= 0;
            if v_grant.amount <= v_left then
                delete from exchange.quota_grants g
                 where g.unit_id = p_unit_id and g.entry = p_entries[i]
                   and g.resource = v_grant.resource and g.counts_until = v_grant.counts_until;
            else
                update exchange.quota_grants g set amount = g.amount - v_left
                 where g.unit_id = p_unit_id and g.entry = p_entries[i]
                   and g.resource = v_grant.resource and g.counts_until = v_grant.counts_until;
            end if;
            v_left := v_left - v_grant.amount;
        end loop;
    end loop;
end $$
--;
-- Enters what a process used without having leased it, and grants it as much more as is wanted and
-- free. ``retry_s``: when there is room again, in seconds; null while there is, or where nobody knows.
create function exchange.lease_rate(
    p_unit_id text, p_resource text, p_limit bigint, p_entry uuid, p_used bigint, p_wanted bigint,
    out granted bigint, out retry_s double precision
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- To the second, so that an entry has a bounded number of rows.
    v_until timestamptz := date_trunc('second', clock_timestamp() + interval '61 seconds');
    v_now timestamptz := clock_timestamp();
    v_counted bigint;
    v_left bigint := p_used;
    v_part bigint;
begin
    -- What has ended; and this ask itself, if it is repeated since its answer was lost.
    delete from exchange.quota_grants g
     where g.unit_id = p_unit_id and g.resource = p_resource
       and (g.counts_until <= v_now or g.entry = p_entry);
    -- What is over the limit counts in the minutes after, so that there is no more of it in the long
    -- run; an hour at most, whose last minute has all the rest: what is given back was counted.
    for v_minute in 0 .. 59 loop
        exit when v_left <= 0;
        select least(v_left, greatest(0, p_limit - coalesce(sum(g.amount), 0))) into v_part
          from exchange.quota_grants g
         where g.unit_id = p_unit_id and g.resource = p_resource
           and g.counts_until <= v_until + v_minute * interval '1 minute'
           and (v_minute = 0 or g.counts_until > v_until + (v_minute - 1) * interval '1 minute');
        if v_minute = 59 then
            v_part := v_left;
        end if;
        continue when v_part = 0;
        insert into exchange.quota_grants as g (unit_id, resource, counts_until, amount, entry)
        values (p_unit_id, p_resource, v_until + v_minute * interval '1 minute', v_part, p_entry);
        v_left := v_left - v_part;
    end loop;
    select coalesce(sum(g.amount), 0) into v_counted from exchange.quota_grants g
     where g.unit_id = p_unit_id and g.resource = p_resource;
    granted := greatest(0, least(p_wanted, p_limit - v_counted));
    if granted > 0 then
        insert into exchange.quota_grants as g (unit_id, resource, counts_until, amount, entry)
        values (p_unit_id, p_resource, v_until, granted, p_entry)
        on conflict (unit_id, resource, counts_until, entry)
            do update set amount = g.amount + excluded.amount;
        v_counted := v_counted + granted;
    end if;
    if v_counted >= p_limit then
        select extract(epoch from min(ends.counts_until) - v_now) into retry_s
          from (select g.counts_until, sum(g.amount) over (order by g.counts_until) as ended
                  from exchange.quota_grants g
                 where g.unit_id = p_unit_id and g.resource = p_resource) as ends
         where v_counted - ends.ended < p_limit;
    end if;
end $$
--;
create function exchange.lease_level(
    p_unit_id text, p_resource text, p_process uuid, p_limit bigint, p_used bigint, p_wanted bigint,
    p_lease interval, out granted bigint
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now timestamptz := clock_timestamp();
    v_others bigint;
begin
    delete from exchange.quota_levels l
     where l.unit_id = p_unit_id and l.resource = p_resource
       and (l.process = p_process or l.held_until <= v_now);
    select coalesce(sum(l.held), 0) into v_others from exchange.quota_levels l
     where l.unit_id = p_unit_id and l.resource = p_resource;
    granted := greatest(0, least(p_wanted, p_limit - v_others - p_used));
    if p_used + granted > 0 then
        insert into exchange.quota_levels (unit_id, resource, process, held, held_until)
        values (p_unit_id, p_resource, p_process, p_used + granted, v_now + p_lease);
    end if;
end $$
--;
-- Answers a process's asks about one unit, each resource for itself, after it has taken back what the
-- process gives back. The limits are those of the
-- ledger at this moment: the unit's own, else those of *, else none. The lock makes the sum over all
-- processes exact; it is the unit's own, so that no unit waits for another.
create function exchange.lease_quota(
    p_unit_id text, p_process uuid, p_lease interval,
    p_resources text[], p_entries uuid[], p_used bigint[], p_wanted bigint[],
    p_back_entries uuid[], p_back_amounts bigint[]
) returns table (resource text, granted bigint, retry_s double precision) language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_limits jsonb;
    v_limit bigint;
begin
    perform pg_advisory_xact_lock(7002, hashtext(p_unit_id));
    select to_jsonb(q) into v_limits from exchange.quotas q
     where q.unit_id in (p_unit_id, '*') order by q.unit_id = '*' limit 1;
    perform exchange.return_rate(p_unit_id, p_back_entries, p_back_amounts);
    for i in 1 .. cardinality(p_resources) loop
        resource := p_resources[i];
        retry_s := null;
        v_limit := coalesce((v_limits ->> resource)::bigint, 0);
        if v_limit = 0 then
            granted := p_wanted[i];
        elsif resource in ('bytes_in_flight', 'open_streams') then
            granted := exchange.lease_level(
                p_unit_id, resource, p_process, v_limit, p_used[i], p_wanted[i], p_lease);
        else
            select leased.granted, leased.retry_s into granted, retry_s
              from exchange.lease_rate(
                  p_unit_id, resource, v_limit, p_entries[i], p_used[i], p_wanted[i]) as leased;
        end if;
        return next;
    end loop;
end $$
--;
-- What a process that ends still held.
create function exchange.return_quota(p_process uuid) returns void language sql
    security definer set search_path = pg_catalog, pg_temp as $$
    delete from exchange.quota_levels where process = p_process;
$$
--;
revoke all on function exchange.return_rate, exchange.lease_rate, exchange.lease_level,
    exchange.lease_quota, exchange.return_quota from public
--;
grant execute on function exchange.lease_quota, exchange.return_quota to exchange_server
--;
grant select on exchange.quota_grants, exchange.quota_levels to exchange_server
