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
-- Staff are admitted only with a row. One person, one row, one role: 三员分立.
create table exchange.staff (
    name text primary key check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    person text not null unique check (person <> ''),
    full_name text not null,
    role text not null check (role in ('operator', 'security', 'auditor')),
    status text not null default 'ACTIVE' check (status in ('ACTIVE', 'SUSPENDED', 'CLOSED'))
)
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
-- ``version`` counts every change of the registry; ``directory`` only those of what decides who may
-- send what to whom, which certificates and quotas don't.
alter table exchange.registry_version add column directory bigint not null default 1
--;
create or replace function exchange.registry_changed() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    update exchange.registry_version
       set version = version + 1,
           directory = directory + (tg_table_name not in ('certificates', 'crls', 'authorities', 'quotas'))::int;
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
create trigger bumps after insert or update or delete on exchange.systems
    for each statement execute function exchange.registry_changed()
--;
create trigger bumps after insert or update or delete on exchange.staff
    for each statement execute function exchange.registry_changed()
--;
create trigger bumps after insert or update or delete on exchange.groups
    for each statement execute function exchange.registry_changed()
--;
grant select on exchange.systems, exchange.staff, exchange.groups, exchange.proposals to exchange_server
--;
grant select on exchange.systems, exchange.staff to exchange_authority
