-- The directory: systems, staff, named groups, successors, and changes that await a second person.
--
-- Units are also members of groups that have no row in exchange.groups: a row only names a group.
alter table exchange.units add column successor text references exchange.units (unit_id)
--;
alter table exchange.units add constraint units_successor check (
    successor is null or (status = 'CLOSED' and successor <> unit_id))
--;
-- A system exists by its certificate; a row describes it, and can shut it out.
create table exchange.systems (
    unit_id text not null references exchange.units (unit_id),
    name text not null check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    description text not null default '',
    contact text not null default '',
    status text not null default 'ACTIVE' check (status in ('ACTIVE', 'SUSPENDED', 'CLOSED')),
    primary key (unit_id, name)
)
--;
-- Staff are admitted only with a row. One person, one name, one role: 三员分立. A name keeps both
-- for ever; who is to change roles is closed and gets another name.
create table exchange.staff (
    name text primary key check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    person text not null check (person <> ''),
    full_name text not null,
    role text not null check (role in ('operator', 'security', 'auditor')),
    status text not null default 'ACTIVE' check (status in ('ACTIVE', 'SUSPENDED', 'CLOSED'))
)
--;
create unique index staff_one_name on exchange.staff (lower(person)) where status <> 'CLOSED'
--;
create function exchange.staff_stay_who_they_are() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    if (new.name, new.role, new.person) is distinct from (old.name, old.role, old.person) then
        raise exception 'staff % keeps name, role and person', old.name using errcode = 'check_violation';
    end if;
    if old.status = 'CLOSED' and new.status <> 'CLOSED' then
        raise exception 'staff % is closed and stays so', old.name using errcode = 'check_violation';
    end if;
    return new;
end $$
--;
create trigger stays before update on exchange.staff
    for each row execute function exchange.staff_stay_who_they_are()
--;
create table exchange.groups (
    group_id text primary key check (group_id ~ '^[a-z0-9-]{2,40}$'),
    name_zh text not null,
    name_en text not null
)
--;
create table exchange.proposals (
    proposal_id uuid primary key,
    changes bytea not null,
    standing text not null default 'OPEN' check (standing in ('OPEN', 'APPLIED', 'REJECTED')),
    proposed_by text not null,
    proposed_at timestamptz not null,
    reason text not null default '',
    decided_by text,
    decided_at timestamptz,
    decision_reason text,
    check ((standing = 'OPEN') = (decided_by is null)),
    check (standing <> 'APPLIED' or decided_by <> proposed_by)
)
--;
-- The same again while it is open is the same proposal, so that a call can be repeated.
create unique index proposals_open on exchange.proposals (proposed_by, sha256(changes)) where standing = 'OPEN'
--;
-- ``version`` counts every change of the registry; ``directory`` only those of what decides who may
-- send what to whom, which certificates and quotas don't; ``entries`` those of all that
-- administrators keep, so that each of them writes upon what was read, and no change is lost.
alter table exchange.registry_version
    add column directory bigint not null default 1,
    add column entries bigint not null default 1
--;
create or replace function exchange.registry_changed() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    update exchange.registry_version
       set version = version + 1,
           directory = directory + (tg_table_name not in ('certificates', 'crls', 'authorities', 'quotas'))::int,
           entries = entries + (tg_table_name not in ('certificates', 'crls', 'authorities'))::int;
    perform pg_notify('registry', '');
    return null;
end $$
--;
create trigger locks before insert or update or delete on exchange.systems
    for each statement execute function exchange.registry_changes('1')
--;
create trigger locks before insert or update or delete on exchange.staff
    for each statement execute function exchange.registry_changes('1')
--;
create trigger locks before insert or update or delete on exchange.groups
    for each statement execute function exchange.registry_changes('1')
--;
create trigger bumps after insert or update or delete on exchange.regions
    for each statement execute function exchange.registry_changed()
--;
create trigger bumps after insert or update or delete on exchange.systems
    for each statement execute function exchange.registry_changed()
--;
create trigger bumps after insert or update or delete on exchange.staff
    for each statement execute function exchange.registry_changed()
--;
create trigger bumps after insert or update or delete on exchange.groups
    for each statement execute function exchange.registry_changed()

--; ------------------------------------------------------------------ administration
-- Writes entries (p_puts: an array of objects, each with its kind under "entry"), removes others
-- (p_removals: an array of [kind, key]) and records the events of it, all or nothing. The caller
-- decided upon version p_version of the entries; who changes anything is one at a time.
-- Outcomes: APPLIED, CHANGED (read again and decide again), CERTIFICATE_REVOKED,
--   DECIDED (the proposal p_proposal has been decided meanwhile).
create function exchange.change_entries(
    p_version bigint, p_caller bytea, p_puts jsonb, p_removals jsonb,
    p_proposal uuid, p_decision_reason text,
    p_at timestamptz, p_actor text, p_types text[], p_event_ids uuid[], p_salts bytea[], p_events bytea[]
) returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_kinds text[] := array(select distinct e ->> 'entry' from jsonb_array_elements(p_puts) e);
begin
    perform pg_advisory_xact_lock(7001, 1);
    -- The row lock holds up whoever revokes a certificate, too.
    if (select entries from exchange.registry_version for update) <> p_version then
        return 'CHANGED';
    end if;
    if p_caller is not null and not exists (
        select from exchange.certificates where fingerprint = p_caller and revoked_at is null
    ) then
        return 'CERTIFICATE_REVOKED';
    end if;
    if p_proposal is not null then
        update exchange.proposals
           set standing = 'APPLIED', decided_by = p_actor, decided_at = p_at, decision_reason = p_decision_reason
         where proposal_id = p_proposal and standing = 'OPEN';
        if not found then
            return 'DECIDED';
        end if;
    end if;

    -- A statement that writes nothing would have every server read the registry anew, too.
    if 'region' = any (v_kinds) then
        insert into exchange.regions (code, name_zh, name_en, valid_from, valid_to)
        select code, name_zh, name_en, valid_from, valid_to
          from jsonb_to_recordset(p_puts) as t (entry text, code text, name_zh text, name_en text,
               valid_from date, valid_to date)
         where entry = 'region'
        on conflict (code) do update set name_zh = excluded.name_zh, name_en = excluded.name_en,
            valid_from = excluded.valid_from, valid_to = excluded.valid_to;
    end if;
    if 'business' = any (v_kinds) then
        insert into exchange.businesses (code, name_zh, name_en)
        select code, name_zh, name_en
          from jsonb_to_recordset(p_puts) as t (entry text, code text, name_zh text, name_en text)
         where entry = 'business'
        on conflict (code) do update set name_zh = excluded.name_zh, name_en = excluded.name_en;
    end if;
    if 'unit' = any (v_kinds) then
        insert into exchange.units (unit_id, name_zh, name_en, short_zh, kind, organisation_code,
            credit_code, region, issuer_marks, groups, contact, status, successor)
        select unit_id, name_zh, name_en, short_zh, kind, nullif(organisation_code, ''),
               nullif(credit_code, ''), nullif(region, ''), issuer_marks, groups, contact, status,
               nullif(successor, '')
          from jsonb_to_recordset(p_puts) as t (entry text, unit_id text, name_zh text, name_en text,
               short_zh text, kind text, organisation_code text, credit_code text, region text,
               issuer_marks text[], groups text[], contact text, status text, successor text)
         where entry = 'unit'
        on conflict (unit_id) do update set name_zh = excluded.name_zh, name_en = excluded.name_en,
            short_zh = excluded.short_zh, kind = excluded.kind,
            organisation_code = excluded.organisation_code, credit_code = excluded.credit_code,
            region = excluded.region, issuer_marks = excluded.issuer_marks, groups = excluded.groups,
            contact = excluded.contact, status = excluded.status, successor = excluded.successor;
        delete from exchange.acts_for a
         using jsonb_to_recordset(p_puts) as t (entry text, unit_id text, acts_for text[])
         where t.entry = 'unit' and a.unit_id = t.unit_id and a.issuer <> all (t.acts_for);
        insert into exchange.acts_for (unit_id, issuer)
        select unit_id, unnest(acts_for)
          from jsonb_to_recordset(p_puts) as t (entry text, unit_id text, acts_for text[])
         where entry = 'unit'
        on conflict do nothing;
    end if;
    if 'system' = any (v_kinds) then
        insert into exchange.systems (unit_id, name, description, contact, status)
        select unit_id, name, description, contact, status
          from jsonb_to_recordset(p_puts) as t (entry text, unit_id text, name text, description text,
               contact text, status text)
         where entry = 'system'
        on conflict (unit_id, name) do update set description = excluded.description,
            contact = excluded.contact, status = excluded.status;
    end if;
    if 'staff' = any (v_kinds) then
        -- First who is closed, since a person may get another name in the same act.
        insert into exchange.staff (name, person, full_name, role, status)
        select name, person, full_name, role, status
          from jsonb_to_recordset(p_puts) as t (entry text, name text, person text, full_name text,
               role text, status text)
         where entry = 'staff' and status = 'CLOSED'
        on conflict (name) do update set person = excluded.person, full_name = excluded.full_name,
            role = excluded.role, status = excluded.status;
        insert into exchange.staff (name, person, full_name, role, status)
        select name, person, full_name, role, status
          from jsonb_to_recordset(p_puts) as t (entry text, name text, person text, full_name text,
               role text, status text)
         where entry = 'staff' and status <> 'CLOSED'
        on conflict (name) do update set person = excluded.person, full_name = excluded.full_name,
            role = excluded.role, status = excluded.status;
    end if;
    if 'group' = any (v_kinds) then
        insert into exchange.groups (group_id, name_zh, name_en)
        select group_id, name_zh, name_en
          from jsonb_to_recordset(p_puts) as t (entry text, group_id text, name_zh text, name_en text)
         where entry = 'group'
        on conflict (group_id) do update set name_zh = excluded.name_zh, name_en = excluded.name_en;
    end if;
    if 'route' = any (v_kinds) then
        insert into exchange.routes (route_id, effect, sender, recipient, business, genre, direction, note)
        select route_id, effect, sender, recipient, business, genre, direction, note
          from jsonb_to_recordset(p_puts) as t (entry text, route_id text, effect text, sender text,
               recipient text, business text, genre text, direction text, note text)
         where entry = 'route'
        on conflict (route_id) do update set effect = excluded.effect, sender = excluded.sender,
            recipient = excluded.recipient, business = excluded.business, genre = excluded.genre,
            direction = excluded.direction, note = excluded.note;
    end if;
    if 'quota' = any (v_kinds) then
        insert into exchange.quotas (unit_id, calls_per_minute, submissions_per_minute,
            bytes_per_minute, bytes_in_flight, open_streams)
        select unit_id, calls_per_minute, submissions_per_minute, bytes_per_minute, bytes_in_flight,
               open_streams
          from jsonb_to_recordset(p_puts) as t (entry text, unit_id text, calls_per_minute bigint,
               submissions_per_minute bigint, bytes_per_minute bigint, bytes_in_flight bigint,
               open_streams bigint)
         where entry = 'quota'
        on conflict (unit_id) do update set calls_per_minute = excluded.calls_per_minute,
            submissions_per_minute = excluded.submissions_per_minute,
            bytes_per_minute = excluded.bytes_per_minute,
            bytes_in_flight = excluded.bytes_in_flight, open_streams = excluded.open_streams;
    end if;
    if p_removals @> '[["group"]]' then
        delete from exchange.groups where p_removals @> jsonb_build_array(jsonb_build_array('group', group_id));
    end if;
    if p_removals @> '[["route"]]' then
        delete from exchange.routes where p_removals @> jsonb_build_array(jsonb_build_array('route', route_id));
    end if;
    if p_removals @> '[["quota"]]' then
        delete from exchange.quotas where p_removals @> jsonb_build_array(jsonb_build_array('quota', unit_id));
    end if;

    perform exchange.record_event(i, p_at, t, p_actor, null, null, s, e)
       from unnest(p_event_ids, p_types, p_salts, p_events) with ordinality as u (i, t, s, e, o)
      order by o;
    return 'APPLIED';
end $$
--;
-- Outcomes: PROPOSED, EXISTS (the same is open: p_proposal is its), TOO_MANY are open, CERTIFICATE_REVOKED.
create function exchange.propose(
    p_proposal uuid, p_caller bytea, p_changes bytea, p_reason text,
    p_at timestamptz, p_actor text, p_event_id uuid, p_salt bytea, p_event bytea, p_most int,
    out outcome text, out proposal uuid
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock(7001, 3);
    if not exists (select from exchange.certificates where fingerprint = p_caller and revoked_at is null) then
        outcome := 'CERTIFICATE_REVOKED';
        return;
    end if;
    select proposal_id into proposal from exchange.proposals
     where proposed_by = p_actor and sha256(changes) = sha256(p_changes) and standing = 'OPEN';
    if found then
        outcome := 'EXISTS';
        return;
    end if;
    if (select count(*) from exchange.proposals where standing = 'OPEN') >= p_most then
        outcome := 'TOO_MANY';
        return;
    end if;
    insert into exchange.proposals (proposal_id, changes, proposed_by, proposed_at, reason)
    values (p_proposal, p_changes, p_actor, p_at, p_reason);
    perform exchange.record_event(p_event_id, p_at, 'PROPOSAL_MADE', p_actor, null, null, p_salt, p_event);
    outcome := 'PROPOSED';
    proposal := p_proposal;
end $$
--;
-- Outcomes: REJECTED, DECIDED (meanwhile, or never open), CERTIFICATE_REVOKED.
create function exchange.reject_proposal(
    p_proposal uuid, p_caller bytea, p_reason text,
    p_at timestamptz, p_actor text, p_event_id uuid, p_salt bytea, p_event bytea
) returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from exchange.certificates where fingerprint = p_caller and revoked_at is null) then
        return 'CERTIFICATE_REVOKED';
    end if;
    update exchange.proposals
       set standing = 'REJECTED', decided_by = p_actor, decided_at = p_at, decision_reason = p_reason
     where proposal_id = p_proposal and standing = 'OPEN';
    if not found then
        return 'DECIDED';
    end if;
    perform exchange.record_event(p_event_id, p_at, 'PROPOSAL_REJECTED', p_actor, null, null, p_salt, p_event);
    return 'REJECTED';
end $$

--; ------------------------------------------------------------------ certificates and their events
-- Whoever holds a certificate sees the events of its issuance and revocation.
alter table exchange.certificates
    add column issued_event bigint,
    add column issued_event_at timestamptz,
    add column revoked_event bigint,
    add column revoked_event_at timestamptz
--;
create index certificates_identity on exchange.certificates (identity)
--;
create or replace function exchange.publish_revocation(
    p_fingerprint bytea, p_revoked_at timestamptz, p_reason text,
    p_event_id uuid, p_salt bytea, p_event bytea
) returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_at timestamptz := clock_timestamp();
begin
    perform pg_advisory_xact_lock(7001, 2);  -- before any row's lock, as everywhere
    perform from exchange.certificates
      where fingerprint = p_fingerprint and revoked_at is null for update;
    if not found then
        return false;
    end if;
    update exchange.certificates
       set revoked_at = p_revoked_at, revocation_reason = p_reason, revoked_event_at = v_at,
           revoked_event = exchange.record_event(p_event_id, v_at, 'CERTIFICATE_REVOKED',
               convert_from(p_event, 'UTF8')::jsonb ->> 'actor', null, null, p_salt, p_event)
     where fingerprint = p_fingerprint;
    return true;
end $$
--;
revoke all on function exchange.change_entries, exchange.propose, exchange.reject_proposal,
    exchange.staff_stay_who_they_are from public
--;
grant execute on function exchange.change_entries, exchange.propose, exchange.reject_proposal to exchange_server
--;
grant select on exchange.systems, exchange.staff, exchange.groups, exchange.proposals to exchange_server
--;
grant select on exchange.systems, exchange.staff to exchange_authority
