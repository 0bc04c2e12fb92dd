-- The directory: systems, staff, named groups, successors, and changes that await a second person.
--
-- Units are also members of groups that have no row in exchange.groups: a row only names a group.
alter table exchange.units add column successor text references exchange.units (unit_id)
--;
alter table exchange.units add constraint units_successor check (
    successor is null or (status = 'CLOSED' and successor <> unit_id))
--;
-- What security staff suspended, they alone resume: held_by says so.
alter table exchange.units add column held_by text not null default ''
    check (held_by = '' or (held_by = 'security' and status = 'SUSPENDED'))
--;
-- A system exists by its certificate; a row describes it, and can shut it out.
create table exchange.systems (
    unit_id text not null references exchange.units (unit_id),
    name text not null check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    description text not null default '',
    contact text not null default '',
    status text not null default 'ACTIVE' check (status in ('ACTIVE', 'SUSPENDED', 'CLOSED')),
    held_by text not null default '' check (held_by = '' or (held_by = 'security' and status = 'SUSPENDED')),
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
-- What the owner of the ledger alone decides, so that no server can do without it.
create table exchange.administration (
    only_row boolean primary key default true check (only_row),
    second_person boolean not null default true
)
--;
insert into exchange.administration default values
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
           directory = directory + (tg_table_name not in ('certificates', 'crls', 'authorities', 'quotas', 'administration'))::int,
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
--;
create trigger bumps after update on exchange.administration
    for each statement execute function exchange.registry_changed()

--; ------------------------------------------------------------------ administration
-- Whether the entries still are of this version; until the end of the transaction nobody changes any.
-- The lock of the row holds up whoever revokes a certificate, too.
create function exchange.entries_are(p_version bigint) returns boolean language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock(7001, 1);
    return (select entries from exchange.registry_version for update) = p_version;
end $$
--;
-- Who the holder of a certificate is. Outcomes: ACTIVE, CERTIFICATE_REVOKED (or never issued),
--   CERTIFICATE_EXPIRED, STAFF_NOT_ACTIVE.
create function exchange.standing_of_staff(
    p_caller bytea, out outcome text, out identity text, out role text, out person text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_staff record;
begin
    select c.identity, c.role, c.not_after, s.status, s.role as registered, lower(s.person) as person
      into v_staff
      from exchange.certificates c
      left join exchange.staff s on s.name = substring(c.identity from '/staff/([^/]+)$')
     where c.fingerprint = p_caller and c.revoked_at is null and c.profile = 'staff';
    outcome := case
        when not found then 'CERTIFICATE_REVOKED'
        when v_staff.not_after < clock_timestamp() then 'CERTIFICATE_EXPIRED'
        when v_staff.status is distinct from 'ACTIVE' or v_staff.role is distinct from v_staff.registered
            then 'STAFF_NOT_ACTIVE'
        else 'ACTIVE' end;
    if outcome = 'ACTIVE' then
        identity := v_staff.identity;
        role := v_staff.role;
        person := v_staff.person;
    end if;
end $$
--;
-- A fault of whoever calls these functions, and no answer for a user: the server never asks for it.
create function exchange.forbid(p_why text) returns void language plpgsql as $$
begin
    raise exception '%', p_why using errcode = 'insufficient_privilege';
end $$
--;
-- Of these changes, those that two members of security staff stand for: staff (but for suspending
-- one), routes, and for whom a unit acts.
create function exchange.shielded_changes(p_puts jsonb, p_removals jsonb)
    returns table (kind text, key text) language sql
    security definer set search_path = pg_catalog, pg_temp as $$
    select 'staff', t.name
      from jsonb_to_recordset(p_puts) as t (entry text, name text, person text, full_name text,
           role text, status text)
     where t.entry = 'staff' and not exists (
        select from exchange.staff s where s.name = t.name and t.status = 'SUSPENDED'
           and (s.person, s.full_name, s.role) = (t.person, t.full_name, t.role))
    union all
    select 'route', t.route_id
      from jsonb_to_recordset(p_puts) as t (entry text, route_id text) where t.entry = 'route'
    union all
    select 'unit', t.unit_id
      from jsonb_to_recordset(p_puts) as t (entry text, unit_id text, acts_for text[])
     where t.entry = 'unit'
       and array(select a.issuer from exchange.acts_for a where a.unit_id = t.unit_id
                  order by a.issuer collate "C")
        <> array(select x from unnest(t.acts_for) as u (x) order by x collate "C")
    union all
    select r ->> 0, r ->> 1 from jsonb_array_elements(p_removals) r where r ->> 0 in ('staff', 'route')
$$
--;
-- Writes entries (p_puts: an array of objects, each with its kind under "entry"), removes others
-- (p_removals: an array of [kind, key]) and records the events of it, all or nothing. The caller
-- decided upon version p_version of the entries; who changes anything is one at a time. This is the
-- owner's way, who has no role: servers have change_entries.
-- Outcomes: APPLIED, CHANGED (read again and decide again).
create function exchange.write_entries(
    p_version bigint, p_puts jsonb, p_removals jsonb,
    p_at timestamptz, p_event_ids uuid[], p_salts bytea[], p_events bytea[]
) returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_kinds text[] := array(select distinct e ->> 'entry' from jsonb_array_elements(p_puts) e);
begin
    if not exchange.entries_are(p_version) then
        return 'CHANGED';
    end if;
    if exists (
        select e ->> 'entry', coalesce(
               case when e ->> 'entry' = 'system' then concat(e ->> 'unit_id', '/', e ->> 'name') end,
               e ->> 'unit_id', e ->> 'group_id', e ->> 'route_id', e ->> 'code', e ->> 'name')
          from jsonb_array_elements(p_puts) e
        union all
        select r ->> 0, r ->> 1 from jsonb_array_elements(p_removals) r
        except
        select e #>> '{detail,kind}', e #>> '{detail,key}'
          from unnest(p_events) as u (b), lateral (select convert_from(b, 'UTF8')::jsonb) as v (e)
         where e ->> 'type' = 'REGISTRY_CHANGED'
    ) then
        perform exchange.forbid('an entry changes without its event');
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
            credit_code, region, issuer_marks, groups, contact, status, successor, held_by)
        select unit_id, name_zh, name_en, short_zh, kind, nullif(organisation_code, ''),
               nullif(credit_code, ''), nullif(region, ''), issuer_marks, groups, contact, status,
               nullif(successor, ''), coalesce(held_by, '')
          from jsonb_to_recordset(p_puts) as t (entry text, unit_id text, name_zh text, name_en text,
               short_zh text, kind text, organisation_code text, credit_code text, region text,
               issuer_marks text[], groups text[], contact text, status text, successor text, held_by text)
         where entry = 'unit'
        on conflict (unit_id) do update set name_zh = excluded.name_zh, name_en = excluded.name_en,
            short_zh = excluded.short_zh, kind = excluded.kind,
            organisation_code = excluded.organisation_code, credit_code = excluded.credit_code,
            region = excluded.region, issuer_marks = excluded.issuer_marks, groups = excluded.groups,
            contact = excluded.contact, status = excluded.status, successor = excluded.successor,
            held_by = excluded.held_by;
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
        insert into exchange.systems (unit_id, name, description, contact, status, held_by)
        select unit_id, name, description, contact, status, coalesce(held_by, '')
          from jsonb_to_recordset(p_puts) as t (entry text, unit_id text, name text, description text,
               contact text, status text, held_by text)
         where entry = 'system'
        on conflict (unit_id, name) do update set description = excluded.description,
            contact = excluded.contact, status = excluded.status, held_by = excluded.held_by;
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

    perform exchange.record_event(i, p_at, e ->> 'type', e ->> 'actor', null, null, s, b)
       from unnest(p_event_ids, p_salts, p_events) with ordinality as u (i, s, b, o),
            lateral (select convert_from(b, 'UTF8')::jsonb) as v (e)
      order by o;
    return 'APPLIED';
end $$
--;
-- The same by a member of staff, whose certificate p_caller is: each event is theirs, their role keeps
-- what changes, and where two persons stand for it, p_proposal is open, proposes it, and is
-- another's. All this the server has looked at before; here it holds whatever a server does.
-- Outcomes: those of write_entries and standing_of_staff, but ACTIVE; DECIDED (the proposal is not
--   open any more).
create function exchange.change_entries(
    p_version bigint, p_caller bytea, p_puts jsonb, p_removals jsonb,
    p_proposal uuid, p_decision_reason text,
    p_at timestamptz, p_event_ids uuid[], p_salts bytea[], p_events bytea[]
) returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_caller record;
    v_proposer record;
    v_proposed_by text;
    v_proposed bytea;
begin
    if not exchange.entries_are(p_version) then
        return 'CHANGED';
    end if;
    select * into v_caller from exchange.standing_of_staff(p_caller);
    if v_caller.outcome <> 'ACTIVE' then
        return v_caller.outcome;
    end if;
    if exists (select from unnest(p_events) as u (b)
                where convert_from(b, 'UTF8')::jsonb ->> 'actor' is distinct from v_caller.identity) then
        perform exchange.forbid('an event names another actor than the caller');
    end if;
    if v_caller.role not in ('operator', 'security') then
        perform exchange.forbid(v_caller.role || ' staff change nothing');
    end if;
    if v_caller.role <> 'security' and (
        exists (select from exchange.shielded_changes(p_puts, p_removals))
        or p_puts @> '[{"entry": "staff"}]'
        or exists (select from jsonb_to_recordset(p_puts) as t (entry text, unit_id text, status text, held_by text)
                     join exchange.units u using (unit_id)
                    where t.entry = 'unit' and u.held_by > coalesce(t.held_by, '') and t.status <> 'CLOSED')
        or exists (select from jsonb_to_recordset(p_puts) as t (entry text, unit_id text, name text, status text,
                          held_by text)
                     join exchange.systems s using (unit_id, name)
                    where t.entry = 'system' and s.held_by > coalesce(t.held_by, '') and t.status <> 'CLOSED')
    ) then
        perform exchange.forbid('security staff alone change this');
    end if;
    if p_proposal is not null then
        select proposed_by, changes into v_proposed_by, v_proposed from exchange.proposals
         where proposal_id = p_proposal and standing = 'OPEN';
        if not found then
            return 'DECIDED';
        end if;
        select lower(person) as person, role, status into v_proposer from exchange.staff
         where name = substring(v_proposed_by from '/staff/([^/]+)$');
        if v_proposer.person is null or v_proposer.person = v_caller.person
           or (v_proposer.role, v_proposer.status) <> ('security', 'ACTIVE') then
            perform exchange.forbid('the proposal is not that of another member of security staff');
        end if;
        update exchange.proposals
           set standing = 'APPLIED', decided_by = v_caller.identity, decided_at = p_at,
               decision_reason = p_decision_reason
         where proposal_id = p_proposal;
    end if;
    if (select second_person from exchange.administration) and exists (
        select kind, key from exchange.shielded_changes(p_puts, p_removals)
        except
        select d ->> 'kind', d ->> 'key'
          from jsonb_array_elements(convert_from(v_proposed, 'UTF8')::jsonb -> 'differences') d
    ) then
        perform exchange.forbid('nobody else proposed this');
    end if;
    return exchange.write_entries(p_version, p_puts, p_removals, p_at, p_event_ids, p_salts, p_events);
end $$
--;
-- Outcomes: PROPOSED, EXISTS (the same is open: proposal is its id), TOO_MANY are open, TOO_MANY_OWN,
--   CHANGED, and those of standing_of_staff, but ACTIVE.
create function exchange.propose(
    p_version bigint, p_proposal uuid, p_caller bytea, p_changes bytea, p_reason text,
    p_at timestamptz, p_event_id uuid, p_salt bytea, p_event bytea, p_most int, p_most_own int,
    out outcome text, out proposal uuid
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_caller record;
begin
    if not exchange.entries_are(p_version) then
        outcome := 'CHANGED';
        return;
    end if;
    select * into v_caller from exchange.standing_of_staff(p_caller);
    if v_caller.outcome <> 'ACTIVE' then
        outcome := v_caller.outcome;
        return;
    end if;
    if v_caller.role <> 'security'
       or convert_from(p_event, 'UTF8')::jsonb ->> 'actor' is distinct from v_caller.identity then
        perform exchange.forbid('security staff propose, in their own name');
    end if;
    select proposal_id into proposal from exchange.proposals
     where proposed_by = v_caller.identity and sha256(changes) = sha256(p_changes) and standing = 'OPEN';
    if found then
        outcome := 'EXISTS';
        return;
    end if;
    outcome := case
        when (select count(*) from exchange.proposals where standing = 'OPEN') >= p_most then 'TOO_MANY'
        when (select count(*) from exchange.proposals
               where standing = 'OPEN' and proposed_by = v_caller.identity) >= p_most_own then 'TOO_MANY_OWN'
        else 'PROPOSED' end;
    if outcome <> 'PROPOSED' then
        return;
    end if;
    insert into exchange.proposals (proposal_id, changes, proposed_by, proposed_at, reason)
    values (p_proposal, p_changes, v_caller.identity, p_at, p_reason);
    perform exchange.record_event(
        p_event_id, p_at, 'PROPOSAL_MADE', v_caller.identity, null, null, p_salt, p_event);
    proposal := p_proposal;
end $$
--;
-- Outcomes: REJECTED, DECIDED (meanwhile, or never open), CHANGED, and those of standing_of_staff, but
--   ACTIVE.
create function exchange.reject_proposal(
    p_version bigint, p_proposal uuid, p_caller bytea, p_reason text,
    p_at timestamptz, p_event_id uuid, p_salt bytea, p_event bytea
) returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_caller record;
begin
    if not exchange.entries_are(p_version) then
        return 'CHANGED';
    end if;
    select * into v_caller from exchange.standing_of_staff(p_caller);
    if v_caller.outcome <> 'ACTIVE' then
        return v_caller.outcome;
    end if;
    if v_caller.role <> 'security'
       or convert_from(p_event, 'UTF8')::jsonb ->> 'actor' is distinct from v_caller.identity then
        perform exchange.forbid('security staff decide, in their own name');
    end if;
    update exchange.proposals
       set standing = 'REJECTED', decided_by = v_caller.identity, decided_at = p_at, decision_reason = p_reason
     where proposal_id = p_proposal and standing = 'OPEN';
    if not found then
        return 'DECIDED';
    end if;
    perform exchange.record_event(
        p_event_id, p_at, 'PROPOSAL_REJECTED', v_caller.identity, null, null, p_salt, p_event);
    return 'REJECTED';
end $$
--;
-- The owner's alone. Returns whether it was otherwise before.
create function exchange.require_second_person(
    p_required boolean, p_at timestamptz, p_event_id uuid, p_salt bytea, p_event bytea
) returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock(7001, 1);
    update exchange.administration set second_person = p_required where second_person <> p_required;
    if not found then
        return false;
    end if;
    perform exchange.record_event(p_event_id, p_at, 'REGISTRY_CHANGED',
        convert_from(p_event, 'UTF8')::jsonb ->> 'actor', null, null, p_salt, p_event);
    return true;
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
      where fingerprint = p_fingerprint and revoked_at is null;
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
    exchange.write_entries, exchange.entries_are, exchange.standing_of_staff, exchange.forbid,
    exchange.shielded_changes, exchange.require_second_person, exchange.staff_stay_who_they_are from public
--;
grant execute on function exchange.change_entries, exchange.propose, exchange.reject_proposal to exchange_server
--;
grant select on exchange.systems, exchange.staff, exchange.groups, exchange.proposals,
    exchange.administration to exchange_server
--;
grant select on exchange.systems, exchange.staff to exchange_authority
